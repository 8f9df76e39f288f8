"""The error boundary: whatever goes wrong, one line and an exit code."""

import errno
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from dancedepth.cli.console import StageProgress
from dancedepth.pipeline.config import RunConfig

from tests.cli.conftest import Command

START = [sys.executable, "-c", "import sys; from dancedepth.cli.main import run; print(); sys.exit(run())"]
"""Says when Python is up."""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, command: Command, clip: Path, tmp_path: Path) -> Callable[..., Any]:
    """`dancedepth reconstruct`, failing inside with a given error."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def call(error: BaseException, *options: str) -> Any:
        def reconstruct(*arguments: object) -> None:
            print("chatter")  # noqa: T201
            raise error

        monkeypatch.setattr("dancedepth.pipeline.reconstruct.reconstruct", reconstruct)
        return command("reconstruct", clip, "-o", tmp_path / "out", *options)

    return call


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ("the disk is full",)),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), ("/a/b", "permission denied")),
        (OSError(errno.EIO, "Input/output error", "/a"), ("/a: Input/output error",)),
        (OSError("libusb-1.0.so.0: cannot open shared object file"), ("libusb-1.0.so.0", "make setup")),
        (ModuleNotFoundError("No module named 'open3d'", name="open3d"), ("open3d", "make setup")),
        (MemoryError(), ("not enough memory",)),
        (RuntimeError("std::bad_alloc"), ("not enough memory",)),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), ("not enough memory",)),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), ("not enough memory",)),
    ],
)
def test_the_systems_errors_are_explained(failing: Callable[..., Any], error: Exception, words: tuple[str]) -> None:
    failing(error).assert_one_line(1, *words)


def test_a_bug_says_so_and_where_its_log_is(failing: Callable[..., Any]) -> None:
    said = failing(RuntimeError("shapes (3,)\nand (4,) do not match"))
    assert said.code == 1 and said.out == "" and said.err.count("\n") == 1
    assert "this is a bug in dancedepth (RuntimeError: shapes (3,) and (4,) do not match)" in said.err
    log = Path(said.err.rsplit("details: ", 1)[1].strip())
    assert "chatter" in log.read_text() and "Traceback" in log.read_text()


def test_very_verbose_shows_the_traceback(failing: Callable[..., Any]) -> None:
    said = failing(RuntimeError("shapes"), "-vv")
    assert "Traceback" in said.err and "chatter" not in said.err


def test_an_interrupt_inside(failing: Callable[..., Any]) -> None:
    failing(KeyboardInterrupt()).assert_one_line(130, "interrupted")


def test_an_interrupt_that_a_library_took_for_a_failure(
    command: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def reconstruct(*arguments: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("the callback failed") from None

    monkeypatch.setattr("dancedepth.pipeline.reconstruct.reconstruct", reconstruct)
    command("reconstruct", clip, "-o", tmp_path / "out").assert_one_line(130, "interrupted")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_at_any_time(number: signal.Signals, code: int, clip: Path, tmp_path: Path) -> None:
    """Even while the libraries are still being loaded."""
    with subprocess.Popen(
        [*START, "reconstruct", str(clip), "-o", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        time.sleep(1.0)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, ""), err
    assert err.count("\n") == 1 and "interrupted" in err
    assert not (tmp_path / "out").exists()


def test_a_reader_who_leaves_early() -> None:
    start = [*START[:2], START[2].replace("print(); ", ""), "--help"]
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


LIGHT = """
import sys
from dancedepth.cli.main import run
code = run(sys.argv[1:])
sys.exit("torch" in sys.modules or code)
"""


@pytest.mark.parametrize(
    ("arguments", "word"),
    [("--version", version("dancedepth")), ("--help", "evaluate"), ("reconstruct --help", "--fps")],
)
def test_version_and_help_come_without_the_libraries(arguments: str, word: str) -> None:
    command = [sys.executable, "-c", LIGHT, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert word in done.stdout


def test_defaults_come_from_the_configuration(command: Command) -> None:
    text = command("reconstruct", "--help").out
    assert f"[default: {RunConfig().frames.fps}]" in text
    assert f"[default: {RunConfig().tracks.pose_model}]" in text


def drawn() -> str:
    """What a terminal receives of one stage."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, StageProgress(stream) as progress:
        progress.stage_finished("tracks", 3.0, True)
        progress.stage_started("mattes", 40)
        for _ in range(10):
            progress.advanced(4)
        progress.stage_finished("mattes", 1.0, False)
    text = b""
    os.set_blocking(master, False)
    while True:
        try:
            text += os.read(master, 65536)
        except OSError:
            break
    os.close(master)
    return text.decode()


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    text = drawn()
    assert "following the dancer" in text and "done before" in text
    assert "cutting out" in text and "40/40" in text and "/s" in text


def test_no_progress_where_there_is_no_terminal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream, StageProgress(stream) as progress:
        progress.stage_started("mattes", 2)
        progress.advanced()
        progress.stage_finished("mattes", 1.0, False)
    assert (tmp_path / "log").read_text() == ""
