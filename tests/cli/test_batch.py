"""`dancedepth batch` with real processes: bad videos among good ones, a killed worker, Ctrl-C, and another call."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Command, Said, ffmpeg, files_under
from tests.cli.test_stop_and_go import PATIENCE_S, QUICK, START


@dataclass(frozen=True)
class Story:
    """A folder of one good video and five bad ones: stopped by Ctrl-C, then finished."""

    videos: Path
    out: Path
    interrupted: Said
    after_interrupt: set[str]
    left_running: list[psutil.Process]
    statuses_after_interrupt: dict[str, str]
    finished: Said

    def lines(self) -> dict[str, dict[str, object]]:
        """The record, by name."""
        return lines_of(self.out)


def lines_of(out: Path) -> dict[str, dict[str, object]]:
    return {line["name"]: line for line in json.loads((out / "batch.json").read_text())["videos"]}


def batch_until(videos: Path, out: Path | str, happened: Callable[[psutil.Process], bool], *options: str) -> Said:
    """Run `dancedepth batch`; `happened` looks at it now and then until it says that it has done its part."""
    command = [*START, "batch", str(videos), "-o", str(out), *QUICK, "--jobs", "1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + PATIENCE_S
        watched = psutil.Process(process.pid)
        while process.poll() is None and time.monotonic() < deadline and not happened(watched):
            time.sleep(0.01)
        output, errors = process.communicate(timeout=PATIENCE_S)
    return Said(process.returncode, output, errors)


@pytest.fixture(scope="module")
def story(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    root = tmp_path_factory.mktemp("batch")
    videos, out = root / "videos", root / "out"
    (videos / "more").mkdir(parents=True)
    (videos / "more" / "b_good.mp4").symlink_to(clip)
    (videos / "a_empty.mp4").touch()
    (videos / "c_text.mp4").write_text("hello " * 100)
    (videos / "d_cut.mov").write_bytes(clip.read_bytes()[:20000])
    (videos / "more" / "f_gone.mp4").symlink_to(root / "gone.mp4")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=240x426:r=12:d=0.5", "-pix_fmt", "yuv420p", videos / "r_room.mp4")
    children: list[psutil.Process] = []

    def interrupt(process: psutil.Process) -> bool:
        if len(list(out.glob("more/b_good.mp4/masks/*.png"))) < 2:
            return False
        children.extend(process.children(recursive=True))
        process.send_signal(signal.SIGINT)
        return True

    interrupted = batch_until(videos, out, interrupt)
    after, left = files_under(out), [child for child in children if child.is_running()]
    statuses = {name: str(line["status"]) for name, line in lines_of(out).items()}
    finished = batch_until(videos, out, lambda _: True, "--json")
    yield Story(videos, out, interrupted, after, left, statuses, finished)


def test_ctrl_c_stops_cleanly(story: Story) -> None:
    assert story.interrupted.code == 130
    assert story.interrupted.err.count("\n") == 1 and "interrupted" in story.interrupted.err
    assert story.left_running == []
    single = {"batch.json", "batch.csv", "more/b_good.mp4/run.json", "more/b_good.mp4/tracks.json"}
    assert story.after_interrupt == single
    assert story.statuses_after_interrupt["a_empty.mp4"] == "failed"
    assert story.statuses_after_interrupt["more/b_good.mp4"] == "waiting"


def test_the_rest_is_done_later(story: Story) -> None:
    assert story.finished.code == 1 and "failed before" in story.finished.err.splitlines()[0]
    assert "a_empty" not in story.finished.err, "it had failed before"
    said = {line["name"]: line for line in json.loads(story.finished.out)["videos"]}
    assert said == story.lines()
    assert {name for name, line in said.items() if line["status"] == "done"} == {"more/b_good.mp4"}
    assert said["more/b_good.mp4"]["figures"]["frames_used"] == 6
    stages = json.loads((story.out / "more" / "b_good.mp4" / "run.json").read_text())["stages"]
    assert stages[0]["name"] == "tracks"


@pytest.mark.slow
def test_a_killed_worker_costs_its_video_only(clip: Path, tmp_path: Path) -> None:
    """The real worker, as the system kills one when memory runs out; `--retry` then finishes what it had begun."""
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (videos / name).symlink_to(clip)

    def kill_worker(process: psutil.Process) -> bool:
        ready = (out / "a.mp4" / "depth").exists()
        if ready:
            process.children()[0].kill()
        return ready

    killed = batch_until(videos, out, kill_worker)
    assert killed.code == 1 and killed.err == ""
    assert any(line.startswith("failed  a.mp4") and "killed" in line for line in killed.out.splitlines())
    assert any(line.startswith("done    b.mp4") for line in killed.out.splitlines())
    retried = batch_until(videos, out, lambda _: True, "--retry")
    assert retried.code == 0 and "2 done" in retried.out
    a, b = contents(out / "a.mp4"), contents(out / "b.mp4")
    assert [name for name in a if a[name] != b[name]] == []


@pytest.mark.slow
def test_results_behind_a_url(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch, put to a URL: interrupted, and finished by another call."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    url, out = f"file://{tmp_path}/out", tmp_path / "out"

    def interrupt(process: psutil.Process) -> bool:
        ready = len(list((tmp_path / "tmp").glob("dancedepth-*/*/masks/*.png"))) >= 2
        if ready:
            process.send_signal(signal.SIGINT)
        return ready

    assert batch_until(story.videos, url, interrupt).code == 130
    assert files_under(out) == {"batch.json", "batch.csv"}
    finished = batch_until(story.videos, url, lambda _: True, "--json")
    assert finished.code == 1 and finished.err.startswith("0 done before, 3 failed before")
    here, there = lines_of(out), story.lines()
    assert {name: line["status"] for name, line in here.items()} == {n: line["status"] for n, line in there.items()}
    assert files_under(out) == files_under(story.out)
    a, b = contents(out / "more" / "b_good.mp4"), contents(story.out / "more" / "b_good.mp4")
    assert [name for name in b if a[name] != b[name]] == []
    assert list((tmp_path / "tmp").glob("dancedepth-*/*")) == []


def test_reasons_of_failures(story: Story) -> None:
    reasons = {name: str(line["reason"]) for name, line in story.lines().items() if line["status"] == "failed"}
    words = {
        "a_empty.mp4": "the file is empty",
        "c_text.mp4": "cannot be read as a video",
        "d_cut.mov": "video",
        "more/f_gone.mp4": "no such file",
        "r_room.mp4": "nobody was found",
    }
    assert set(reasons) == set(words)
    assert all(word in reasons[name] for name, word in words.items()), reasons


def test_nothing_else_lies_in_out(story: Story) -> None:
    other = {name for name in files_under(story.out) if not name.startswith("more/b_good.mp4/")}
    assert other == {"batch.json", "batch.csv"}


def test_another_call_has_nothing_to_do(story: Story, command: Command) -> None:
    before = {path: path.stat().st_mtime_ns for path in story.out.rglob("*") if "batch" not in path.name}
    said = command("batch", story.videos, "-o", story.out, *QUICK)
    assert said.code == 1 and "1 done, 5 failed" in said.out
    assert before == {path: path.stat().st_mtime_ns for path in story.out.rglob("*") if "batch" not in path.name}


def test_a_run_can_be_repeated_bit_for_bit(story: Story, command: Command, tmp_path: Path) -> None:
    """From its run.json alone, in another process than the batch's worker, which was interrupted in between too."""
    run = story.out / "more" / "b_good.mp4"
    said = command("reconstruct", "--config", run / "run.json", "-o", tmp_path / "again")
    assert said.code == 0, said
    again, before = contents(tmp_path / "again"), contents(run)
    assert set(again) == set(before)
    assert [name for name in before if again[name] != before[name]] == []


