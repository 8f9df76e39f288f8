"""Many videos, one run folder each: what is finished is skipped, what fails is a line in the record."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dancedepth.pipeline.batch_home import BatchHome, home_at
from dancedepth.pipeline.batch_record import (
    RECORD_NAME,
    BatchFile,
    BatchRecord,
    VideoLine,
    figures_of,
    parse_record,
)
from dancedepth.pipeline.batch_videos import BatchVideo
from dancedepth.pipeline.batch_work import (
    Engine,
    Event,
    Outcome,
    Task,
    TaskAdvanced,
    TaskEnded,
    TaskStarted,
    WorkOrder,
)
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.errors import DanceDepthError
from dancedepth.pipeline.manifest import Manifest
from dancedepth.pipeline.stages import differences
from dancedepth.pipeline.workspace import LAST_STAGE

LOGS = "failures"
"""Folder in OUT for what a maintainer wants to see of unexpected failures."""


class BatchObserver(Protocol):
    """Told how a batch goes on; the command line draws it."""

    def began(self, lines: Sequence[VideoLine]) -> None:
        """Every video, with what is known of it from before."""

    def started(self, name: str) -> None:
        """Work on a video begins."""

    def advanced(self, name: str, stage: str, done: int, total: int | None) -> None:
        """How far a video is."""

    def ended(self, line: VideoLine) -> None:
        """A video is done or has failed."""


def run_batch(
    videos: Sequence[BatchVideo],
    out: Path | str,
    order: WorkOrder,
    engine: Engine,
    observer: BatchObserver,
    retry: bool = False,
) -> BatchRecord:
    """Reconstruct every video into its own run folder below `out`, and keep the record there.

    Finished runs with the same settings are skipped; videos that failed before with the same settings are skipped too,
    unless `retry` is given. Whatever happens, the record says what is done.

    Args:
        videos: what to reconstruct.
        out: a folder, or a URL that fsspec knows.
        order: how.
        engine: who does it.
        observer: told how it goes on.
        retry: try again what failed before.

    Raises:
        RunInUseError: another process works in `out`.
        RunFolderError: `out` is a run folder, or holds the record of another version.
        StorageError: `out` cannot be written.
        UsageError: the library for the URL is not installed.
    """
    home = home_at(out)
    with home.held():
        earlier = {} if order.overwrite else _failures(home, order.config, retry)
        lines = _lines(videos, home, order, earlier)
        file = BatchFile(home.write, order.config)
        file.update(lines.values(), now=True)
        observer.began(list(lines.values()))
        waiting = [v for v in videos if lines[v.name].status == "waiting"]
        tasks = [Task(v.name, v.path.absolute(), home.run(v.name)) for v in waiting]
        try:
            with closing(engine.run(tasks, order)) as events:  # type: ignore[type-var]
                for event in events:
                    _note(event, lines, home, observer)
                    if isinstance(event, TaskEnded):
                        file.update(lines.values())
        finally:
            record = file.update(lines.values(), now=True)
        assert record is not None
        return record


def _failures(home: BatchHome, config: RunConfig, retry: bool) -> dict[str, VideoLine]:
    """Videos that need not be tried again: they failed with the same settings."""
    data = home.read(RECORD_NAME)
    record = None if data is None else parse_record(data, home.at(RECORD_NAME))
    if retry or record is None or differences(record.config.to_json(), config.to_json()):
        return {}
    return {line.name: line for line in record.videos if line.status == "failed"}


def _lines(
    videos: Sequence[BatchVideo], home: BatchHome, order: WorkOrder, failed: dict[str, VideoLine]
) -> dict[str, VideoLine]:
    """What is known of every video; stores answer slowly, but to many at once."""
    lookers = ThreadPoolExecutor(home.at_once)
    try:
        found = lookers.map(lambda video: _line(video, home, order, failed.get(video.name)), videos)
        return {line.name: line for line in found}
    finally:
        lookers.shutdown(cancel_futures=True)


def _line(video: BatchVideo, home: BatchHome, order: WorkOrder, failed: VideoLine | None) -> VideoLine:
    line = VideoLine(video.name, str(video.path), video.name)
    manifest = None if order.overwrite else _finished(video, home, order.config)
    if manifest is not None:
        return _done(line, manifest)
    return failed or line


def _finished(video: BatchVideo, home: BatchHome, config: RunConfig) -> Manifest | None:
    """The manifest of a run that needs no more work, found without reading the video."""
    found = home.found(video.name)
    if found is None:
        return None
    manifest = found.manifest
    try:
        stat = video.path.stat()
    except OSError:  # whoever works on it will say what is wrong
        return None
    same = stat.st_size == manifest.input.bytes and stat.st_mtime <= found.written_s
    same = same and not differences(manifest.config.to_json(), config.to_json())
    to_the_end = manifest.finished and manifest.stage(LAST_STAGE) is not None
    return manifest if to_the_end and same else None


def _done(line: VideoLine, manifest: Manifest) -> VideoLine:
    seconds = sum(stage.seconds for stage in manifest.stages)
    return replace(line, status="done", seconds=seconds, reason="", figures=figures_of(manifest))


def _note(event: Event, lines: dict[str, VideoLine], home: BatchHome, observer: BatchObserver) -> None:
    name = event.task.name
    if isinstance(event, TaskStarted):
        observer.started(name)
    elif isinstance(event, TaskAdvanced):
        observer.advanced(name, event.stage, event.done, event.total)
    else:
        lines[name] = _ended(lines[name], event.task, event.outcome, home)
        observer.ended(lines[name])


def _ended(line: VideoLine, task: Task, outcome: Outcome, home: BatchHome) -> VideoLine:
    line = replace(line, attempts=line.attempts + 1)
    if outcome.succeeded:
        try:
            return replace(_done(line, home.manifest(task.name)), seconds=outcome.seconds)
        except DanceDepthError as error:
            outcome = Outcome(False, outcome.seconds, str(error))
    reason = outcome.reason
    if outcome.log:
        log = f"{LOGS}/{task.name}.log"
        reason = f"{reason}; details: {home.at(log)}"
        home.write(log, outcome.log.encode(errors="surrogateescape"))
    return replace(line, status="failed", seconds=outcome.seconds, reason=reason)
