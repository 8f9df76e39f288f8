"""Videos of every awkward kind, made with the bundled ffmpeg, so that tests do not depend on the one on the PATH."""

import gc
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.errors import VideoError
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.probe import parse_probe, probe_video

ALL = FramesConfig(fps=240)
Maker = Callable[..., Path]


def run_ffmpeg(*arguments: object) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """A clip whose left half is red and right half blue, with a green top: `make(name, *encoder_options)`."""

    def build(name: str, *options: object, size: str = "64x48", rate: int = 24, seconds: float = 1.0) -> Path:
        path = tmp_path / name
        width, height = map(int, size.split("x"))
        picture = (
            f"color=red:s={size}:r={rate}:d={seconds},format=rgb24,"
            f"drawbox=x={width // 2}:w={width}:h={height}:color=blue:t=fill,"
            f"drawbox=w={width}:h={height // 4}:color=lime:t=fill"
        )
        run_ffmpeg("-f", "lavfi", "-i", picture, *(options or ("-pix_fmt", "yuv444p")), "-f", format_of(path), path)
        return path

    return build


def format_of(path: Path) -> str:
    return {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}[path.suffix]


def colour(rgb: np.ndarray, x: float, y: float) -> str:
    pixel = rgb[int(y * rgb.shape[0]), int(x * rgb.shape[1])].astype(int)
    return "rgb"[int(pixel.argmax())] if pixel.max() > 150 and np.sort(pixel)[1] < 110 else str(pixel)


def assert_upright(rgb: np.ndarray) -> None:
    assert [colour(rgb, 0.25, 0.1), colour(rgb, 0.75, 0.1)] == ["g", "g"]
    assert [colour(rgb, 0.25, 0.7), colour(rgb, 0.75, 0.7)] == ["r", "b"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "we ird %03d'é:x.mp4", "-i.mp4"])
def test_any_container_and_name(make: Maker, name: str) -> None:
    frames = list(open_video(make(name), ALL))
    assert [frame.index for frame in frames] == list(range(24))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(24) / 24, atol=2e-3)
    assert frames[5].rgb.shape == (48, 64, 3) and frames[5].rgb.dtype == np.uint8
    assert_upright(frames[5].rgb)


@pytest.mark.parametrize(("wanted", "expected"), [(12, 12), (24, 24), (60, 24), (6, 6), (10, 10), (1.5, 2)])
def test_takes_the_first_frame_of_each_bin(make: Maker, wanted: float, expected: int) -> None:
    source = open_video(make("a.mkv"), FramesConfig(fps=wanted))
    times = np.array([frame.time_s for frame in source])
    assert len(times) == expected
    assert source.expected_frames is not None and abs(source.expected_frames - expected) <= 1
    step = 1 / min(wanted, 24)
    bins = times / step
    assert (np.abs(bins - np.arange(expected)) < 1.01 * 24**-1 / step).all()  # no more than a source frame late


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_is_honoured(make: Maker, tmp_path: Path, degrees: int) -> None:
    """The picture is stored turned, with a note to turn it back."""
    turn = {90: "transpose=clock", -90: "transpose=cclock", 180: "hflip,vflip"}[degrees]
    stored = make("stored.mp4", "-vf", turn, "-pix_fmt", "yuv444p")
    noted = tmp_path / "noted.mp4"
    run_ffmpeg("-display_rotation", degrees, "-i", stored, "-c", "copy", noted)
    source = open_video(noted, ALL)
    assert (source.info.width, source.info.height, source.info.rotation_deg % 360) == (64, 48, degrees % 360)
    for frame in source:
        assert frame.rgb.shape == (48, 64, 3)
        assert_upright(frame.rgb)


def test_variable_rate_keeps_true_times(make: Maker) -> None:
    """24 frames a second, but none between 0.25 and 0.75 s."""
    keep = "select='lt(t,0.25)+gte(t,0.75)'"
    path = make("vfr.mp4", "-vf", keep, "-fps_mode", "vfr", "-pix_fmt", "yuv444p")
    times = [frame.time_s for frame in open_video(path, ALL)]
    np.testing.assert_allclose(times, [*np.arange(6) / 24, *(18 + np.arange(6)) / 24], atol=2e-3)
    coarse = [frame.time_s for frame in open_video(path, FramesConfig(fps=12))]
    np.testing.assert_allclose(coarse, [0, 2 / 24, 4 / 24, 18 / 24, 20 / 24, 22 / 24], atol=2e-3)


@pytest.mark.parametrize("size", ["67x45", "31x64", "256x256"])
def test_odd_sizes(make: Maker, size: str) -> None:
    width, height = map(int, size.split("x"))
    frames = list(open_video(make("odd.mp4", size=size, seconds=0.25), ALL))
    assert len(frames) == 6 and frames[0].rgb.shape == (height, width, 3)
    assert_upright(frames[3].rgb)


def test_wide_pixels_are_displayed_wide(make: Maker) -> None:
    source = open_video(make("wide.mp4", "-vf", "setsar=3/2", "-pix_fmt", "yuv444p"), ALL)
    assert (source.info.width, source.info.height) == (96, 48)
    assert_upright(next(iter(source)).rgb)


def test_ten_bits_are_reduced(make: Maker) -> None:
    frames = list(open_video(make("deep.mkv", "-pix_fmt", "yuv444p10le", "-c:v", "ffv1"), ALL))
    assert frames[0].rgb.dtype == np.uint8
    assert_upright(frames[0].rgb)


