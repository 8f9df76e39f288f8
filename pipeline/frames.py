"""Decoding a video: its frames as displayed, in order, with the times at which they are shown."""

from __future__ import annotations

import math
import queue
import re
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import ffmpeg
import numpy as np
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.errors import VideoError
from dancedepth.pipeline.probe import ffmpeg_binary, probe_video
from dancedepth.pipeline.records import Frame, VideoInfo
from jaxtyping import UInt8

ROUNDING_S = 0.002
"""Frames may come this early for their 1/fps bin: containers round times, Matroska to 1 ms."""
SHORTFALL_S = 0.7
"""A clip that ends this much before its stated length, with decoding errors, was cut off."""
INPUT = "input"
"""Stands for the path while the command is put together: ffmpeg-python cannot take names that are not UTF-8."""
KEPT_LINES = 40
"""Last lines of what ffmpeg said, for its errors."""


def open_video(path: Path, config: FramesConfig, fewest: int = 2) -> VideoFrames:
    """The frames of a video that a run uses: the first one in each 1/fps of a second, from start to end.

    A single picture is a video of one frame, where `fewest` allows that.

    Raises:
        VideoError: missing, a folder, empty, not a video, or shorter than the start. A video that holds fewer
            frames than `fewest` there, or none that decodes, is found when iterating.
    """
    info = probe_video(path)
    if info.duration_s is not None and config.start_s >= info.duration_s:
        what = f"the start, {config.start_s:g} s, lies after the video's end at {info.duration_s:.2f} s"
        raise VideoError(what, str(path), "Choose an earlier --start")
    return VideoFrames(info, config, fewest)


class VideoFrames:
    """A `FrameSource`: every iteration runs ffmpeg anew and holds one frame at a time."""

    def __init__(self, info: VideoInfo, config: FramesConfig, fewest: int = 2) -> None:
        self.info, self._config, self._fewest = info, config, fewest
        self.warnings: tuple[str, ...] = ()
        """What the last whole iteration met that a user should know, in plain words."""
        self.expected_frames = _expected_frames(info, config)

    def resized(self, width: int, height: int) -> VideoFrames:
        """The same frames in another size, which is cheaper to decode and to hold if it is smaller."""
        return VideoFrames(replace(self.info, width=width, height=height), self._config, self._fewest)

    def __iter__(self) -> Iterator[Frame]:
        process = subprocess.Popen(
            _command(self.info, self._config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None and process.stderr is not None
        log = _Log(process.stderr)
        count, time_s = 0, 0.0
        try:
            while (rgb := _read_image(process.stdout, self.info)) is not None:
                shown_s = self._config.start_s + log.next_time()
                if count == 0 or shown_s > time_s:  # damaged files show frames at no time, or once more at an old one
                    time_s = shown_s if math.isfinite(shown_s) else 0.0
                    yield Frame(count, time_s, rgb)
                    count += 1
        finally:
            process.kill()
            process.wait()
            log.close()
            process.stdout.close()
        self._judge(count, time_s, log)

    def _judge(self, count: int, last_time_s: float, log: _Log) -> None:
        if count < self._fewest:
            raise VideoError(*self._too_short(count, log))
        end = min(self._config.end_s or math.inf, self.info.duration_s or 0.0)
        step = 1 / min(self._config.fps, self.info.fps)
        if log.errors and last_time_s + step < end - SHORTFALL_S:
            said = f"the video should last {end:.1f} s, but could be read only to {last_time_s:.1f} s; it is cut off"
            self.warnings = (said,)
        elif log.errors:
            self.warnings = (f"parts of the video are damaged ({log.errors[0]})",)
        else:
            self.warnings = ()

    def _too_short(self, count: int, log: _Log) -> tuple[str, str, str]:
        where = str(self.info.path)
        if log.errors:
            return f"the video's frames cannot be decoded ({log.errors[-1]})", where, "Is the file complete?"
        span = f" from {self._config.start_s:g} s" if self._config.start_s else ""
        span += f" to {self._config.end_s:g} s" if self._config.end_s else ""
        found = "no frame" if count == 0 else "only one frame"
        return f"there is {found}{span}; a moving dancer takes two or more", where, "Choose a longer clip"


class _Log:
    """What ffmpeg writes to stderr, read by a thread so that the pipe never fills: frame times and complaints."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.errors: deque[str] = deque(maxlen=KEPT_LINES)
        self._stream = stream
        self._times: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def next_time(self) -> float:
        """Seconds since the start, of the next frame; ffmpeg has logged it before it wrote the frame."""
        time_s = self._times.get()
        if time_s is None:
            raise VideoError("ffmpeg gave a frame without a time", "", "Try another ffmpeg")
        return time_s

    def close(self) -> None:
        """Wait for the rest; the process has ended."""
        self._thread.join()
        self._stream.close()

    def _drain(self) -> None:
        for raw in self._stream:
            line = raw.decode(errors="replace").strip()
            if shown := re.search(r"Parsed_showinfo.* n: *\d+ pts: *\S+ pts_time:(\S+)", line):
                self._times.put(_seconds(shown[1]))
            elif "[error]" in line or "[fatal]" in line:
                self.errors.append(re.sub(r"\[[^\]]*\] *", "", line))
        self._times.put(None)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # NOPTS
        return math.nan


def _command(info: VideoInfo, config: FramesConfig) -> list[str]:
    seek = {"ss": f"{config.start_s:.6f}"} if config.start_s else {}  # ffmpeg reads no exponents
    length = {} if config.end_s is None else {"t": f"{config.end_s - config.start_s:.6f}"}
    slack = min(0.1, ROUNDING_S * config.fps)
    bins, bins_before = (f"floor({time}*{config.fps:.9f}+{slack:.9f})" for time in ("t", "prev_selected_t"))
    chosen = f"isnan(prev_selected_t)+gt({bins},{bins_before})"
    stream = ffmpeg.input(INPUT, protocol_whitelist="file", **seek, **length)["V:0"]
    stream = stream.filter("select", chosen)
    stream = stream.filter("scale", info.width, info.height, flags="bicubic+accurate_rnd+full_chroma_int")
    stream = stream.filter("showinfo", checksum=0)
    output = stream.output("pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
    output = output.global_args("-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info")
    command = [str(part) for part in output.compile(cmd=ffmpeg_binary())]
    return [_url(info.path) if part == INPUT else part for part in command]


def _url(path: Path) -> str:
    """A path that ffmpeg takes for nothing else, whatever characters it has."""
    return f"file:{path.absolute()}"


def _read_image(stream: IO[bytes], info: VideoInfo) -> UInt8[np.ndarray, "h w 3"] | None:
    image = np.empty((info.height, info.width, 3), np.uint8)
    view, filled = image.data.cast("B"), 0
    while filled < len(view):
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            return None
        filled += got
    return image


def _expected_frames(info: VideoInfo, config: FramesConfig) -> int | None:
    if info.duration_s is None and config.end_s is None:
        return None
    end = min(config.end_s or math.inf, info.duration_s or math.inf)
    return max(1, round((end - config.start_s) * min(config.fps, info.fps)))
