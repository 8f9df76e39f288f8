"""`dancedepth train`: teach the depth networks on made-up people."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dancedepth.pipeline.training.objective import Scores
    from dancedepth.pipeline.training.video_pairs import ClipReport


def train(
    config: Annotated[Path, typer.Option(help="The training's settings, a TOML or JSON file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where weights, checkpoint and curves go.")],
    people: Annotated[
        Path | None, typer.Option(help="Where made-up people are kept, to be used again; default OUT/people.")
    ] = None,
    wardrobe: Annotated[Path | None, typer.Option(help="A folder of MakeHuman clothes/, hair/ and skins/.")] = None,
    mocap: Annotated[Path | None, typer.Option(help="A folder of BVH files.")] = None,
    videos: Annotated[Path | None, typer.Option(help="A folder of unlabelled dance videos to learn from too.")] = None,
    videos_cache: Annotated[
        Path | None,
        typer.Option(help="Where what is found in the videos is kept, to be used again; default OUT/videos."),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Weights to start from, that an earlier training wrote.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, instead of the config's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes on each machine; by default one a CUDA device, or one.")
    ] = None,
    nodes: Annotated[
        int,
        typer.Option(min=1, help="Machines; run the same on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set."),
    ] = 1,
) -> None:
    """Train the depth networks; a training that was cut off goes on where it was when the same command is given."""
    from dataclasses import replace

    from dancedepth.models.body_file import load_body
    from dancedepth.models.weights import cache_folder
    from dancedepth.pipeline.device import choose_device
    from dancedepth.pipeline.training.config import read_config
    from dancedepth.pipeline.training.loop import train as run

    settings = read_config(config).with_folders(wardrobe, mocap)
    settings = replace(settings, steps=steps or settings.steps)
    if videos is not None:
        settings = replace(settings, videos=replace(settings.videos, folder=str(videos.resolve())))
    if init is not None:
        settings = replace(settings, init=str(init.resolve()))
    load_body(cache_folder())  # built once, here, and not by every worker
    where = (choose_device(device), None, videos_cache, devices, nodes)
    if run(settings, out, cache_folder(), _Lines(), people, *where) is not None:
        print(f"{out / 'weights.safetensors'}: weights of the {settings.preset} networks")


class _Lines:
    """A line every few steps."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        """What a video gave, or why it gives nothing."""
        if report.why_not is not None:
            print(f"video {number}/{count}  {report.video}: left out, {report.why_not}", flush=True)
            return
        reasons = "".join(f"; {times} frames: {why}" for why, times in report.left_out.items())
        print(
            f"video {number}/{count}  {report.video}: {report.pairs} pairs of {report.points} points "
            f"from {report.used} of {report.frames} frames{reasons}",
            flush=True,
        )

    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None:
        """Loss and time left."""
        minutes = (time.monotonic() - self._started) / 60
        print(f"step {step}/{steps}  loss {loss:.3f}  {minutes:.1f} min, {seconds_left / 60:.0f} left", flush=True)

    def validated(self, step: int, scores: Scores) -> None:
        """The networks beside the body alone."""
        print(
            f"validation at {step}: normals {scores.normals_deg:.1f} deg (body {scores.body_normals_deg:.1f}), "
            f"depth {scores.depth_mm:.1f} mm (body {scores.body_depth_mm:.1f}), "
            f"after scale {scores.scaled_depth_mm:.1f} mm (body {scores.body_scaled_depth_mm:.1f})",
            flush=True,
        )
