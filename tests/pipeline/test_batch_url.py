"""A batch whose results lie behind a URL: scratch folders, what is put there, what is found there again."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import pytest
from dancedepth.models.weights import sha256_of
from dancedepth.pipeline import remote_lock
from dancedepth.pipeline.batch import run_batch
from dancedepth.pipeline.batch_record import BatchRecord, VideoLine
from dancedepth.pipeline.batch_videos import BatchVideo
from dancedepth.pipeline.batch_work import Event, Outcome, Task, TaskEnded, TaskStarted, WorkOrder
from dancedepth.pipeline.config import FramesConfig, RunConfig
from dancedepth.pipeline.errors import DanceDepthError, PersonError, RunFolderError, StorageError, UsageError
from dancedepth.pipeline.folder_lock import folder_lock
from dancedepth.pipeline.manifest import InputRecord, Manifest, ProgramRecord, StageRecord, write_manifest
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.remote_folder import RemoteFolder
from dancedepth.pipeline.remote_run import run_to_url
from dancedepth.pipeline.worker import order_line, parse_order

from tests.batch_files import batch_files

ORDER = WorkOrder(RunConfig())


def write_run(run: Path, video: Path, config: RunConfig, masks: int = 2) -> None:
    """A run as a user finds it, with little in it."""
    (run / "masks").mkdir(parents=True)
    for index in range(masks):
        (run / "masks" / f"{index:06d}.png").write_bytes(b"mask")
    (run / "report.html").write_text("report")
    (run / "preview.mp4").write_text("preview")
    record = InputRecord(str(video), sha256_of(video), video.stat().st_size, 64, 48, 24.0, 0, 1.0, "h264")
    stages = (StageRecord("report", 1.5, 2),)
    made = Manifest(record, config, ProgramRecord("dancedepth", "0", "0"), finished=True, stages=stages)
    write_manifest(run / "run.json", made)


@dataclass
class Hand:
    """An engine that does as a worker does, with a pretended reconstruction; "bad" videos fail, "cut" ones are cut."""

    given: list[str] = field(default_factory=list)
    masks: int = 2

    def run(self, tasks: Sequence[Task], order: WorkOrder) -> Iterator[Event]:
        for task in tasks:
            self.given.append(task.name)
            yield TaskStarted(task)
            yield TaskEnded(task, self._outcome(task, order))

    def _outcome(self, task: Task, order: WorkOrder) -> Outcome:
        def make(scratch: Path) -> None:
            if "bad" in task.name:
                scratch.mkdir(parents=True)
                raise PersonError("nobody was found")
            if "cut" in task.name:
                scratch.mkdir(parents=True)
                raise KeyboardInterrupt
            write_run(scratch, task.video, order.config, self.masks)

        assert isinstance(task.out, str)
        try:
            run_to_url(task.video, task.out, order.config, order.overwrite, Silent(), make)
        except DanceDepthError as error:
            return Outcome(False, 1.0, str(error), log="Traceback ..." if "worse" in task.name else "")
        return Outcome(True, 2.0)


class Nobody:
    def began(self, lines: Sequence[VideoLine]) -> None: ...
    def started(self, name: str) -> None: ...
    def advanced(self, name: str, stage: str, done: int, total: int | None) -> None: ...
    def ended(self, line: VideoLine) -> None: ...


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made."""
    monkeypatch.setattr(remote_lock, "SETTLE_S", 0.0)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp" / f"dancedepth-{os.getuid()}"


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, scratch: Path) -> Iterator[str]:
    yield f"file://{tmp_path}/out" if request.param == "file" else f"memory://{tmp_path.name}/out"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def videos(tmp_path: Path) -> list[BatchVideo]:
    return batch_files(tmp_path / "in", "a.mp4", "sub/bad worse.mp4", "sub/c.mp4")


def batch(
    videos: list[BatchVideo], url: str, order: WorkOrder = ORDER, retry: bool = False, masks: int = 2
) -> tuple[BatchRecord, list[str]]:
    """The record, and the names of the videos that were worked on."""
    hand = Hand(masks=masks)
    return run_batch(videos, url, order, hand, Nobody(), retry), hand.given


def test_runs_and_record_are_put(videos: list[BatchVideo], url: str, scratch: Path) -> None:
    record, _ = batch(videos, url)
    assert [line.status for line in record.videos] == ["done", "failed", "done"]
    there = RemoteFolder(url)
    runs = {"masks/000000.png", "masks/000001.png", "preview.mp4", "report.html", "run.json"}
    expected = {f"{name}/{file}" for name in ("a.mp4", "sub/c.mp4") for file in runs}
    assert set(there.names()) == expected | {"batch.csv", "batch.json", "failures/sub/bad worse.mp4.log"}
    assert there.read("a.mp4/masks/000001.png") == b"mask"
    assert f"{url}/failures/sub/bad worse.mp4.log" in record.videos[1].reason
    said = json.loads(there.read("batch.json") or b"")
    assert said["counts"] == {"done": 2, "failed": 1, "waiting": 0}
    assert list(scratch.iterdir()) == []


def test_again_skips_what_is_there(videos: list[BatchVideo], url: str) -> None:
    assert batch(videos, url)[1] == [video.name for video in videos]
    record, given = batch(videos, url)
    assert given == [] and record.videos[0].status == "done" and record.videos[0].seconds == 1.5
    assert batch(videos, url, retry=True)[1] == ["sub/bad worse.mp4"]
    RemoteFolder(url).remove(["sub/c.mp4/run.json"])  # as if it had been cut off while it was put
    assert batch(videos, url)[1] == ["sub/c.mp4"]
    assert batch(videos, url, WorkOrder(RunConfig(), overwrite=True))[1] == [video.name for video in videos]


