"""The record of a batch: what is skipped, what is tried again, and what a failure leaves behind."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from dancedepth.pipeline.batch import run_batch
from dancedepth.pipeline.batch_record import BatchRecord, VideoLine, read_record
from dancedepth.pipeline.batch_videos import BatchVideo
from dancedepth.pipeline.batch_work import Event, Outcome, Task, TaskEnded, TaskStarted, WorkOrder, work_on
from dancedepth.pipeline.config import FramesConfig, RunConfig
from dancedepth.pipeline.errors import RunFolderError, RunInUseError, StorageError
from dancedepth.pipeline.folder_lock import folder_lock
from dancedepth.pipeline.manifest import (
    FrameRecord,
    InputRecord,
    Manifest,
    ProgramRecord,
    StageRecord,
    read_manifest,
    write_manifest,
)
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.workspace import STAGE_OUTPUTS, RunFolder

from tests.batch_files import batch_files

ORDER = WorkOrder(RunConfig())


@dataclass
class Pretence:
    """An engine that writes the manifest of a finished run, fails on videos called bad, and stops where it is told."""

    given: list[str] = field(default_factory=list)
    stop_at: str | None = None

    def run(self, tasks: Sequence[Task], order: WorkOrder) -> Iterator[Event]:
        for task in tasks:
            self.given.append(task.name)
            yield TaskStarted(task)
            if task.name == self.stop_at:
                raise KeyboardInterrupt
            if "bad" in task.name:
                log = "Traceback ..." if "worse" in task.name else ""
                yield TaskEnded(task, Outcome(False, 1.0, "nobody was found", log))
                continue
            task.out.mkdir(parents=True, exist_ok=True)
            for name in STAGE_OUTPUTS["report"]:
                (task.out / name).touch()
            write_manifest(RunFolder(task.out).manifest, manifest_of(task.video, order.config))
            yield TaskEnded(task, Outcome(True, 2.0))


def manifest_of(video: Path, config: RunConfig) -> Manifest:
    record = InputRecord(str(video), "0" * 64, video.stat().st_size, 64, 48, 24.0, 0, 1.0, "h264")
    frames = (FrameRecord(0, 0.0, True, None), FrameRecord(1, 0.1, False, "blurred"))
    program = ProgramRecord("dancedepth", "0", "0")
    stages = (StageRecord("report", 1.5, 2),)
    return Manifest(record, config, program, finished=True, frames=frames, stages=stages, warnings=("dark", "small"))


class Watcher:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.before: dict[str, str] = {}

    def began(self, lines: Sequence[VideoLine]) -> None:
        self.before = {line.name: line.status for line in lines}

    def started(self, name: str) -> None:
        self.said.append(f"started {name}")

    def advanced(self, name: str, stage: str, done: int, total: int | None) -> None:
        self.said.append(f"{name} {stage} {done}/{total}")

    def ended(self, line: VideoLine) -> None:
        self.said.append(f"{line.status} {line.name}")


@pytest.fixture
def videos(tmp_path: Path) -> list[BatchVideo]:
    return batch_files(tmp_path / "in", "a.mp4", "sub/bad.mp4", "sub/c.mp4")


def batch(videos: list[BatchVideo], out: Path, order: WorkOrder = ORDER, retry: bool = False) -> list[str]:
    """Names of the videos that were worked on."""
    engine = Pretence()
    run_batch(videos, out, order, engine, Watcher(), retry)
    return engine.given


def test_a_line_for_every_video(videos: list[BatchVideo], tmp_path: Path) -> None:
    watcher = Watcher()
    record = run_batch(videos, tmp_path / "out", ORDER, Pretence(), watcher)
    assert watcher.before == {video.name: "waiting" for video in videos}
    assert watcher.said[:2] == ["started a.mp4", "done a.mp4"] and "failed sub/bad.mp4" in watcher.said
    a, bad, c = record.videos
    assert (a.status, bad.status, c.status) == ("done", "failed", "done")
    assert (a.figures.frames, a.figures.frames_used, a.seconds) == (2, 1, 2.0)
    assert bad.reason == "nobody was found" and bad.attempts == 1
    assert read_record(tmp_path / "out") == record


def test_the_files(videos: list[BatchVideo], tmp_path: Path) -> None:
    run_batch(videos, tmp_path / "out", ORDER, Pretence(), Watcher())
    said = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert said["counts"] == {"done": 2, "failed": 1, "waiting": 0}
    rows = list(csv.DictReader((tmp_path / "out" / "batch.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["a.mp4", "sub/bad.mp4", "sub/c.mp4"]
    assert rows[0]["warnings"] == "dark; small" and rows[0]["status"] == "done" and rows[0]["frames"] == "2"
    assert rows[1]["reason"] == "nobody was found"


def test_again_skips_what_is_finished_and_what_failed(videos: list[BatchVideo], tmp_path: Path) -> None:
    assert batch(videos, tmp_path / "out") == ["a.mp4", "sub/bad.mp4", "sub/c.mp4"]
    assert batch(videos, tmp_path / "out") == []
    assert batch(videos, tmp_path / "out", retry=True) == ["sub/bad.mp4"]
    assert batch(videos, tmp_path / "out", WorkOrder(RunConfig(), overwrite=True)) == [v.name for v in videos]


def test_other_settings_are_another_matter(videos: list[BatchVideo], tmp_path: Path) -> None:
    batch(videos, tmp_path / "out")
    other = WorkOrder(RunConfig(frames=FramesConfig(fps=6)))
    assert batch(videos, tmp_path / "out", other) == [video.name for video in videos]


def test_a_changed_video_is_done_again(videos: list[BatchVideo], tmp_path: Path) -> None:
    batch(videos, tmp_path / "out")
    videos[0].path.write_text("longer than before")
    assert batch(videos, tmp_path / "out") == ["a.mp4"]
    later = (tmp_path / "out" / "sub" / "c.mp4" / "run.json").stat().st_mtime + 10
    os.utime(videos[2].path, (later, later))
    assert batch(videos, tmp_path / "out") == ["sub/c.mp4"]


def test_a_run_that_is_not_whole_is_done_again(videos: list[BatchVideo], tmp_path: Path) -> None:
    """A file of it is gone; or it was made by `dancedepth depth`, and ends before the last stage."""
    batch(videos, tmp_path / "out")
    (tmp_path / "out" / "a.mp4" / "report.html").unlink()
    c = RunFolder(tmp_path / "out" / "sub" / "c.mp4").manifest
    write_manifest(c, replace(read_manifest(c), stages=()))
    assert batch(videos, tmp_path / "out") == ["a.mp4", "sub/c.mp4"]


def test_an_interruption_loses_nothing(videos: list[BatchVideo], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_batch(videos, tmp_path / "out", ORDER, Pretence(stop_at="sub/c.mp4"), Watcher())
    record = read_record(tmp_path / "out")
    assert record is not None
    assert [line.status for line in record.videos] == ["done", "failed", "waiting"]
    assert batch(videos, tmp_path / "out") == ["sub/c.mp4"]


def test_what_is_no_ordinary_failure_leaves_a_log(videos: list[BatchVideo], tmp_path: Path) -> None:
    worse = BatchVideo("sub/bad worse.mp4", videos[0].path)
    record = run_batch([worse], tmp_path / "out", ORDER, Pretence(), Watcher())
    log = tmp_path / "out" / "failures" / "sub" / "bad worse.mp4.log"
    assert log.read_text() == "Traceback ..." and str(log) in record.videos[0].reason


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b'\xff,"\n.mp4')
    path.touch()
    record = run_batch([BatchVideo(path.name, path)], tmp_path / "out", ORDER, Pretence(), Watcher())
    assert record.count("done") == 1
    assert read_record(tmp_path / "out") == record
    text = (tmp_path / "out" / "batch.csv").read_bytes().decode(errors="surrogateescape")
    assert next(csv.DictReader(text.splitlines(keepends=True)))["name"] == path.name


def test_one_batch_at_a_time(videos: list[BatchVideo], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with folder_lock(tmp_path / "out"), pytest.raises(RunInUseError):
        batch(videos, tmp_path / "out")


def test_a_run_folder_is_refused(videos: list[BatchVideo], tmp_path: Path) -> None:
    write_manifest(RunFolder(tmp_path / "run").manifest, manifest_of(videos[0].path, RunConfig()))
    with pytest.raises(RunFolderError, match="run of one video"):
        batch(videos, tmp_path / "run")


def test_folders_that_cannot_be_made(videos: list[BatchVideo], tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="a file"):
        batch(videos, videos[0].path)
    with pytest.raises(StorageError, match="cannot be made"):
        batch(videos, videos[0].path / "out")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 9}', '{"schema_version": 1, "config": {}}'])
def test_a_broken_record_is_told(videos: list[BatchVideo], tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"batch\.json"):
        batch(videos, tmp_path / "out")


def test_whatever_happens_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "a.mp4"
    video.touch()
    task = Task("a.mp4", video, tmp_path / "out")
    assert "the file is empty" in work_on(task, ORDER, Silent()).reason

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("no\nframes")

    monkeypatch.setattr("dancedepth.pipeline.frames.open_video", broken)
    outcome = work_on(task, ORDER, Silent())
    assert "a bug in dancedepth (ZeroDivisionError: no frames)" in outcome.reason and "Traceback" in outcome.log
    monkeypatch.setattr("dancedepth.pipeline.frames.open_video", lambda *_: exec("raise MemoryError"))
    outcome = work_on(task, ORDER, Silent())
    assert "not enough memory" in outcome.reason and outcome.log == ""
    assert not (tmp_path / "out").exists()


def test_a_record_counts() -> None:
    lines = tuple(VideoLine(str(i), "v", "r", status=s) for i, s in enumerate(("done", "failed", "done")))  # type: ignore[arg-type]
    assert BatchRecord(RunConfig(), lines).count("done") == 2
