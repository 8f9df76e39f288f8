"""What many videos cost: processor time a minute of video, by videos side by side, and what a million would take.

    python benchmarks/throughput.py bench-out VIDEO... [--jobs 1 --jobs 2] [--options "--fps 12"]

Every number of jobs goes through one `dancedepth batch` over all videos, in processes of its own. Processor time is
that of the whole batch as the system counts it, start-up of the workers included; it hardly depends on what else the
machine does, wall time does. Writes OUT/throughput.json.
"""

from __future__ import annotations

import json
import resource
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.pipeline.batch_record import read_record
from dancedepth.pipeline.resources import cuda_devices, usable_cores
from rich.console import Console
from rich.table import Table

MILLION = 1_000_000
TYPICAL_S = 12.0
"""Length of a video of social media, for the estimate."""
HOUR_S, MINUTE_S, YEAR_H = 3600, 60, 8766


@dataclass(frozen=True)
class Throughput:
    """Of one batch."""

    jobs: int
    videos: int
    video_seconds: float
    """That were reconstructed, of all videos together."""
    frames: int
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    """Of the largest worker."""
    output_mb: float

    @property
    def cpu_seconds_a_minute(self) -> float:
        """Of video."""
        return self.cpu_seconds / self.video_seconds * MINUTE_S

    @property
    def cpu_seconds_a_frame(self) -> float:
        """Of those that were used."""
        return self.cpu_seconds / self.frames

    @property
    def million_core_years(self) -> float:
        """Processor time of a million videos of typical length."""
        return self.cpu_seconds / self.video_seconds * TYPICAL_S * MILLION / HOUR_S / YEAR_H

    @property
    def million_terabytes(self) -> float:
        """Of run folders."""
        return self.output_mb / self.video_seconds * TYPICAL_S * MILLION / 1e6


def bench(
    out: Annotated[Path, typer.Argument(help="Folder for the runs and throughput.json.")],
    videos: Annotated[list[Path], typer.Argument(help="The videos of the batch.")],
    jobs: Annotated[list[int] | None, typer.Option(help="Videos side by side; may be repeated.")] = None,
    options: Annotated[str, typer.Option(help="More options of `dancedepth batch`.")] = "",
) -> None:
    """Measure batches; write OUT/throughput.json."""
    out.mkdir(parents=True, exist_ok=True)
    found = [measure(out / f"jobs_{count}", videos, count, shlex.split(options)) for count in jobs or [1]]
    names = ("cpu_seconds_a_minute", "cpu_seconds_a_frame", "million_core_years", "million_terabytes")
    rows = [{**asdict(one), **{name: getattr(one, name) for name in names}} for one in found]
    machine = {"cores": usable_cores(), "cuda_devices": len(cuda_devices())}
    (out / "throughput.json").write_text(json.dumps({**machine, "options": options, "batches": rows}, indent=1))
    show(found)


def measure(run: Path, videos: list[Path], jobs: int, options: list[str]) -> Throughput:
    """One batch, from the start."""
    shutil.rmtree(run, ignore_errors=True)
    program = str(Path(sys.executable).with_name("dancedepth"))
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [program, "batch", *map(str, videos), "-o", str(run), "--jobs", str(jobs), *options]
    subprocess.run(command, check=True)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    record = read_record(run)
    assert record is not None
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = [line.figures for line in record.videos]
    return Throughput(
        jobs,
        len(figures),
        sum(_seconds(run / line.run) for line in record.videos),
        sum(one.frames or 0 for one in figures),
        wall,
        cpu,
        max(one.peak_memory_mb or 0.0 for one in figures),
        sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) / 1e6,
    )


def _seconds(run: Path) -> float:
    """Of video that a run went through."""
    times = [frame["time_s"] for frame in json.loads((run / "run.json").read_text())["frames"]]
    return float((times[-1] - times[0]) * len(times) / (len(times) - 1))


def show(found: list[Throughput]) -> None:
    """A table on the terminal."""
    headings = ("jobs", "frames", "wall s", "CPU s", "CPU s a frame", "CPU s a minute of video", "memory MB")
    table = Table(*headings)
    for one in found:
        amounts = (one.wall_seconds, one.cpu_seconds, one.cpu_seconds_a_frame, one.cpu_seconds_a_minute)
        texts = (f"{value:.2f}" for value in amounts)
        table.add_row(str(one.jobs), str(one.frames), *texts, f"{one.peak_memory_mb:.0f}")
    Console().print(table)
    last = found[-1]
    said = f"{last.million_core_years:.0f} core years, {last.million_terabytes:.1f} TB"
    Console().print(f"a million videos of {TYPICAL_S:g} s: {said}")


if __name__ == "__main__":
    typer.run(bench)