def contents(run: Path) -> dict[str, bytes]:
    """Of a run's files; of its manifest, what does not depend on the clock, the memory and the command's words.

    The report shows the seconds of every stage, so it is left out.
    """
    found = {name: (run / name).read_bytes() for name in files_under(run) if name not in ("run.json", "report.html")}
    manifest = json.loads((run / "run.json").read_text())
    for stage in manifest["stages"]:
        del stage["seconds"]
    del manifest["peak_memory_mb"], manifest["input"]["path"]
    return {**found, "run.json": json.dumps(manifest).encode()}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--jobs", "0"], "--jobs"),
        (["--time-limit", "0"], "--time-limit"),
        (["--fps", "0"], "--fps"),
        (["--engine", "steam"], "--engine"),
        ([], "--out"),
    ],
)
def test_wrong_options(command: Command, tmp_path: Path, options: list[str], word: str) -> None:
    (tmp_path / "a.mp4").touch()
    out = ["-o", tmp_path / "out"] if options else []
    command("batch", tmp_path, *out, *options).assert_one_line(2, word)
    assert not (tmp_path / "out").exists()


def test_a_url_that_nobody_knows(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    command("batch", "a.mp4", "-o", "nowhere://bucket/out").assert_one_line(2, "nowhere://bucket/out", "not known")
    assert os.listdir(tmp_path) == ["a.mp4"]  # noqa: PTH208


def test_no_videos(command: Command, tmp_path: Path) -> None:
    command("batch", tmp_path, "-o", tmp_path / "out").assert_one_line(1, "no video here")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
