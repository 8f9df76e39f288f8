.DEFAULT_GOAL := help
.PHONY: help setup environment browser demo test test-all test-cluster lint types bench lock clean

BIN := .venv/bin
DEMO := demo-out
SOURCES := cli models pipeline tests tools benchmarks

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## virtual environment, system libraries, weights, body model; seconds when it is all there
	@tools/setup.sh

environment:
	@tools/setup.sh environment

browser:  ## what the tests of reports and GLB files need besides: npm packages, Chromium (as root on Debian)
	@tools/setup.sh browser

demo: setup  ## render a dancer with known truth, reconstruct the video, print the accuracy
	@test -f $(DEMO)/clip/truth/truth.json || $(BIN)/dancedepth synth $(DEMO)/clip --fps 12 --size 540x960
	@$(BIN)/dancedepth reconstruct $(DEMO)/clip/video.mp4 -o $(DEMO)/run
	@$(BIN)/dancedepth evaluate $(DEMO)/run --truth $(DEMO)/clip

test: setup  ## the default tests
	@$(BIN)/python -m pytest -m "not slow"

test-all: setup  ## the slow and GPU tests too
	@$(BIN)/python -m pytest

test-cluster: setup  ## two nodes of Ray, one killed half way, and two of a training, all on this machine (fetches Ray)
	@tools/setup.sh cluster
	@$(BIN)/python -m pytest tests/pipeline/test_ray_engine.py tests/pipeline/training/test_many_nodes.py

lint: environment  ## ruff: rules and format
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)

types: environment build/types/dancedepth  ## mypy
	@MYPYPATH=build/types $(BIN)/mypy --namespace-packages --explicit-package-bases

build/types/dancedepth:  # mypy wants folders that are named as the packages are
	@mkdir -p $@ && ln -sfn ../../../cli $@/cli && ln -sfn ../../../models $@/models && ln -sfn ../../../pipeline $@/pipeline

bench: setup  ## seconds a frame by stage and in all, networks alone, memory: one JSON; VIDEO=clip.mp4 takes a clip of yours
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/run.py bench-out $(if $(VIDEO),--video "$(VIDEO)")

lock: environment  ## pin the tested versions anew, keeping those that still fit
	@$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate \
		--custom-compile-command "make lock" -o requirements.lock

clean:  ## remove what make and the tools made, but not .venv and not the caches outside the checkout
	@rm -rf build dist $(DEMO) bench-out .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
