"""The terminal belongs to the command: what libraries print, from Python or from C, goes to a log file instead."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from dancedepth.pipeline.explain import explain

LOG_NOTE = "log: "
"""Begins the note on an unexpected error that says where its log is."""
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"}
"""Whatever libraries and file names hold, it can be written."""


@dataclass(frozen=True)
class Terminal:
    """The streams that the user sees."""

    out: TextIO
    err: TextIO


@contextlib.contextmanager
def own_terminal(verbosity: int = 0) -> Iterator[Terminal]:
    """Keep the terminal for the command while the block runs.

    The log is kept, as a file, only if an unexpected error ends the block; a note on the error then says where it is.

    Args:
        verbosity: 1 shows the program's log on stderr, 2 its details and the traceback of an error too.
    """
    with (
        _anonymous_file() as log,
        _duplicate(1) as out,
        _duplicate(2) as err,
        _redirected(log),
        _logging(err, log, verbosity),
    ):
        try:
            yield Terminal(out, err)
        except BaseException as error:
            if verbosity > 1:
                traceback.print_exc(file=err)
            if isinstance(error, Exception) and explain(error) is None:
                _flush()
                log.seek(0)
                error.add_note(f"{LOG_NOTE}{_kept(log.read(), error)}")
            raise


def write_log(error: BaseException) -> str:
    """Where the log of an unexpected error is; it is written if there is none yet."""
    for note in getattr(error, "__notes__", []):
        if note.startswith(LOG_NOTE):
            return str(note.removeprefix(LOG_NOTE))
    return _kept("", error)


def _kept(said: str, error: BaseException) -> str:
    """The name of a new file with what libraries said and the error's traceback; nowhere, if there is no room."""
    text = said + "".join(traceback.format_exception(error))
    try:
        handle, name = tempfile.mkstemp(prefix="dancedepth-", suffix=".log")
        with os.fdopen(handle, "w", **TEXT) as file:
            file.write(text)
    except OSError:
        return os.devnull
    return name


def _anonymous_file() -> TextIO:
    """A file without a name, so that it is gone with its process however that ends."""
    try:
        return cast(TextIO, tempfile.TemporaryFile("w+", buffering=1, **TEXT))
    except OSError:
        return Path(os.devnull).open("w+", buffering=1, **TEXT)


def _duplicate(stream: int) -> TextIO:
    try:
        handle = os.dup(stream)
    except OSError:  # closed by whoever started this
        handle = os.open(os.devnull, os.O_WRONLY)
    return os.fdopen(handle, "w", **TEXT)


@contextlib.contextmanager
def _redirected(log: TextIO) -> Iterator[None]:
    """Python's and the process's standard streams lead to the log."""
    _flush()
    saved = {stream: _saved(stream) for stream in (1, 2)}
    for stream in saved:
        os.dup2(log.fileno(), stream)
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
    finally:
        _flush()
        for stream, handle in saved.items():
            os.dup2(handle, stream)
            os.close(handle)


def _saved(stream: int) -> int:
    try:
        return os.dup(stream)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _flush() -> None:
    """Python's buffers and those of the C library, which would else be written wherever the stream leads later."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)


@contextlib.contextmanager
def _logging(err: TextIO, log: TextIO, verbosity: int) -> Iterator[None]:
    """Everything to the log file; with -v the program's own messages to the terminal too."""
    root = logging.getLogger()
    ours = logging.getLogger("dancedepth")
    before = (root.handlers[:], root.level, ours.level)
    to_log, to_user = logging.StreamHandler(log), logging.StreamHandler(err)
    to_log.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    to_user.setFormatter(logging.Formatter("%(message)s"))
    to_user.addFilter(lambda record: record.name.startswith("dancedepth"))
    root.handlers = [to_log, to_user] if verbosity else [to_log]
    root.setLevel(logging.INFO)
    ours.setLevel(logging.DEBUG if verbosity > 1 else logging.INFO)
    try:
        yield
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])
