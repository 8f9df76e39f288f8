"""What a whole run costs: seconds a frame by stage, and memory against the clip's length.

    python benchmarks/run.py bench-out [--video clip.mp4] [--seconds 4] [--times 4]

Without --video, the clip is rendered by `dancedepth synth` at 1080x1920 and 12 fps. The clip and the same clip looped
`--times` times are reconstructed in processes of their own; peak memory is that of the whole process, as the system
counts it. Seconds depend on the machine, so ratios within one benchmark are given beside them: above all that of the
whole run to what cannot be saved, the networks' bare inference on the same frames plus the fit and the fusion.
Writes bench.json.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.device import choose_device
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.ingredients import find_ingredients
from dancedepth.pipeline.manifest import read_manifest
from dancedepth.pipeline.probe import ffmpeg_binary
from dancedepth.pipeline.storage import write_json
from dancedepth.pipeline.workspace import RunFolder
from rich.console import Console
from rich.table import Table

SIZE = "1080x1920"
FPS = 12
BARE_FRAMES = 24
NOT_NETWORKS = ("body_motion", "fusion")
"""Stages that count in full among what cannot be saved."""


@dataclass(frozen=True)
class Cost:
    """Of one run."""

    video: str
    frames: int
    seconds_per_frame: dict[str, float]
    """By stage."""
    total_seconds_per_frame: float
    """Of all stages."""
    cpu_seconds_per_frame: float
    """Of the process and its children, start-up included."""
    peak_memory_mb: float


@dataclass(frozen=True)
class Comparison:
    """The clip, the looped clip, and their ratios."""

    machine: str
    cores: int
    short: Cost
    long: Cost
    frames_ratio: float
    memory_ratio: float
    """1: flat in the clip's length."""
    seconds_per_frame_ratio: float
    """1: linear in the clip's length."""
    share_of_time: dict[str, float]
    """Of each stage in the long run."""
    networks_seconds_per_frame: dict[str, float]
    """Bare inference on frames that lie in memory: the median."""
    over_bare: float
    """Seconds of the long run over bare inference, fit and fusion together; the aim is 1.3."""


def bench(
    out: Annotated[Path, typer.Argument(help="Folder for the clips, the runs and bench.json.")],
    video: Annotated[Path | None, typer.Option(help="A clip of your own; else one is rendered.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of the rendered clip.")] = 4.0,
    times: Annotated[int, typer.Option(min=2, help="How often the long clip repeats the short one.")] = 4,
) -> None:
    """Measure a run and a longer one; write OUT/bench.json."""
    out.mkdir(parents=True, exist_ok=True)
    clip = video or rendered(out / "clip", seconds)
    short, long = cost(clip, out / "short"), cost(looped(clip, times, out / "long.mp4"), out / "long")
    result = compare(short, long, bare_inference(clip))
    write_json(out / "bench.json", asdict(result))
    show(result)


def rendered(folder: Path, seconds: float) -> Path:
    """A rendered clip of the benchmark's size; one that is there already is kept."""
    if not (folder / "truth" / "truth.json").is_file():
        dancedepth("synth", str(folder), "--seconds", str(seconds), "--fps", str(FPS), "--size", SIZE)
    return folder / "video.mp4"


def looped(video: Path, times: int, out: Path) -> Path:
    """The same clip, `times` times over, without coding it again."""
    command = [str(ffmpeg_binary()), "-v", "error", "-y", "-stream_loop", str(times - 1), "-i", str(video)]
    subprocess.run([*command, "-an", "-c", "copy", str(out)], check=True)
    return out


def cost(video: Path, run: Path) -> Cost:
    """Reconstruct in a process of its own, from the start, and read what it says it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    dancedepth("reconstruct", str(video), "-o", str(run), "--fps", str(FPS), "--overwrite")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    manifest = read_manifest(RunFolder(run).manifest)
    frames = len(manifest.frames)
    stages = {stage.name: stage.seconds / frames for stage in manifest.stages}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(video.name, frames, stages, sum(stages.values()), cpu / frames, manifest.peak_memory_mb)


def dancedepth(*arguments: str) -> None:
    """Run the program."""
    subprocess.run([str(Path(sys.executable).with_name("dancedepth")), *arguments], check=True)


def bare_inference(video: Path) -> dict[str, float]:
    """Median seconds a frame of the detector and the segmenter, at the sizes and on the device that a run uses."""
    config, device = RunConfig(), choose_device("auto")
    frames = [frame.rgb for frame in islice(open_video(video, config.frames), BARE_FRAMES)]
    ready = find_ingredients(config, device)
    detector, matting = ready.detector(), ready.matting()
    scale = min(1.0, config.mattes.work_side_px / max(frames[0].shape[:2]))
    size = (round(frames[0].shape[1] * scale), round(frames[0].shape[0] * scale))
    small = [cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) for rgb in frames]
    return {"tracks": _median(detector.detect, frames), "mattes": _median(matting.alpha, small)}


def _median(infer: Callable[[np.ndarray], object], images: list[np.ndarray]) -> float:
    taken = []
    for image in images:
        started = time.perf_counter()
        infer(image)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def compare(short: Cost, long: Cost, networks: dict[str, float]) -> Comparison:
    """Ratios of a run to a longer one of the same clip."""
    total = long.total_seconds_per_frame
    least = sum(networks.values()) + sum(long.seconds_per_frame[name] for name in NOT_NETWORKS)
    return Comparison(
        machine=platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        short=short,
        long=long,
        frames_ratio=long.frames / short.frames,
        memory_ratio=long.peak_memory_mb / short.peak_memory_mb,
        seconds_per_frame_ratio=total / short.total_seconds_per_frame,
        share_of_time={name: seconds / total for name, seconds in long.seconds_per_frame.items()},
        networks_seconds_per_frame=networks,
        over_bare=total / least,
    )


def show(result: Comparison) -> None:
    """A table on the terminal."""
    short, long = result.short, result.long
    title = f"Seconds a frame on {result.cores} cores"
    table = Table("stage", f"{short.frames} frames", f"{long.frames} frames", "share", title=title)
    for name, share in result.share_of_time.items():
        seconds = short.seconds_per_frame[name], long.seconds_per_frame[name]
        table.add_row(name, *(f"{value:.3f}" for value in seconds), f"{share:.0%}")
    table.add_row("all", f"{short.total_seconds_per_frame:.3f}", f"{long.total_seconds_per_frame:.3f}", "")
    table.add_row("CPU", f"{short.cpu_seconds_per_frame:.3f}", f"{long.cpu_seconds_per_frame:.3f}", "")
    table.add_row(
        "memory", f"{short.peak_memory_mb:.0f} MB", f"{long.peak_memory_mb:.0f} MB", f"x{result.memory_ratio:.2f}"
    )
    Console().print(table)
    bare = ", ".join(f"{name} {seconds:.3f}" for name, seconds in result.networks_seconds_per_frame.items())
    Console().print(f"bare inference: {bare} s a frame; the whole run takes {result.over_bare:.2f} times what it must")


if __name__ == "__main__":
    typer.run(bench)
