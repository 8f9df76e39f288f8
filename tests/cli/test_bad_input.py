"""Every bad input ends in one clear line and the right exit code, and leaves nothing half-written."""

import os
import pickle
import random
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dancedepth.models.known_weights import TABLE
from dancedepth.models.weights import fetch

from tests.cli.conftest import Command, ffmpeg, files_under

FAILURE, USAGE = 1, 2


def test_missing_file(command: Command, tmp_path: Path) -> None:
    said = command("reconstruct", tmp_path / "no.mp4", "-o", tmp_path / "out")
    said.assert_one_line(FAILURE, "no.mp4", "no such file")
    assert not (tmp_path / "out").exists()


def test_folder(command: Command, tmp_path: Path) -> None:
    command("reconstruct", tmp_path, "-o", tmp_path / "out").assert_one_line(FAILURE, str(tmp_path), "folder")


def test_text_renamed(command: Command, tmp_path: Path) -> None:
    video = tmp_path / "notes.mp4"
    video.write_text("Step, step, turn.\n" * 200)
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "notes.mp4", "video")
    assert not (tmp_path / "out").exists()


def test_empty_file(command: Command, tmp_path: Path) -> None:
    video = tmp_path / "empty.mp4"
    video.touch()
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "empty.mp4", "empty")


def test_truncated(command: Command, tmp_path: Path, clip: Path) -> None:
    """An mp4 keeps its index at the end, so that a cut one cannot be read at all."""
    video = tmp_path / "cut.mp4"
    video.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "cut.mp4", "video")
    assert not (tmp_path / "out").exists()


def test_sound_alone(command: Command, tmp_path: Path) -> None:
    video = tmp_path / "song.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", video)
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "song.mp4", "sound")


def test_one_frame(command: Command, tmp_path: Path, clip: Path) -> None:
    video = tmp_path / "still.mp4"
    ffmpeg("-i", clip, "-frames:v", "1", video)
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "still.mp4", "one frame")
    assert not (tmp_path / "out").exists()


def test_nobody(command: Command, tmp_path: Path) -> None:
    video = tmp_path / "room.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=240x426:r=12:d=0.5", "-pix_fmt", "yuv420p", video)
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "room.mp4", "nobody")
    assert not (tmp_path / "out").exists()


def test_somebody_in_three_frames(command: Command, tmp_path: Path, clip: Path) -> None:
    video = tmp_path / "passing.mp4"
    ffmpeg("-i", clip, "-vf", "drawbox=color=gray:t=fill:enable='gte(n,3)'", "-pix_fmt", "yuv420p", video)
    command("reconstruct", video, "-o", tmp_path / "out").assert_one_line(FAILURE, "3 frames")
    assert not (tmp_path / "out").exists()


def test_out_below_a_file(command: Command, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "file").touch()
    command("reconstruct", clip, "-o", tmp_path / "file" / "out").assert_one_line(FAILURE, "file", "cannot be made")


