"""Two states of the program: what a run costs in each, stage by stage, measured in turns on one machine and clip.

    git worktree add ../before COMMIT
    python benchmarks/before_after.py OUT VIDEO --before ../before [--end 2] [--rounds 2]

`after` is this checkout. Of each stage and network the round counts that took least processor time, and of the whole
the sum of these. Both states' results are compared, file by file. Writes OUT/before_after.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from dancedepth.pipeline.storage import read_json, write_json
from rich.console import Console
from rich.table import Table

PACKAGES = ("cli", "models", "pipeline")
NOT_NETWORKS = ("body_motion", "fusion")
"""Stages that count in full among what cannot be saved."""
HERE = Path(__file__).parent


@dataclass(frozen=True)
class State:
    """What the program cost in one state; processor seconds a frame, but for what is named otherwise."""

    name: str
    frames: int
    stages: dict[str, float]
    ffmpeg: float
    decodings: int
    networks: dict[str, float]
    outside_stages_s: float
    peak_memory_mb: float

    @property
    def whole(self) -> float:
        """All stages."""
        return sum(self.stages.values())

    @property
    def over_bare(self) -> float:
        """All stages over bare inference, fit and fusion together."""
        return self.whole / (sum(self.networks.values()) + sum(self.stages[name] for name in NOT_NETWORKS))


def before_after(
    out: Annotated[Path, typer.Argument(help="Folder for the runs and before_after.json.")],
    video: Annotated[Path, typer.Argument(help="The clip.")],
    before: Annotated[Path, typer.Option(help="A checkout of the other state.")],
    end: Annotated[float | None, typer.Option(help="Seconds of the clip that are used.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each.")] = 2,
) -> None:
    """Measure both; write OUT/before_after.json."""
    out.mkdir(parents=True, exist_ok=True)
    checkouts = {"before": before.resolve(), "after": HERE.parent}
    places = {name: linked(checkout, out.resolve() / f"{name}_package") for name, checkout in checkouts.items()}
    taken: dict[str, list[Any]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, place in places.items():
            taken[name].append(measured(place, checkouts[name], video, out.resolve() / name, end))
    states = [state(name, each) for name, each in taken.items()]
    same = differing(out / "before", out / "after")
    write_json(out / "before_after.json", {"states": [asdict(one) for one in states], "files_that_differ": same})
    show(states, same)


def linked(checkout: Path, place: Path) -> Path:
    """A folder for PYTHONPATH in which the checkout is the package."""
    (place / "dancedepth").mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        link = place / "dancedepth" / name
        link.unlink(missing_ok=True)
        link.symlink_to(checkout / name)
    return place


def measured(place: Path, checkout: Path, video: Path, run: Path, end: float | None) -> dict[str, Any]:
    """One run in a process of its own, and its networks alone in another; by the checkout's own benchmarks."""
    here = checkout / HERE.name
    environment = {**os.environ, "PYTHONPATH": str(place), "OMP_WAIT_POLICY": "PASSIVE"}
    options = ["--device", "cpu", *(["--end", str(end)] if end else [])]
    stages = [sys.executable, str(here / "stage_cost.py"), str(video), str(run), *options]
    subprocess.run(stages, check=True, env=environment)
    networks = [sys.executable, str(here / "bare.py"), str(video), str(run)]
    said = subprocess.run(networks, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    return {**read_json(run.with_name(f"{run.name}.json")), "networks": json.loads(said.splitlines()[-1])}


def state(name: str, rounds: list[dict[str, Any]]) -> State:
    """The least of each part."""
    frames = rounds[0]["frames"]
    stages = {stage: min(one["stages"][stage]["cpu"] for one in rounds) / frames for stage in rounds[0]["stages"]}
    return State(
        name,
        frames,
        stages,
        min(sum(stage["ffmpeg_cpu"] for stage in one["stages"].values()) for one in rounds) / frames,
        rounds[0]["decodings"],
        {net: min(one["networks"][net]["cpu"] for one in rounds) for net in rounds[0]["networks"]},
        min(one["whole"]["cpu"] - sum(stage["cpu"] for stage in one["stages"].values()) for one in rounds),
        max(one["peak_memory_mb"] for one in rounds),
    )


def differing(one: Path, other: Path) -> list[str]:
    """Files of two runs that are not the same, byte for byte, or are in one only."""
    names = {str(path.relative_to(run)) for run in (one, other) for path in run.rglob("*") if path.is_file()}
    return sorted(name for name in names if content(one / name) != content(other / name))


def content(path: Path) -> bytes | None:
    """Of a file, if it is there."""
    return path.read_bytes() if path.is_file() else None


def show(states: list[State], differ: list[str]) -> None:
    """A table on the terminal."""
    table = Table("", *(one.name for one in states), title=f"Processor seconds a frame, {states[0].frames} frames")
    for stage in states[0].stages:
        table.add_row(stage, *(f"{one.stages[stage]:.3f}" for one in states))
    table.add_row("all stages", *(f"{one.whole:.3f}" for one in states), end_section=True)
    table.add_row("of these ffmpeg", *(f"{one.ffmpeg:.3f}" for one in states))
    table.add_row("decodings of the clip", *(str(one.decodings) for one in states), end_section=True)
    for net in states[0].networks:
        table.add_row(f"bare {net}", *(f"{one.networks[net]:.3f}" for one in states))
    table.add_row("over bare, fit, fusion", *(f"{one.over_bare:.2f}" for one in states), end_section=True)
    table.add_row("outside stages, seconds", *(f"{one.outside_stages_s:.1f}" for one in states))
    table.add_row("memory", *(f"{one.peak_memory_mb:.0f} MB" for one in states))
    Console().print(table)
    kinds = Counter(f"{Path(name).parent}/" if "/" in name else name for name in differ)
    said = (kind if count == 1 else f"{count} in {kind}" for kind, count in kinds.items())
    typer.echo(f"files that differ: {', '.join(said) or 'none'}")


if __name__ == "__main__":
    typer.run(before_after)
