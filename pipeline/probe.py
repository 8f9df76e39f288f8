"""What a video file says of itself, read from what `ffmpeg -i` prints, because the bundled ffmpeg has no ffprobe."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from dancedepth.pipeline.errors import VideoError
from dancedepth.pipeline.records import VideoInfo

OLDEST_FFMPEG = (5, 1)
"""The first with `-fps_mode`; an older one on the PATH is passed over."""
PROBE_TIMEOUT_S = 60
DEFAULT_FPS = 25.0
"""Where the file names no rate; only the expected number of frames depends on it."""
FULL_FRAME_DIAGONAL_MM = 43.27
"""Of 35 mm film (36 x 24): what 35-mm-equivalent focal lengths are compared over (CIPA DCG-001)."""
MOST_PIXELS = 2**26
MOST_SIDE_PX = 16384
"""Twice 8K video; a damaged or made-up size beyond these would only fill the memory."""
NOT_VIDEOS = {"ansi"}
"""Codecs by which ffmpeg draws text files."""


@cache
def ffmpeg_binary() -> str:
    """The ffmpeg on the PATH if it is new enough, else the one that the imageio-ffmpeg package ships.

    Raises:
        VideoError: there is neither.
    """
    import imageio_ffmpeg

    found = shutil.which("ffmpeg")
    if found and _version(found) >= OLDEST_FFMPEG:
        return found
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoError("there is no ffmpeg", "", "Install ffmpeg 5.1 or newer, or set IMAGEIO_FFMPEG_EXE") from error


def _version(binary: str) -> tuple[int, int]:
    done = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False, timeout=PROBE_TIMEOUT_S)
    number = re.search(r"ffmpeg version n?(\d+)\.(\d+)", done.stdout)
    if number:
        return int(number[1]), int(number[2])
    return (99, 0) if done.returncode == 0 else (0, 0)  # builds from git bear no number, and are recent


def probe_video(path: Path) -> VideoInfo:
    """Size as displayed, rate, length, rotation and codec of the first video stream that is no cover picture.

    Raises:
        VideoError: missing, a folder, empty, unreadable, no video inside.
    """
    _require_file(path)
    command = [
        ffmpeg_binary(),
        "-nostdin",
        "-hide_banner",
        "-protocol_whitelist",
        "file",
        "-i",
        f"file:{path.absolute()}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise VideoError(f"ffmpeg could not make it out in {PROBE_TIMEOUT_S} s", str(path)) from error
    return parse_probe(path, done.stderr.decode(errors="replace"))


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise VideoError("this is a folder, not a video", str(path), "Give a video file")
        if not path.exists():
            raise VideoError("there is no such file", str(path), "Check the path")
        if not path.is_file():  # a pipe would be waited for, and can be read only once
            raise VideoError("this is a pipe or a device, not a file", str(path), "Give a video file")
        if path.stat().st_size == 0:
            raise VideoError("the file is empty", str(path), "Give a video file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError(f"the file cannot be read ({error.strerror})", str(path), "Check its permissions") from error


def parse_probe(path: Path, text: str) -> VideoInfo:
    """Read what `ffmpeg -i` printed of `path`."""
    if not re.search(r"^Input #0", text, re.MULTILINE):
        complaints = [line for line in text.splitlines() if line.strip() and "misdetection possible" not in line]
        reason = re.sub(r"^(\[[^\]]*\] *)+", "", complaints[0]) if complaints else "no reason given"
        what = f"this cannot be read as a video ({reason})"
        raise VideoError(what, str(path), "Give a complete video file that ffmpeg can read")
    streams = re.split(r"^  Stream #0:", text, flags=re.MULTILINE)
    videos = [s for s in streams[1:] if re.search(r"^\d+.*?: Video: ", s) and "(attached pic)" not in s.splitlines()[0]]
    if not videos:
        raise VideoError("there is no video in this file, only sound or other data", str(path), "Give a video file")
    return _describe(path, streams[0], videos[0])


def _describe(path: Path, header: str, stream: str) -> VideoInfo:
    line = stream.splitlines()[0]
    codec = re.search(r"Video: (\w+)", line)
    size = re.search(r", (\d+)x(\d+)", line)
    if codec is None or codec[1] in NOT_VIDEOS or size is None or int(size[1]) * int(size[2]) == 0:
        raise VideoError("this cannot be read as a video", str(path), "Give a video file that ffmpeg can read")
    width, height = _displayed_size(int(size[1]), int(size[2]), line)
    turned = re.search(r"rotation of (-?[\d.]+) degrees", stream)
    rotation = round(float(turned[1])) if turned else 0
    if rotation % 180 == 90:
        width, height = height, width
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE_PX:
        what = f"its picture of {width} x {height} pixels is too large"
        raise VideoError(what, str(path), "Give a smaller version of it, 8K at most")
    return VideoInfo(
        path, width, height, _rate(line), _duration(header), rotation, codec[1], _focal(header + stream, width, height)
    )


def _displayed_size(width: int, height: int, line: str) -> tuple[int, int]:
    """Square pixels: the width is stretched by the pixels' aspect ratio."""
    aspect = re.search(r"SAR (\d+):(\d+)", line)
    if aspect and int(aspect[1]) and int(aspect[2]):
        width = max(1, round(width * int(aspect[1]) / int(aspect[2])))
    return width, height


def _rate(line: str) -> float:
    for unit in ("fps", "tbr"):
        found = re.search(rf"([\d.]+)(k?) {unit}\b", line)
        if found and float(found[1]) > 0:
            return float(found[1]) * (1000 if found[2] else 1)
    return DEFAULT_FPS


def _duration(header: str) -> float | None:
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)", header)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _focal(text: str, width: int, height: int) -> float | None:
    """From the 35-mm-equivalent focal length that some phones note."""
    found = re.search(r"focal_length\.35mm_equivalent\s*: *([\d.]+)", text)
    if not found or not 5 <= float(found[1]) <= 500:
        return None
    return float(found[1]) / FULL_FRAME_DIAGONAL_MM * math.hypot(width, height)
