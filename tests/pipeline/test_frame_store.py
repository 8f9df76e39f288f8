"""Frames are decoded once, come back as they were, and nothing of them stays anywhere."""

import errno
import os
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from dancedepth.pipeline import decoder, scratch_file
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.frame_store import FrameStore, Kept
from dancedepth.pipeline.frames import VideoFrames, open_video
from dancedepth.pipeline.records import FrameSource
from dancedepth.pipeline.scratch_file import scratch_folder

from tests.pipeline.test_frames import run_ffmpeg

SIZE, SMALL = (96, 64), (48, 32)
FRAME_BYTES = 3 * (96 * 64 + 48 * 32)


@pytest.fixture
def video(tmp_path: Path) -> VideoFrames:
    """A second of 24 frames, none like another."""
    path = tmp_path / "clip.mp4"
    source = "testsrc2=s=64x96:r=24:d=1"
    run_ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", path)
    return open_video(path, FramesConfig(fps=240))


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames each run of ffmpeg left out at the beginning."""
    began: list[int] = []
    real = decoder._command

    def noted(info: object, config: object, first: int, others: object) -> list[str]:
        began.append(first)
        return real(info, config, first, others)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "_command", noted)
    return began


def assert_same(a: FrameSource, b: FrameSource) -> None:
    for one, other in zip_longest(a, b):
        assert (one.index, one.time_s) == (other.index, other.time_s)
        assert np.array_equal(one.rgb, other.rgb)


def test_frames_are_decoded_once_and_come_back_as_they_were(video: VideoFrames, decodings: list[int]) -> None:
    with FrameStore((SIZE, SMALL)) as store:
        kept = video.kept_in(store)
        assert_same(video, kept)
        assert decodings == [0, 0]
        for _ in range(3):
            assert sum(1 for _ in kept) == 24
        assert sum(1 for _ in kept.resized(32, 48)) == 24
        assert decodings == [0, 0]
        assert_same(video, kept)
        assert_same(video.resized(32, 48), kept.resized(32, 48))


@pytest.mark.parametrize("name", ["odd.mkv", "deep.mkv", "alpha.mov", "wide.mp4"])
def test_whatever_the_pictures_are(tmp_path: Path, name: str) -> None:
    options = {
        "odd.mkv": ("-vf", "scale=63:95", "-c:v", "ffv1", "-pix_fmt", "yuv444p"),
        "deep.mkv": ("-c:v", "ffv1", "-pix_fmt", "yuv422p10le"),
        "alpha.mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
        "wide.mp4": ("-vf", "setsar=3/2", "-pix_fmt", "yuv420p"),
    }[name]
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x96:r=24:d=0.5", *options, tmp_path / name)
    video = open_video(tmp_path / name, FramesConfig(fps=12))
    with FrameStore(((video.info.height, video.info.width), SMALL)) as store:
        kept = video.kept_in(store)
        for _ in range(2):
            assert_same(video, kept)
        assert_same(video.resized(32, 48), kept.resized(32, 48))


def test_what_does_not_fit_is_decoded_again(video: VideoFrames, decodings: list[int]) -> None:
    with FrameStore((SIZE, SMALL), most_bytes=10 * FRAME_BYTES) as store:
        kept = video.kept_in(store)
        assert_same(video, kept)
        assert len(store) == 10 and not store.whole
        decodings.clear()
        assert_same(kept, kept)
        assert decodings == [10, 10]  # the first ten come from the store
        assert_same(video.resized(32, 48), kept.resized(32, 48))


def test_a_look_that_ends_early_keeps_what_it_saw(video: VideoFrames) -> None:
    with FrameStore((SIZE,)) as store:
        kept = video.kept_in(store)
        for frame in kept:
            if frame.index == 4:
                break
        assert len(store) == 5 and not store.whole
        assert_same(video, kept)
        assert len(store) == 24 and store.whole


def test_frames_that_are_shown_twice_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "times.nut"
    times = "setpts='if(between(N,4,7),4,N)'"  # four pictures at one time: a run takes the first of them
    source = ("-f", "lavfi", "-i", "testsrc2=s=64x96:r=24:d=1", "-vf", times, "-fps_mode", "passthrough")
    run_ffmpeg(*source, "-c:v", "ffv1", "-f", "nut", path)
    video = open_video(path, FramesConfig(fps=240))
    assert sum(1 for _ in video) == 21
    with FrameStore((SIZE,), most_bytes=10 * 3 * 96 * 64) as store:
        kept = video.kept_in(store)
        for _ in range(2):
            assert_same(video, kept)


def test_a_full_disk_is_no_error(video: VideoFrames, decodings: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = os.pwrite, []

    def full(handle: int, data: memoryview, at: int) -> int:
        written.append(at)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    with FrameStore((SIZE, SMALL)) as store:
        kept = video.kept_in(store)
        assert_same(video, kept)
        assert len(store) == 0 and not store.takes_more  # the room is given back to those who need it
        assert_same(video, kept)


def test_a_failing_disk_is_no_error(video: VideoFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    with FrameStore((SIZE, SMALL)) as store:
        kept, real, reads = video.kept_in(store), os.preadv, []
        assert_same(video, kept)

        def failing(*arguments: object) -> int:
            reads.append(arguments)
            if len(reads) > 7:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "preadv", failing)
        assert_same(video, kept)
        assert len(reads) == 8


@pytest.mark.parametrize("free_bytes", [0, 40 * FRAME_BYTES])
def test_it_takes_a_part_of_what_is_free(video: VideoFrames, monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(scratch_file, "free_memory_mb", lambda: free_bytes / 2**20)
    with FrameStore((SIZE, SMALL)) as store:
        assert sum(1 for _ in video.kept_in(store)) == 24
        assert len(store) == free_bytes / 4 / FRAME_BYTES


def test_nothing_is_left_and_nothing_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_file, "scratch_folder", lambda: tmp_path)
    handles = psutil.Process().num_fds()
    with FrameStore((SIZE,)) as store:
        store.add(Kept(0, 0.0), (np.zeros((*SIZE, 3), np.uint8),))
        assert len(store) == 1 and psutil.Process().num_fds() == handles + 1
        assert list(tmp_path.iterdir()) == []  # so that a killed process leaves nothing either
    assert psutil.Process().num_fds() == handles
    assert store.read(0, SIZE) is None and not store.takes_more


def test_memory_is_no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scratch_file.tempfile, "gettempdir", lambda: str(tmp_path / "a"))
    (tmp_path / "a").mkdir()
    kinds = {"/": "ext4", str(tmp_path.resolve()): "tmpfs", "/var/tmp": "ext4"}
    mounts = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in kinds.items()]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert scratch_folder() == Path("/var/tmp")
