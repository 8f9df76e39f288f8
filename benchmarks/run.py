"""What a run costs: every stage and the whole, of a small, a large and a long clip, beside its networks alone.

    python benchmarks/run.py bench-out [--video clip.mp4] [--seconds 4] [--times 4] [--device cpu --device cuda]

Without --video, the large clip is rendered by `dancedepth synth` at 1080x1920 and 12 fps. The small one is the same at
half the size, the long one the same looped `--times` times. Each is reconstructed on every device there is, in a
process of its own. Seconds depend on the machine, and on a shared one the clock says little: processor time is given
beside it, and the ratio of each to what cannot be saved: the networks' bare inference on the same frames plus the fit
and the fusion. The depth networks' own times by preset and device (`benchmarks/networks.py`) are in the same file.
Writes bench.json.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import networks
import torch
import typer
from bare import bare_inference
from dancedepth.pipeline.probe import ffmpeg_binary
from dancedepth.pipeline.storage import read_json, write_json
from rich.console import Console
from rich.table import Table
from stage_cost import Seconds, StageCosts

SIZE = "1080x1920"
FPS = 12
NOT_NETWORKS = ("body_motion", "fusion")
"""Stages that count in full among what cannot be saved."""
AIM = 1.3
"""Of the ratio."""


@dataclass(frozen=True)
class Cost:
    """Of one clip on one device, seconds a frame."""

    clip: str
    device: str
    width: int
    height: int
    frames: int
    stages: dict[str, Seconds]
    all_stages: Seconds
    networks: dict[str, Seconds]
    """Bare inference on frames that lie in memory."""
    over_bare: Seconds
    """All stages over bare inference, fit and fusion together: ratios, not seconds."""
    start_s: Seconds
    """What the process took besides its stages, in all: loading libraries and weights, hashing."""
    peak_memory_mb: float
    decodings: int
    """How often the clip was decoded."""


@dataclass(frozen=True)
class Benchmark:
    """The whole of bench.json."""

    machine: str
    cores: int
    devices: tuple[str, ...]
    clips: tuple[Cost, ...]
    memory_ratio: float
    """Of the long clip to the large one on the first device; 1: flat in the clip's length."""
    frames_ratio: float
    seconds_a_frame_ratio: Seconds
    """1: linear in the clip's length."""
    depth_networks: tuple[networks.Cost, ...]