def test_start_and_end(make: Maker) -> None:
    path = make("a.mp4", seconds=2.0)
    source = open_video(path, FramesConfig(fps=24, start_s=0.5, end_s=1.0))
    times = [frame.time_s for frame in source]
    np.testing.assert_allclose(times, 0.5 + np.arange(12) / 24, atol=2e-3)
    assert source.expected_frames == 12
    assert [f.index for f in source] == list(range(12))  # and again


def test_focal_length_from_metadata(make: Maker) -> None:
    key = "com.apple.quicktime.camera.focal_length.35mm_equivalent=26"
    path = make("phone.mov", "-movflags", "use_metadata_tags", "-metadata", key, "-pix_fmt", "yuv444p")
    assert probe_video(path).focal_px == pytest.approx(26 / 43.27 * 80, rel=1e-3)  # 64 x 48 has a diagonal of 80
    assert probe_video(make("plain.mov")).focal_px is None


def test_what_older_ffmpeg_prints_is_understood() -> None:
    text = """Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'x.mp4':
  Duration: 00:01:02.50, start: 0.000000, bitrate: 8952 kb/s
  Stream #0:0[0x1](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono, fltp, 96 kb/s (default)
  Stream #0:1[0x2](und): Video: hevc (Main 10) (hvc1 / 0x31637668), yuv420p10le(tv, bt2020nc), 1920x1080, 8 kb/s, 1k fps, 30 tbr, 600 tbn
    Metadata:
      creation_time   : 2022-07-02T09:14:21.000000Z
    Side data:
      DOVI configuration record: version: 1.0
      displaymatrix: rotation of -90.00 degrees
At least one output file must be specified
"""  # noqa: E501
    info = parse_probe(Path("x.mp4"), text)
    assert (info.width, info.height, info.rotation_deg, info.codec) == (1080, 1920, -90, "hevc")
    assert (info.fps, info.duration_s) == (1000, 62.5)


def test_missing_folder_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for path, said in (
        (tmp_path / "none.mp4", "no such file"),
        (tmp_path, "folder"),
        (tmp_path / "empty.mp4", "empty"),
    ):
        with pytest.raises(VideoError, match=said) as caught:
            open_video(path, ALL)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["text.mp4", "text.txt", "text.m3u8", "text"])
def test_text_is_no_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("#EXTM3U\nThis is no video.\n" * 50)
    with pytest.raises(VideoError, match="cannot be read as a video"):
        open_video(path, ALL)


def test_a_playlist_cannot_reach_the_network(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        list(open_video(path, ALL))


def test_sound_alone(tmp_path: Path, make: Maker) -> None:
    sound = tmp_path / "sound.m4a"
    run_ffmpeg("-f", "lavfi", "-i", "sine=d=1", sound)
    cover = make("cover.mkv", "-frames:v", 1, "-c:v", "png")
    covered = tmp_path / "covered.mp4"
    run_ffmpeg(
        "-i", sound, "-i", cover, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "attached_pic", covered
    )
    for path in (sound, covered):
        with pytest.raises(VideoError, match="no video in this file"):
            open_video(path, ALL)


def test_truncated_without_its_index(make: Maker) -> None:
    path = make("cut.mp4")
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(VideoError, match="cannot be read as a video"):
        open_video(path, ALL)


def test_truncated_but_readable_in_part(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=24:d=4", "-movflags", "+faststart", "-g", 12, whole)
    source = open_video(whole, ALL)
    assert len(list(source)) == 96 and source.warnings == ()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = open_video(cut, ALL)
    frames = list(source)
    assert 24 < len(frames) < 72
    assert len(source.warnings) == 1 and "should last 4.0 s" in source.warnings[0]


def test_fewer_than_two_frames(make: Maker) -> None:
    with pytest.raises(VideoError, match="only one frame"):
        list(open_video(make("one.mp4", "-frames:v", 1), ALL))
    path = make("a.mp4")
    with pytest.raises(VideoError, match="only one frame"):
        list(open_video(path, FramesConfig(fps=1)))
    with pytest.raises(VideoError, match=r"from 0.5 s to 0.51 s"):
        list(open_video(path, FramesConfig(start_s=0.5, end_s=0.51)))


def test_start_after_the_end(make: Maker) -> None:
    with pytest.raises(VideoError, match=r"start, 5 s, lies after .* 1.00 s"):
        open_video(make("a.mp4"), FramesConfig(start_s=5))


def test_leaving_early_ends_ffmpeg(make: Maker) -> None:
    path = make("long.mp4", size="320x240", seconds=20)
    me = psutil.Process()
    before = len(me.children())
    frames = iter(open_video(path, ALL))
    next(frames)
    assert len(me.children()) == before + 1
    frames.close()  # type: ignore[attr-defined]
    assert len(me.children()) == before
    with pytest.raises(ZeroDivisionError):
        for frame in open_video(path, ALL):
            frame.index / 0
    gc.collect()
    assert len(me.children()) == before


def test_memory_does_not_grow_with_the_clip(make: Maker) -> None:
    path = make("long.mp4", size="320x240", seconds=5)
    frame_bytes = 320 * 240 * 3
    tracemalloc.start()
    count = sum(1 for _ in open_video(path, ALL))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 120
    assert peak < 6 * frame_bytes
