"""Decoded frames kept on disk while a run lasts, so that its stages need not decode them one after the other.

The file has no name: it is gone with its process, however that ends. It is a help and never a need: without room on a
disk, or when the disk fails, frames are decoded again.
"""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import psutil
from dancedepth.pipeline.resources import MB, free_memory_mb
from jaxtyping import UInt8

MOST_BYTES = 4 * 2**30
"""650 frames at 1080x1920: nearly a minute of video."""
SHARE = 0.25
"""Of what is free, at most: of the disk, because the run needs room too, and of the memory, because frames that the
system does not keep in its cache come back no sooner than by decoding."""
IN_MEMORY = ("tmpfs", "ramfs")
"""File systems that are no disk."""

log = logging.getLogger(__name__)
Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Kept:
    """What is known of a frame that is kept."""

    number: int
    """Of the picture among all that the decoder gave."""
    time_s: float


class FrameStore:
    """The first frames of a clip, as many as there is room for, each in one size or several; for `with`.

    Args:
        sizes: height and width of each picture of a frame.
        most_bytes: that are kept at most.
    """

    def __init__(self, sizes: tuple[tuple[int, int], ...], most_bytes: int = MOST_BYTES) -> None:
        self.sizes = sizes
        self.whole = False
        """Whether these are all frames of the clip."""
        self._kept: list[Kept] = []
        self._most_bytes = most_bytes
        self._file: IO[bytes] | None = None
        self._room = -1
        """Frames that there is room for; not known before the first one comes."""

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Forget all frames, and take no more."""
        self._kept, self._room, self.whole = [], 0, False
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def takes_more(self) -> bool:
        """Whether there may be room for the next frame."""
        return self._room < 0 or len(self._kept) < self._room

    def add(self, kept: Kept, pictures: tuple[Image, ...]) -> None:
        """Keep the next frame, if there is room."""
        if not self.takes_more:
            return
        try:
            if self._room < 0:
                self._open()
            if self._file is not None and self.takes_more:
                at = len(self._kept) * self._stride
                for picture in pictures:
                    at += _write(self._file, picture, at)
                self._kept.append(kept)
        except OSError as error:
            log.info("decoded frames are not kept: %s", error)
            self.close()

    def known(self, index: int) -> Kept:
        """What is known of a frame."""
        return self._kept[index]

    def read(self, index: int, size: tuple[int, int]) -> Image | None:
        """A frame's picture of this size; None if it cannot be had any more."""
        if self._file is None or index >= len(self._kept):
            return None
        which = self.sizes.index(size)
        picture = np.empty((*size, 3), np.uint8)
        at = index * self._stride + sum(_bytes(one) for one in self.sizes[:which])
        try:
            if os.preadv(self._file.fileno(), [picture.data.cast("B")], at) == picture.nbytes:
                return picture
        except OSError as error:
            log.info("decoded frames are lost: %s", error)
        self.close()
        return None

    @property
    def _stride(self) -> int:
        return sum(_bytes(size) for size in self.sizes)

    def _open(self) -> None:
        self._room = 0
        folder = scratch_folder()
        if folder is not None:
            free = min(psutil.disk_usage(str(folder)).free, free_memory_mb() * MB)
            self._room = int(min(self._most_bytes, SHARE * free)) // self._stride
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0) if self._room else None  # noqa: SIM115


def scratch_folder() -> Path | None:
    """Where large files may lie for a while: the system's folder for that, if it is on a disk."""
    places = [Path(tempfile.gettempdir()), Path("/var/tmp")]
    return next((place for place in places if place.is_dir() and _is_disk(place)), None)


def _is_disk(folder: Path) -> bool:
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    folder = folder.resolve()
    kinds = (mounts[place] for place in (folder, *folder.parents) if place in mounts)
    return next(kinds, "") not in IN_MEMORY


def _bytes(size: tuple[int, int]) -> int:
    return size[0] * size[1] * 3


def _write(file: IO[bytes], picture: Image, at: int) -> int:
    data = picture.data.cast("B")
    done = 0
    while done < len(data):  # a disk that is nearly full takes a part, and says so the next time
        done += os.pwrite(file.fileno(), data[done:], at + done)
    return done
