"""Room on a disk for what a run needs again later, gone with its process, however that ends: the file has no name."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np
import psutil
from dancedepth.pipeline.resources import MB, free_memory_mb

SHARE = 0.25
"""Of what is free, at most: of the disk, because the run needs room too, and of the memory, because what the system
does not keep in its cache comes back no sooner than by making it again."""
IN_MEMORY = ("tmpfs", "ramfs")
"""File systems that are no disk."""

log = logging.getLogger(__name__)


class ScratchFile:
    """Arrays, each in one piece, one behind the other.

    It is a help and never a need: neither a full nor a failing disk is an error. Threads may share it.

    Args:
        what: it holds, for the log.
        most_bytes: that it takes.
    """

    def __init__(self, what: str, most_bytes: int) -> None:
        self._what, self._most_bytes = what, most_bytes
        self._file: IO[bytes] | None = None
        self._room: int | None = None
        """Bytes; not known before something comes."""
        self._end = 0
        self._lock = Lock()

    @property
    def is_open(self) -> bool:
        """Whether what was appended can be read."""
        return self._file is not None

    def has_room(self, count: int) -> bool:
        """Whether so many bytes may fit; nobody knows before the first."""
        return self._room is None or self._end + count <= self._room

    def append(self, *arrays: np.ndarray) -> int | None:
        """Where they lie now, one behind the other; None: there is no room, or none any more for anything."""
        count = sum(array.nbytes for array in arrays)
        with self._lock:
            try:
                if self._room is None:
                    self._open()
                if self._file is None or not self.has_room(count):
                    return None
                at = self._end
                for array in arrays:
                    _write(self._file, array, self._end)
                    self._end += array.nbytes
                return at
            except OSError as error:
                log.info("%s are not kept: %s", self._what, error)
                self._close()
                return None

    def read(self, at: int, into: np.ndarray) -> bool:
        """Fill an array from there; False if that cannot be had any more."""
        with self._lock:
            if self._file is None:
                return False
            try:
                if os.preadv(self._file.fileno(), [_bytes(into)], at) == into.nbytes:
                    return True
            except OSError as error:
                log.info("%s are lost: %s", self._what, error)
            self._close()
            return False

    def close(self) -> None:
        """Forget everything, and take no more."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._room = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self._room = 0
        folder = scratch_folder()
        if folder is not None:
            free = min(psutil.disk_usage(str(folder)).free, free_memory_mb() * MB)
            self._room = int(min(self._most_bytes, SHARE * free))
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


def _bytes(array: np.ndarray) -> memoryview:
    """Of an array that lies in one piece, and may be empty."""
    return array.reshape(-1).view(np.uint8).data


def _write(file: IO[bytes], array: np.ndarray, at: int) -> None:
    data = _bytes(array)
    done = 0
    while done < len(data):  # a disk that is nearly full takes a part, and says so the next time
        done += os.pwrite(file.fileno(), data[done:], at + done)