def test_overwriting_leaves_nothing_old(videos: list[BatchVideo], url: str) -> None:
    batch(videos, url, masks=3)
    batch(videos, url, WorkOrder(RunConfig(), overwrite=True), masks=1)
    names = RemoteFolder(f"{url}/a.mp4").names()
    assert names == ["masks/000000.png", "preview.mp4", "report.html", "run.json"]


def test_other_settings_and_other_videos_are_not_overwritten(videos: list[BatchVideo], url: str) -> None:
    batch(videos, url)
    record, _ = batch(videos, url, WorkOrder(RunConfig(frames=FramesConfig(fps=6))))
    assert "with other settings (frames.fps" in record.videos[0].reason
    videos[0].path.write_text("longer than before")
    record, given = batch(videos, url)
    assert given == ["a.mp4", "sub/bad worse.mp4"], "c is there with these settings, and the failure had others"
    assert "of another video" in record.videos[0].reason and record.videos[2].status == "done"


def test_a_video_that_only_looks_younger_is_not_done_again(videos: list[BatchVideo], url: str) -> None:
    batch(videos, url)
    later = RemoteFolder(url).written_s("a.mp4/run.json") + 10
    os.utime(videos[0].path, (later, later))
    record, given = batch(videos, url, masks=9)
    assert given == ["a.mp4"] and record.videos[0].status == "done"
    assert RemoteFolder(url).read("a.mp4/masks/000008.png") is None


def test_somebody_elses_files_are_left(videos: list[BatchVideo], url: str) -> None:
    RemoteFolder(url).write("a.mp4/diary.txt", b"dear diary")
    record, _ = batch(videos, url)
    assert "diary.txt is in it" in record.videos[0].reason
    assert RemoteFolder(url).names() == sorted({*RemoteFolder(url).names(), "a.mp4/diary.txt"})


def test_an_interruption_keeps_the_scratch_folder(videos: list[BatchVideo], url: str, scratch: Path) -> None:
    cut = BatchVideo("cut.mp4", videos[0].path)
    with pytest.raises(KeyboardInterrupt):
        batch([cut], url)
    kept = list(scratch.iterdir())
    assert len(kept) == 1
    seen = []

    def finish(out: Path) -> None:
        seen.append(out)
        out.rmdir()
        write_run(out, cut.path, RunConfig())

    run_to_url(cut.path, f"{url}/cut.mp4", RunConfig(), False, Silent(), finish)
    assert seen == kept and list(scratch.iterdir()) == []


def test_what_could_not_be_put_is_not_made_again(
    videos: list[BatchVideo], url: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: RemoteFolder, folder: Path, names: list[str]) -> None:
        raise StorageError("the store is gone", self.url)

    with monkeypatch.context() as patched:
        patched.setattr(RemoteFolder, "put", gone)
        record, _ = batch(videos[:1], url)
    assert "the store is gone" in record.videos[0].reason
    (kept,) = scratch.iterdir()
    assert (kept / "run.json").is_file()
    run_to_url(videos[0].path, f"{url}/a.mp4", RunConfig(), False, Silent(), lambda out: (out / "run.json").stat())
    assert RemoteFolder(url).read("a.mp4/report.html") == b"report" and list(scratch.iterdir()) == []


def test_a_run_folder_is_refused(videos: list[BatchVideo], url: str) -> None:
    batch(videos, url)
    with pytest.raises(RunFolderError, match="run of one video"):
        batch(videos, f"{url}/a.mp4")


def test_names_that_are_no_text(tmp_path: Path, url: str) -> None:
    path = tmp_path / os.fsdecode(b"\xff [1]*#?.mp4")
    path.touch()
    video = [BatchVideo(path.name, path)]
    assert batch(video, url)[0].videos[0].status == "done"
    assert batch(video, url)[1] == []


def test_places_that_cannot_be_written(videos: list[BatchVideo], tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot be written.*Check the address"):
        batch(videos, f"file://{tmp_path}/file/out")
    with pytest.raises(UsageError, match="not known"):
        batch(videos, "nowhere://bucket/out")
    assert not (tmp_path / "nowhere:").exists()


def test_a_missing_library_is_told(videos: list[BatchVideo], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(UsageError, match=r"s3://bucket/out: .*s3fs.*pip install 'dancedepth\[s3\]'"):
        batch(videos, "s3://bucket/out")


def test_orders_with_urls_survive_the_pipe() -> None:
    task = Task("a.mp4", Path("/v/a.mp4"), "s3://bucket/out/a.mp4")
    assert parse_order(order_line(task, ORDER)) == (task, ORDER)


def test_the_scratch_folder_is_held(videos: list[BatchVideo], url: str, scratch: Path) -> None:
    """Not by this module but by the run that is made in it: the second attempt finds the same folder."""
    places: list[Path] = []

    def make(out: Path) -> None:
        places.append(out)
        out.mkdir(parents=True, exist_ok=True)
        with folder_lock(out):
            if len(places) == 1:
                run_to_url(videos[0].path, f"{url}/a.mp4", RunConfig(), False, Silent(), make)

    with pytest.raises(DanceDepthError, match="is writing this run folder"):
        run_to_url(videos[0].path, f"{url}/a.mp4", RunConfig(), False, Silent(), make)
    assert len(set(places)) == 1
