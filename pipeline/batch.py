"""Many videos, one run folder each: what is finished is skipped, what fails is a line in the record."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dancedepth.pipeline.batch_record import (
    BatchFile,
    BatchRecord,
    VideoLine,
    figures_of,
    read_record,
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
from dancedepth.pipeline.errors import DanceDepthError, RunFolderError, StorageError
from dancedepth.pipeline.folder_lock import folder_lock
from dancedepth.pipeline.manifest import Manifest, read_manifest
from dancedepth.pipeline.stages import differences
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.workspace import RunFolder

LAST_STAGE = "report"
"""Runs of `dancedepth depth` and of older versions end before it, and have more to do."""
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
    out: Path,
    order: WorkOrder,
    engine: Engine,
    observer: BatchObserver,
    retry: bool = False,
) -> BatchRecord:
    """Reconstruct every video into its own run folder below `out`, and keep the record there.

    Finished runs with the same settings are skipped; videos that failed before with the same settings are skipped too,
    unless `retry` is given. Whatever happens, the record says what is done.

    Raises:
        RunInUseError: another process works in `out`.
        RunFolderError: `out` is a run folder, or holds the record of another version.
        StorageError: `out` cannot be written.
    """
    _prepare(out)
    with folder_lock(out):
        earlier = {} if order.overwrite else _failures(out, order.config, retry)
        lines = {video.name: _line(video, out, order, earlier.get(video.name)) for video in videos}
        file = BatchFile(out, order.config)
        file.update(lines.values(), now=True)
        observer.began(list(lines.values()))
        waiting = [v for v in videos if lines[v.name].status == "waiting"]
        tasks = [Task(v.name, v.path.absolute(), (out / v.name).absolute()) for v in waiting]
        try:
            with closing(engine.run(tasks, order)) as events:  # type: ignore[type-var]
                for event in events:
                    _note(event, lines, out, observer)
                    if isinstance(event, TaskEnded):
                        file.update(lines.values())
        finally:
            record = file.update(lines.values(), now=True)
        assert record is not None
        return record


def _prepare(out: Path) -> None:
    if RunFolder(out).manifest.is_file():
        raise RunFolderError("this folder holds the run of one video", str(out), "Choose another --out")
    if out.exists() and not out.is_dir():
        raise RunFolderError("this is a file, not a folder", str(out), "Choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the output folder cannot be made ({error.strerror})"
        raise StorageError(what, str(out), "Choose another --out") from error


def _failures(out: Path, config: RunConfig, retry: bool) -> dict[str, VideoLine]:
    """Videos that need not be tried again: they failed with the same settings."""
    record = read_record(out)
    if retry or record is None or differences(record.config.to_json(), config.to_json()):
        return {}
    return {line.name: line for line in record.videos if line.status == "failed"}


def _line(video: BatchVideo, out: Path, order: WorkOrder, failed: VideoLine | None) -> VideoLine:
    line = VideoLine(video.name, str(video.path), video.name)
    manifest = None if order.overwrite else _finished(video, out / video.name, order.config)
    if manifest is not None:
        return _done(line, manifest)
    return failed or line


def _finished(video: BatchVideo, run: Path, config: RunConfig) -> Manifest | None:
    """The manifest of a run that needs no more work, found without reading the video."""
    folder = RunFolder(run)
    try:
        if not folder.manifest.is_file():
            return None
        manifest = read_manifest(folder.manifest)
        video_stat, run_stat = video.path.stat(), folder.manifest.stat()
    except (OSError, DanceDepthError):  # whoever works on it will say what is wrong
        return None
    same = video_stat.st_size == manifest.input.bytes and video_stat.st_mtime <= run_stat.st_mtime
    same = same and not differences(manifest.config.to_json(), config.to_json())
    whole = all(folder.holds(stage.name, stage.frames) for stage in manifest.stages)
    to_the_end = manifest.finished and manifest.stage(LAST_STAGE) is not None
    return manifest if to_the_end and same and whole else None


def _done(line: VideoLine, manifest: Manifest) -> VideoLine:
    seconds = sum(stage.seconds for stage in manifest.stages)
    return replace(line, status="done", seconds=seconds, reason="", figures=figures_of(manifest))


def _note(event: Event, lines: dict[str, VideoLine], out: Path, observer: BatchObserver) -> None:
    name = event.task.name
    if isinstance(event, TaskStarted):
        observer.started(name)
    elif isinstance(event, TaskAdvanced):
        observer.advanced(name, event.stage, event.done, event.total)
    else:
        lines[name] = _ended(lines[name], event.task, event.outcome, out)
        observer.ended(lines[name])


def _ended(line: VideoLine, task: Task, outcome: Outcome, out: Path) -> VideoLine:
    line = replace(line, attempts=line.attempts + 1)
    if outcome.succeeded:
        try:
            return replace(_done(line, read_manifest(RunFolder(task.out).manifest)), seconds=outcome.seconds)
        except DanceDepthError as error:
            outcome = Outcome(False, outcome.seconds, str(error))
    reason = outcome.reason
    if outcome.log:
        log = out / LOGS / f"{task.name}.log"
        reason = f"{reason}; details: {log}"
        write_bytes(log, outcome.log.encode(errors="surrogateescape"))
    return replace(line, status="failed", seconds=outcome.seconds, reason=reason)
