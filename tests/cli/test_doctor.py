"""The doctor is content here, and says what is wrong, and how to mend it, where something is."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from dancedepth.models import weights
from dancedepth.pipeline import doctor
from dancedepth.pipeline.doctor import Finding, examine

from tests.cli.conftest import Command


def findings(folder: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(folder)}


def test_all_is_well_here(command: Command) -> None:
    said = command("doctor", "--json", "--device", "cpu")
    assert said.code == 0 and said.err == "", said
    found = {finding["name"]: finding for finding in json.loads(said.out)}
    assert all(finding["well"] for name, finding in found.items() if name not in ("memory", "disk")), found
    assert {"python", "torch", "open3d", "ffmpeg", "weights rvm", "self-test", "disk", "memory"} <= set(found)
    assert "body" in found["self-test"]["said"] and sys.executable in found["python"]["said"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the slow parts, which the test above goes through."""
    monkeypatch.setattr(doctor, "IMPORTS", {"nowhere": "import no_such_library"})
    monkeypatch.setattr(
        doctor, "_python", lambda *arguments: real_python(*arguments[:2]) if "-c" in arguments else dead()
    )
    doctor.ffmpeg_binary.cache_clear()


real_python = doctor._python


def dead() -> object:
    """A self-test that crashes."""
    return real_python("-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


def test_faults_are_named_with_their_mend(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    source = weights.fetch("rvm")
    (cache / source.name).write_bytes(source.read_bytes()[:-1] + b"?")
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(cache))
    monkeypatch.setattr(doctor, "free_memory_mb", lambda: 100.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    found = findings(tmp_path / "not" / "there" / "yet")
    assert not found["nowhere"].well and "no_such_library" in found["nowhere"].said
    assert "sha256" in found["weights rvm"].said and found["weights rvm"].remedy == "Run `dancedepth weights fetch rvm`"
    assert found["weights yolo11n-pose"].said == "not fetched yet" and not found["weights body"].well
    assert not found["memory"].well and not found["memory"].needed and not found["disk"].well
    assert not found["self-test"].well and "exit code -11" in found["self-test"].said
    said = command("doctor", "--out", tmp_path)
    assert said.code == 1 and "weights fetch rvm" in said.out and "\x1b" not in said.out


def test_a_cache_that_cannot_be_written(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path / "file" / "cache"))
    found = findings(tmp_path)["cache folder"]
    assert not found.well and "cannot be written" in found.said and "DANCEDEPTH_CACHE" in found.remedy


def test_no_ffmpeg(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", os.fspath(tmp_path / "no-ffmpeg"))
    found = findings(tmp_path)["ffmpeg"]
    doctor.ffmpeg_binary.cache_clear()
    assert not found.well and "ffmpeg 5.1" in found.remedy