def test_out_where_nobody_may_write(command: Command, clip: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    command("reconstruct", clip, "-o", "/proc/dancedepth-out").assert_one_line(FAILURE, "/proc", "cannot be made")


def test_out_without_the_right_to_write(command: Command, tmp_path: Path, clip: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    command("reconstruct", clip, "-o", tmp_path / "out").assert_one_line(FAILURE, "Permission denied")


def test_out_with_somebody_elses_files(command: Command, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    command("reconstruct", clip, "-o", tmp_path, "--overwrite").assert_one_line(USAGE, "thesis.txt")
    assert files_under(tmp_path) == {"thesis.txt"}


def test_out_is_a_file(command: Command, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "out").write_text("mine")
    command("reconstruct", clip, "-o", tmp_path / "out", "--overwrite").assert_one_line(USAGE, "a file, not a folder")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own that holds the tracks and a few mattes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes more rights than there are")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_disk_full(command: Command, small_disk: Path, clip: Path) -> None:
    command("reconstruct", clip, "-o", small_disk / "out").assert_one_line(FAILURE, "No space left", "Free some space")
    assert files_under(small_disk) <= {"out/run.json", "out/tracks.json"}


def test_files_larger_than_allowed(command: Command, tmp_path: Path, clip: Path) -> None:
    """The disk refuses in the middle of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        said = command("reconstruct", clip, "-o", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said.assert_one_line(FAILURE, "too large", "tracks.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--hand-model", "--face-model"])
def test_a_network_of_something_else_is_told_before_anything_starts(
    command: Command, tmp_path: Path, clip: Path, option: str
) -> None:
    said = command("reconstruct", clip, "-o", tmp_path / "out", option, fetch("blazepose"))
    said.assert_one_line(FAILURE, "pose_landmark_full.tflite", "MediaPipe's network")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--pose-model", "--segmenter", "--hand-model", "--face-model"])
def test_unknown_model(command: Command, tmp_path: Path, clip: Path, option: str) -> None:
    said = command("reconstruct", clip, "-o", tmp_path / "out", option, "yolo99-pose")
    said.assert_one_line(USAGE, "yolo99-pose", "Known names")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pose.pt", "pose.onnx"])
def test_broken_weights_of_the_users(command: Command, tmp_path: Path, clip: Path, name: str) -> None:
    weights = tmp_path / name
    weights.write_bytes(random.Random(0).randbytes(5000))
    said = command("reconstruct", clip, "-o", tmp_path / "out", "--pose-model", weights, "--trust")
    said.assert_one_line(FAILURE, name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--pose-model", "--segmenter"])
def test_a_pickle_of_unknown_origin_is_not_opened(command: Command, tmp_path: Path, clip: Path, option: str) -> None:
    weights = tmp_path / "found_on_the_web.pt"
    weights.write_bytes(pickle.dumps(Trap(str(tmp_path / "was_here"))))
    said = command("reconstruct", clip, "-o", tmp_path / "out", option, weights)
    said.assert_one_line(USAGE, weights.name, "run code", "--trust")
    assert not (tmp_path / "out").exists() and not (tmp_path / "was_here").exists()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and an empty cache."""
    nowhere = "http://127.0.0.1:9"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)
    for name in ("no_proxy", "NO_PROXY", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"{nowhere}/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    cache = tmp_path / "cache"
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(cache))
    return cache


def test_no_network(command: Command, offline: Path, tmp_path: Path, clip: Path) -> None:
    said = command("reconstruct", clip, "-o", tmp_path / "out")
    said.assert_one_line(FAILURE, "yolo11n-pose", "could not be fetched", "network", "dancedepth weights fetch")
    assert not (tmp_path / "out").exists()
    assert files_under(offline) == set()


def test_a_cache_that_cannot_be_written(
    command: Command, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path / "file" / "cache"))
    said = command("reconstruct", clip, "-o", tmp_path / "out")
    said.assert_one_line(FAILURE, "cache folder cannot be written", "DANCEDEPTH_CACHE")
    assert not (tmp_path / "out").exists()


def test_a_pipe_is_not_waited_for(command: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    command("reconstruct", tmp_path / "pipe.mp4", "-o", tmp_path / "out").assert_one_line(FAILURE, "pipe")


def test_no_network_and_a_broken_cached_file(command: Command, offline: Path, tmp_path: Path, clip: Path) -> None:
    weights = TABLE["yolo11n-pose"]
    offline.mkdir()
    (offline / weights.file).write_bytes(b"cut off")
    command("reconstruct", clip, "-o", tmp_path / "out").assert_one_line(FAILURE, weights.file, "could not be fetched")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--fps", "0"], "--fps"),
        (["--fps", "fast"], "--fps"),
        (["--fps", "nan"], "--fps"),
        (["--start", "3", "--end", "2"], "--end"),
        (["--height", "17"], "--height"),
        (["--focal-px", "900", "--fov", "60"], "--fov"),
        (["--depth-model", "magic"], "magic"),
        (["--voxel-mm", "100"], "--voxel-mm"),
        (["--device", "abacus"], "--device"),
        (["--colour"], "--colour"),
    ],
)
def test_wrong_options(command: Command, tmp_path: Path, clip: Path, options: list[str], word: str) -> None:
    command("reconstruct", clip, "-o", tmp_path / "out", *options).assert_one_line(USAGE, word, "--help")
    assert not (tmp_path / "out").exists()


def test_a_start_after_the_end_of_the_video(command: Command, tmp_path: Path, clip: Path) -> None:
    command("reconstruct", clip, "-o", tmp_path / "out", "--start", "60").assert_one_line(FAILURE, "--start")


def test_a_person_who_is_not_there(command: Command, tmp_path: Path, clip: Path) -> None:
    command("reconstruct", clip, "-o", tmp_path / "out", "--person", "9").assert_one_line(FAILURE, "--person")
    assert not (tmp_path / "out").exists()


def test_no_video_named(command: Command) -> None:
    command("reconstruct").assert_one_line(USAGE, "video")
    command("reconstruct", "--fps", "6").assert_one_line(USAGE, "video")


def test_no_such_command(command: Command) -> None:
    command("reconstuct").assert_one_line(USAGE, "reconstuct")
