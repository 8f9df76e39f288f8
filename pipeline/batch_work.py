"""What a batch hands to those who do its work, and what they hand back: on this machine or on a cluster."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.explain import explain
from dancedepth.pipeline.records import Observer


@dataclass(frozen=True)
class Task:
    """One video to be reconstructed."""

    name: str
    """In the batch."""
    video: Path
    out: Path | str
    """Its run folder; a string is the URL of one."""


@dataclass(frozen=True)
class WorkOrder:
    """How all videos of a batch are reconstructed."""

    config: RunConfig
    overwrite: bool = False
    trust: bool = False
    time_limit_s: float | None = None
    """A video that takes longer is given up."""


@dataclass(frozen=True)
class Outcome:
    """How it went with one video."""

    succeeded: bool
    seconds: float
    reason: str = ""
    """Of a failure, in one line."""
    log: str = ""
    """What a maintainer wants to see of an unexpected failure."""


@dataclass(frozen=True)
class TaskStarted:
    """Somebody began with a video."""

    task: Task


@dataclass(frozen=True)
class TaskAdvanced:
    """How far a video is."""

    task: Task
    stage: str
    done: int
    total: int | None


@dataclass(frozen=True)
class TaskEnded:
    """A video is done, one way or the other."""

    task: Task
    outcome: Outcome


Event = TaskStarted | TaskAdvanced | TaskEnded


class Engine(Protocol):
    """Does the work of a batch."""

    def run(self, tasks: Sequence[Task], order: WorkOrder) -> Iterator[Event]:
        """Every task ends exactly once, unless the iteration is left early, which stops all work and tidies up."""


def work_on(task: Task, order: WorkOrder, observer: Observer) -> Outcome:
    """Reconstruct one video; whatever happens with it is an outcome, so that the others go on."""
    started = time.perf_counter()
    reason, log = "", ""
    try:
        _reconstruct(task, order, observer)
    except Exception as error:  # noqa: BLE001 - the per-video boundary
        known = explain(error)
        text = " ".join(str(known or f"this is a bug in dancedepth ({type(error).__name__}: {error})").split())
        reason, log = _brief(text, task), "" if known else traceback.format_exc()
    return Outcome(not reason, time.perf_counter() - started, reason, log)


def _reconstruct(task: Task, order: WorkOrder, observer: Observer) -> None:
    from dancedepth.pipeline.frames import open_video

    open_video(task.video, order.config.frames)  # what is no video costs no loading of libraries
    from dancedepth.pipeline.reconstruct import reconstruct
    from dancedepth.pipeline.remote_run import run_to_url

    def make(out: Path) -> None:
        reconstruct(task.video, out, order.config, observer, order.overwrite, order.trust)

    if isinstance(task.out, Path):
        make(task.out)
    else:
        run_to_url(task.video, task.out, order.config, order.overwrite, observer, make)


def _brief(reason: str, task: Task) -> str:
    """Without the video's path at its head, which the line of the batch names anyway."""
    return reason.removeprefix(f"{task.video}: ")