def bench(
    out: Annotated[Path, typer.Argument(help="Folder for the clips, the runs and bench.json.")],
    video: Annotated[Path | None, typer.Option(help="A clip of your own; else one is rendered.")] = None,
    seconds: Annotated[float, typer.Option(help="Length of the rendered clip.")] = 4.0,
    times: Annotated[int, typer.Option(min=2, help="How often the long clip repeats the short one.")] = 4,
    device: Annotated[list[str] | None, typer.Option(help="cpu, cuda; by default what there is.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Of each depth network.")] = 10,
) -> None:
    """Measure runs and networks; write OUT/bench.json."""
    out.mkdir(parents=True, exist_ok=True)
    devices = tuple(device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
    large = video or rendered(out / "clip", seconds)
    clips = {"small": halved(large, out / "small.mp4"), "large": large, "long": looped(large, times, out / "long.mp4")}
    costs = tuple(cost(name, clip, out, on) for on in devices for name, clip in clips.items())
    result = summary(costs, devices, tuple(networks.costs(devices, repeats)))
    write_json(out / "bench.json", asdict(result))
    show(result)


def rendered(folder: Path, seconds: float) -> Path:
    """A rendered clip of the benchmark's size; one that is there already is kept."""
    if not (folder / "truth" / "truth.json").is_file():
        program = str(Path(sys.executable).with_name("dancedepth"))
        size = ["--seconds", str(seconds), "--fps", str(FPS), "--size", SIZE]
        subprocess.run([program, "synth", str(folder), *size], check=True)
    return folder / "video.mp4"


def halved(video: Path, out: Path) -> Path:
    """The same clip at half the width and height."""
    return _converted(["-i", str(video), "-vf", "scale=trunc(iw/4)*2:trunc(ih/4)*2", "-crf", "16"], out)


def looped(video: Path, times: int, out: Path) -> Path:
    """The same clip, `times` times over, without coding it again."""
    return _converted(["-stream_loop", str(times - 1), "-i", str(video), "-c", "copy"], out)


def _converted(arguments: list[str], out: Path) -> Path:
    subprocess.run([str(ffmpeg_binary()), "-v", "error", "-y", *arguments, "-an", str(out)], check=True)
    return out


def cost(name: str, clip: Path, out: Path, device: str) -> Cost:
    """Reconstruct in a process of its own, and measure its networks alone."""
    run = out / f"{name}_{device}"
    script = Path(__file__).with_name("stage_cost.py")
    options = ["--fps", str(FPS), "--device", device]
    subprocess.run([sys.executable, str(script), str(clip), str(run), *options], check=True)
    values = read_json(run.with_name(f"{run.name}.json"))
    stages = {stage: Seconds(**taken) for stage, taken in values.pop("stages").items()}
    taken = StageCosts(stages=stages, whole=Seconds(**values.pop("whole")), **values)
    return _cost(name, device, taken, bare_inference(clip, run, FPS, device))


def _cost(name: str, device: str, taken: StageCosts, bare: dict[str, Seconds]) -> Cost:
    a_frame = {stage: _scaled(seconds, 1 / taken.frames) for stage, seconds in taken.stages.items()}
    everything = _sum(a_frame)
    least = _sum({**bare, **{stage: a_frame[stage] for stage in NOT_NETWORKS}})
    return Cost(
        name,
        device,
        taken.width,
        taken.height,
        taken.frames,
        a_frame,
        everything,
        bare,
        _ratio(everything, least),
        taken.whole.since(_sum(taken.stages)),
        taken.peak_memory_mb,
        taken.decodings,
    )


def summary(costs: tuple[Cost, ...], devices: tuple[str, ...], nets: tuple[networks.Cost, ...]) -> Benchmark:
    """The costs, and how they grow with the clip's length."""
    first = {one.clip: one for one in costs if one.device == devices[0]}
    large, long = first["large"], first["long"]
    return Benchmark(
        machine=platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        devices=devices,
        clips=costs,
        memory_ratio=long.peak_memory_mb / large.peak_memory_mb,
        frames_ratio=long.frames / large.frames,
        seconds_a_frame_ratio=_ratio(long.all_stages, large.all_stages),
        depth_networks=nets,
    )


def _sum(parts: dict[str, Seconds]) -> Seconds:
    each = parts.values()
    return Seconds(sum(one.wall for one in each), sum(one.cpu for one in each), sum(one.ffmpeg_cpu for one in each))


def _scaled(seconds: Seconds, by: float) -> Seconds:
    return Seconds(seconds.wall * by, seconds.cpu * by, seconds.ffmpeg_cpu * by)


def _ratio(one: Seconds, other: Seconds) -> Seconds:
    return Seconds(one.wall / other.wall, one.cpu / other.cpu)


def show(result: Benchmark) -> None:
    """Tables on the terminal."""
    heads = [f"{one.clip} ({one.device})\n{one.width}x{one.height}, {one.frames} frames" for one in result.clips]
    table = Table("", *heads, title=f"Seconds a frame on {result.cores} cores: on the clock / of processors")
    for stage in result.clips[0].stages:
        table.add_row(stage, *(_text(one.stages[stage]) for one in result.clips))
    table.add_row("all stages", *(_text(one.all_stages) for one in result.clips), end_section=True)
    for name in result.clips[0].networks:
        table.add_row(f"bare {name}", *(_text(one.networks[name]) for one in result.clips))
    table.add_row(f"over bare, fit, fusion (aim {AIM})", *(_text(one.over_bare) for one in result.clips))
    table.add_row("start, seconds", *(_text(one.start_s) for one in result.clips))
    table.add_row("ffmpeg, of all stages", *(f"{one.all_stages.ffmpeg_cpu:.3f}" for one in result.clips))
    table.add_row("decodings", *(str(one.decodings) for one in result.clips))
    table.add_row("memory", *(f"{one.peak_memory_mb:.0f} MB" for one in result.clips))
    Console().print(table)
    networks.show(result.depth_networks)


def _text(seconds: Seconds) -> str:
    return f"{seconds.wall:.3f} / {seconds.cpu:.3f}"


if __name__ == "__main__":
    typer.run(bench)
