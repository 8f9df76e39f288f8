"""ffmpeg at work: the pictures of a video that a run uses, as it decodes them, with the times that it says."""

from __future__ import annotations

import math
import os
import queue
import re
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.errors import VideoError
from dancedepth.pipeline.probe import ffmpeg_binary
from dancedepth.pipeline.records import VideoInfo
from jaxtyping import UInt8

ROUNDING_S = 0.002
"""Frames may come this early for their 1/fps bin: containers round times, Matroska to 1 ms."""
INPUT = "input"
"""Stands for the path while the command is put together: ffmpeg-python cannot take names that are not UTF-8."""
KEPT_LINES = 40
"""Last lines of what ffmpeg said, for its errors."""


class Decoder:
    """ffmpeg at work; for `with`.

    Args:
        info: says how large the frames are.
        config: which ones are used.
        first: how many of those are not wanted.
        others: height and width of further sizes in which each frame is wanted.
    """

    def __init__(self, info: VideoInfo, config: FramesConfig, first: int, others: tuple[tuple[int, int], ...]) -> None:
        self._size = (info.height, info.width)
        pipes = [os.pipe() for _ in others]
        try:
            self._process = subprocess.Popen(
                _command(info, config, first, {end: size for (_, end), size in zip(pipes, others, strict=True)}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[end for _, end in pipes],
            )
        finally:
            for _, end in pipes:
                os.close(end)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._stream = self._process.stdout
        self._sides = [_Side(start, size) for (start, _), size in zip(pipes, others, strict=True)]
        self.log = Log(self._process.stderr)

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.log.close()
        for side in self._sides:
            side.close()
        self._stream.close()

    def next_image(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """None at the end."""
        return _read_image(self._stream, self._size)

    def other_images(self) -> tuple[UInt8[np.ndarray, "y x 3"], ...] | None:
        """The last image in the other sizes; None if ffmpeg ended before it gave all of them."""
        images = [side.images.get() for side in self._sides]
        return tuple(one for one in images if one is not None) if all(one is not None for one in images) else None


class _Side:
    """Another size of the frames, read by a thread, because ffmpeg writes when it likes."""

    def __init__(self, handle: int, size: tuple[int, int]) -> None:
        self.images: queue.SimpleQueue[UInt8[np.ndarray, "y x 3"] | None] = queue.SimpleQueue()
        self._stream, self._size = os.fdopen(handle, "rb", buffering=0), size
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the rest; the process has ended."""
        self._thread.join()
        self._stream.close()

    def _drain(self) -> None:
        while (image := _read_image(self._stream, self._size)) is not None:
            self.images.put(image)
        self.images.put(None)
        self.images.put(None)


class Log:
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


def _command(
    info: VideoInfo, config: FramesConfig, first: int = 0, others: dict[int, tuple[int, int]] | None = None
) -> list[str]:
    """Frames go to the standard output, `others` by file handle in other sizes (height, width)."""
    seek = {"ss": f"{config.start_s:.6f}"} if config.start_s else {}  # ffmpeg reads no exponents
    length = {} if config.end_s is None else {"t": f"{config.end_s - config.start_s:.6f}"}
    slack = min(0.1, ROUNDING_S * config.fps)
    bins, bins_before = (f"floor({time}*{config.fps:.9f}+{slack:.9f})" for time in ("t", "prev_selected_t"))
    chosen = f"isnan(prev_selected_t)+gt({bins},{bins_before})"
    stream = ffmpeg.input(INPUT, protocol_whitelist="file", **seek, **length)["V:0"]
    stream = stream.filter("select", chosen)
    if first:
        stream = stream.filter("select", f"gte(n,{first})")
    sizes = {1: (info.height, info.width), **(others or {})}
    branches = stream.filter_multi_output("split", len(sizes)) if others else [stream]
    outputs: list[Any] = []
    for branch, (handle, (height, width)) in zip(branches, sizes.items(), strict=False):
        stream = branch.filter("scale", width, height, flags="bicubic+accurate_rnd+full_chroma_int")
        stream = stream if outputs else stream.filter("showinfo", checksum=0)
        outputs.append(stream.output(f"pipe:{handle}", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough"))
    output = ffmpeg.merge_outputs(*outputs).global_args(
        "-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"
    )
    command = [str(part) for part in output.compile(cmd=ffmpeg_binary())]
    return [_url(info.path) if part == INPUT else part for part in command]


def _url(path: Path) -> str:
    """A path that ffmpeg takes for nothing else, whatever characters it has."""
    return f"file:{path.absolute()}"


def _read_image(stream: IO[bytes], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"] | None:
    image = np.empty((*size, 3), np.uint8)
    view, filled = image.data.cast("B"), 0
    while filled < len(view):
        got = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            return None
        filled += got
    return image
