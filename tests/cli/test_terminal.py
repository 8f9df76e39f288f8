import ctypes
import logging
import os
import tempfile
from pathlib import Path

import pytest
from dancedepth.cli.terminal import own_terminal, write_log
from dancedepth.pipeline.errors import VideoError


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def chatter() -> None:
    """Every way in which a library can reach for the terminal."""
    print("from Python")  # noqa: T201
    os.write(1, b"from the system\n")
    os.write(2, b"complaints from the system\n")
    ctypes.CDLL(None).printf(b"from C\n")
    logging.getLogger("somebody").warning("from a logger")


def test_only_the_command_speaks(capfd: pytest.CaptureFixture[str], logs: Path) -> None:
    with own_terminal() as terminal:
        chatter()
        terminal.out.write("the result\n")
        terminal.err.write("the progress\n")
    print("afterwards", flush=True)  # noqa: T201
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr() == ("the result\nafterwards\n", "the progress\n")
    assert not list(logs.iterdir())


def test_an_unexpected_error_keeps_the_log(capfd: pytest.CaptureFixture[str], logs: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised, own_terminal():
        chatter()
        raise ZeroDivisionError
    text = Path(write_log(raised.value)).read_text()
    assert [Path(write_log(raised.value))] == list(logs.iterdir())
    for said in ("from Python", "from the system", "from C", "from a logger", "ZeroDivisionError"):
        assert said in text
    assert capfd.readouterr() == ("", "")


def test_an_expected_error_keeps_none(logs: Path) -> None:
    with pytest.raises(VideoError), own_terminal():
        raise VideoError("it is broken")
    assert not list(logs.iterdir())


@pytest.mark.parametrize(("verbosity", "expected"), [(0, ""), (1, "ours\n"), (2, "details\nours\n")])
def test_verbose_shows_the_programs_own_log(capfd: pytest.CaptureFixture[str], verbosity: int, expected: str) -> None:
    with own_terminal(verbosity):
        logging.getLogger("dancedepth.models.weights").debug("details")
        logging.getLogger("dancedepth.models.weights").info("ours")
        logging.getLogger("somebody").error("theirs")
    assert capfd.readouterr().err == expected
