"""One reconstruction, stage by stage: wall time, processor time, memory; `benchmarks/run.py` starts it as a process.

    python benchmarks/stage_cost.py video.mp4 OUT [--fps 12] [--device auto] [--end 2]

Processor time counts children too (ffmpeg) once they have ended. Writes OUT.json beside the run folder OUT.
"""

from __future__ import annotations

import resource
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.reconstruct import reconstruct
from dancedepth.pipeline.storage import write_json


@dataclass(frozen=True)
class Seconds:
    """On the clock, and of all processors together."""

    wall: float
    cpu: float
    ffmpeg_cpu: float = 0.0
    """Of these the child processes'."""

    @classmethod
    def now(cls) -> Seconds:
        """Since whenever."""
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own, children = (one.ru_utime + one.ru_stime for one in used)
        return cls(time.perf_counter(), own + children, children)

    def since(self, start: Seconds) -> Seconds:
        """From `start` to this."""
        return Seconds(self.wall - start.wall, self.cpu - start.cpu, self.ffmpeg_cpu - start.ffmpeg_cpu)


@dataclass(frozen=True)
class StageCosts:
    """Of one run."""

    frames: int
    width: int
    height: int
    stages: dict[str, Seconds]
    whole: Seconds
    """With the start of the process and all libraries."""
    peak_memory_mb: float
    decodings: int
    """How often ffmpeg was started to decode the clip."""


class Clock:
    """An observer who notes what every stage takes."""

    def __init__(self) -> None:
        self.stages: dict[str, Seconds] = {}
        self._at: dict[str, Seconds] = {}

    def stage_started(self, name: str, total: int | None) -> None:
        """A stage begins, or knows its total now."""
        self._at.setdefault(name, Seconds.now())

    def advanced(self, count: int = 1) -> None:
        """Not asked here."""

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        """A stage ends."""
        self.stages[name] = Seconds.now().since(self._at[name])


class Counted(subprocess.Popen):  # type: ignore[type-arg]
    """Counts the processes that decode: those that say when each frame is shown."""

    decodings = 0

    def __init__(self, command: Any, *arguments: Any, **named: Any) -> None:
        Counted.decodings += any("showinfo" in str(part) for part in command)
        super().__init__(command, *arguments, **named)


def bench(
    video: Annotated[Path, typer.Argument(help="The clip.")],
    out: Annotated[Path, typer.Argument(help="The run folder; an earlier run in it is replaced.")],
    fps: Annotated[float, typer.Option()] = 12.0,
    device: Annotated[str, typer.Option()] = "auto",
    end: Annotated[float | None, typer.Option(help="Seconds of the clip that are used.")] = None,
) -> None:
    """Reconstruct, and write what it took."""
    started, clock, config = time.perf_counter(), Clock(), RunConfig()
    subprocess.Popen = Counted  # type: ignore[misc]
    config = replace(config, device=device, frames=replace(config.frames, fps=fps, end_s=end))
    made = reconstruct(video, out, config, clock, overwrite=True).manifest
    now = Seconds.now()
    whole = Seconds(now.wall - started, now.cpu, now.ffmpeg_cpu)
    size = made.input.width, made.input.height
    costs = StageCosts(len(made.frames), *size, clock.stages, whole, made.peak_memory_mb, Counted.decodings)
    write_json(out.with_name(f"{out.name}.json"), asdict(costs))


if __name__ == "__main__":
    typer.run(bench)
