"""Writing a video, frame by frame, whole or not at all."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dancedepth.pipeline.errors import StorageError, VideoError
from dancedepth.pipeline.probe import ffmpeg_binary


@contextmanager
def video_writer(
    path: Path, width: int, height: int, fps: float, crf: int, preset: str = "fast"
) -> Iterator[IO[bytes]]:
    """A pipe that takes RGB frames, one after another; the MP4 (H.264) appears when all of them are written.

    Args:
        path: of the video.
        width, height: of a frame, even numbers.
        fps: frames a second.
        crf: x264's constant rate factor; 18 looks like the original, 28 is coarse.
        preset: x264's, how long it tries.

    Raises:
        StorageError: the file cannot be written.
        VideoError: ffmpeg fails.
    """
    part = path.with_name(path.name + ".part")
    log = path.with_name(path.name + ".log")
    command = [
        *(ffmpeg_binary(), "-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}"),
        *("-i", "pipe:0", "-an", "-c:v", "libx264", "-crf", str(crf), "-preset", preset, "-pix_fmt", "yuv420p"),
        *("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-movflags", "+faststart"),
        *("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-f", "mp4", f"file:{os.fspath(part.absolute())}"),
    ]
    try:
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
    except OSError as error:
        raise StorageError(f"cannot write the video ({error.strerror})", str(path), "Choose another folder.") from error
    assert process.stdin is not None
    finished = False
    try:
        with process.stdin as stream:
            yield stream
        finished = process.wait() == 0
    except BrokenPipeError:
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        complaint = log.read_text(errors="replace").strip().splitlines()[-1:]
        log.unlink()
        if not finished:
            part.unlink(missing_ok=True)
    if not finished:
        said = complaint[0] if complaint else "it said nothing"
        raise VideoError(
            f"ffmpeg could not write the video: {said}", str(path), "Free some space or choose another folder."
        )
    part.replace(path)
