"""One batch at a time behind a URL: an object that says who is at work there, and keeps showing that they are alive.

Stores have no locks that end with their holder. Here the holder writes its sign of life anew every few seconds; one
whose sign stops changing, or whose process on this machine has ended, holds nothing any more. No two clocks are
compared.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace

import psutil
from dancedepth.pipeline.config import config_from_json
from dancedepth.pipeline.errors import RunInUseError, StorageError
from dancedepth.pipeline.folder_lock import LOCK_NAME
from dancedepth.pipeline.remote_folder import RemoteFolder, parsed

BEAT_S = 10.0
"""Between two signs of life."""
PATIENCE_S = 45.0
"""A sign of life that stays the same for so long is that of the dead."""
SETTLE_S = 1.0
"""Whoever finds their own name in the object so long after they wrote it, is the last who did."""
TICK_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who is at work."""

    host: str = field(default_factory=platform.node)
    process: int = field(default_factory=os.getpid)
    began_s: float = field(default_factory=lambda: psutil.Process().create_time())
    """When its process began; process numbers come again."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    beat: int = 0
    seen: str = ""
    """When it wrote this, by its own clock; for people."""

    def alive_here(self) -> bool | None:
        """Whether its process lives; None if that is on another machine."""
        if self.host != platform.node():
            return None
        try:
            return abs(psutil.Process(self.process).create_time() - self.began_s) < 1
        except psutil.Error:
            return False

    def same_sign(self, other: Holder | None) -> bool:
        """Whether nothing has happened in between."""
        return other is not None and (self.token, self.beat) == (other.token, other.beat)


@contextmanager
def remote_lock(there: RemoteFolder) -> Iterator[None]:
    """Hold a place behind a URL until the block ends.

    Where the last holder was lost with its machine, this waits for `PATIENCE_S` before it takes its place.

    Raises:
        RunInUseError: somebody else is at work there.
        StorageError: the store cannot be reached, or does not let us.
    """
    me = Holder()
    _acquire(there, me)
    stop = threading.Event()
    pulse = threading.Thread(target=_beat, args=(there, me, stop), daemon=True, name="remote-lock")
    pulse.start()
    try:
        yield
    finally:
        stop.set()
        pulse.join()
        with suppress(StorageError):  # it would be found dead all the same
            holder = _read(there)
            if holder is not None and holder.token == me.token:
                there.remove([LOCK_NAME])


def _acquire(there: RemoteFolder, me: Holder) -> None:
    holder = _read(there)
    if holder is not None and _lives(there, holder):
        raise _in_use(there, holder)
    _write(there, me)
    time.sleep(SETTLE_S)
    holder = _read(there)
    if holder is not None and holder.token != me.token:
        raise _in_use(there, holder)


def _lives(there: RemoteFolder, holder: Holder) -> bool:
    alive = holder.alive_here()
    if alive is not None:
        return alive
    log.warning("%s was being written from %s; waiting for a sign of life", there.url, holder.host)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(TICK_S)
        now = _read(there)
        if now is None:
            return False
        if not holder.same_sign(now):
            return True
    return False


def _in_use(there: RemoteFolder, holder: Holder) -> RunInUseError:
    what = f"process {holder.process} on {holder.host} is writing there (last seen {holder.seen} by its clock)"
    return RunInUseError(what, there.url, "Wait for it, or choose another --out")


def _beat(there: RemoteFolder, me: Holder, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(BEAT_S):
        number += 1
        try:
            _write(there, replace(me, beat=number))
        except StorageError as error:  # whoever writes results will say so
            log.info("no sign of life could be written: %s", error)


def _write(there: RemoteFolder, holder: Holder) -> None:
    seen = time.strftime("%Y-%m-%d %H:%M:%S %z")
    there.write(LOCK_NAME, json.dumps(asdict(replace(holder, seen=seen))).encode())


def _read(there: RemoteFolder) -> Holder | None:
    """None if nobody holds the place, or nobody knows who."""
    data = there.read(LOCK_NAME)
    values = None if data is None else parsed(data)
    if not isinstance(values, dict) or any(f.name not in values for f in fields(Holder)):
        return None
    try:
        holder: Holder = config_from_json(Holder, values)
        return holder
    except TypeError:
        return None
