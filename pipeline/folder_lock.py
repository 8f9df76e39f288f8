"""One process at a time in a run folder; the lock dies with its process, so that none can be left behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dancedepth.pipeline.errors import RunInUseError, StorageError

LOCK_NAME = ".lock"
"""Holds the id of the process that works here; the file's existence alone means nothing."""
BUSY = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` until the block ends.

    Raises:
        RunInUseError: another process holds it.
        StorageError: the folder cannot be written.
    """
    path = folder / LOCK_NAME
    handle = _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still held: who opened it meanwhile finds it gone and starts anew
        os.close(handle)


def _acquire(path: Path) -> int:
    import fcntl

    while True:
        handle = _open(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            if error.errno not in BUSY:
                raise StorageError(f"the folder cannot be locked ({error.strerror})", str(path.parent)) from error
            who = f"process {owner}" if owner else "another process"
            what = f"{who} is writing this run folder"
            raise RunInUseError(what, str(path.parent), "Wait for it, or choose another --out") from error
        if _is_current(path, handle):
            with suppress(OSError):  # only a message names the process; a full disk is found by whoever writes next
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            return handle
        os.close(handle)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        what = f"the folder cannot be written ({error.strerror})"
        raise StorageError(what, str(path.parent), "Choose another --out") from error


def _is_current(path: Path, handle: int) -> bool:
    """Whether the locked file still is the one in the folder."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
