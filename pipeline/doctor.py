"""Is everything here that a run needs, and does it work?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dancedepth.models import weights
from dancedepth.models.errors import DanceDepthError
from dancedepth.pipeline.probe import ffmpeg_binary
from dancedepth.pipeline.resources import MB, free_memory_mb, usable_cores

OLDEST_PYTHON = (3, 11)
LEAST_DISK_MB = 2000
"""A run of a 12 s clip at 1080x1920 takes about 100 MB, a longer one accordingly."""
LEAST_MEMORY_MB = 2500
"""A run of a 1080x1920 clip holds about 2 GB."""
PATIENCE_S = 300
"""A cold disk takes a minute to load the libraries."""
REINSTALL = "Run `make setup` again, or reinstall dancedepth"
IMPORTS = {
    "torch": "import torch, torchvision as v; d = torch.cuda; "
    "print(torch.__version__, '| torchvision', v.__version__, '|', "
    "d.get_device_name() if d.is_available() else 'no CUDA device: runs on the CPU')",
    "open3d": "import open3d; print(open3d.__version__)",
    "onnxruntime, opencv": "import onnxruntime as o, cv2; print(o.__version__, '|', cv2.__version__)",
}
"""Libraries that bring their own machine code, each tried in a process of its own, which may crash."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    well: bool
    said: str
    """Version, place or size; or what is wrong."""
    remedy: str = ""
    """Of what is wrong."""
    needed: bool = True
    """Without it nothing runs; else it is only worth knowing."""


def examine(folder: Path, device: str = "auto") -> Iterator[Finding]:
    """Findings, one after another; `folder` is where runs would go."""
    started = {name: _python("-c", code) for name, code in IMPORTS.items()}
    test = _python("-P", "-m", "dancedepth.pipeline.self_test", device)
    try:
        yield _python_version()
        for name, process in started.items():
            yield _import(name, process)
        yield _guarded("ffmpeg", _ffmpeg)
        yield _cache()
        for name in (*weights.TABLE, weights.BODY):
            yield _guarded(f"weights {name}", lambda name=name: _weights(name))  # type: ignore[misc]
        yield _disk(folder)
        yield _memory()
        yield _self_test(test)
    finally:
        for process in (*started.values(), test):
            process.kill()
            process.communicate()


def _python(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _python_version() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    remedy = f"Install Python {oldest} or newer"
    return Finding("python", sys.version_info >= OLDEST_PYTHON, f"{version} ({sys.executable})", remedy)


def _import(name: str, process: subprocess.Popen[str]) -> Finding:
    said = _waited(process)
    if said is None:
        return Finding(name, False, f"no answer in {PATIENCE_S} s", REINSTALL)
    if process.returncode == 0:
        return Finding(name, True, said[0].strip())
    return Finding(name, False, _last_words(said[1], process.returncode), REINSTALL)


def _waited(process: subprocess.Popen[str]) -> tuple[str, str] | None:
    try:
        return process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None


def _last_words(errors: str, code: int) -> str:
    lines = [line for line in errors.splitlines() if line.strip()]
    return f"cannot be loaded ({lines[-1].strip() if lines else f'exit code {code}'})"


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except DanceDepthError as error:
        return Finding(name, False, error.what, error.remedy)


def _ffmpeg() -> Finding:
    binary = ffmpeg_binary()
    remedy = "Install ffmpeg 5.1 or newer"
    try:
        done = subprocess.run([binary, "-version"], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except OSError as error:
        return Finding("ffmpeg", False, f"{binary} cannot be run ({error.strerror})", remedy)
    version = " ".join(done.stdout.split()[2:3])
    return Finding("ffmpeg", done.returncode == 0, f"{version} ({binary})", remedy)


def _cache() -> Finding:
    folder, remedy = weights.cache_folder(), "Set DANCEDEPTH_CACHE to a folder that can be written"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("cache folder", False, f"{folder} cannot be written ({error.strerror})", remedy)
    return Finding("cache folder", True, str(folder))


def _weights(name: str) -> Finding:
    fault = weights.verify(name)
    entry = weights.TABLE.get(name)
    whole = f"whole (sha256 {entry.sha256[:12]}...)" if entry else "whole"
    return Finding(f"weights {name}", fault is None, fault or whole, f"Run `dancedepth weights fetch {name}`")


def _disk(folder: Path) -> Finding:
    here = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free_mb = shutil.disk_usage(here).free / MB
    writable = os.access(here, os.W_OK)
    said = f"{free_mb / 1024:.1f} GB free at {here}" + ("" if writable else ", which cannot be written")
    return Finding(
        "disk",
        free_mb >= LEAST_DISK_MB and writable,
        said,
        "Free some space, or choose another --out",
        needed=not writable,
    )


def _memory() -> Finding:
    free_mb = free_memory_mb()
    said = f"{free_mb / 1024:.1f} GB free, {usable_cores()} cores"
    return Finding(
        "memory", free_mb >= LEAST_MEMORY_MB, said, "Close other programs, or use small videos", needed=False
    )


def _self_test(process: subprocess.Popen[str]) -> Finding:
    said = _waited(process)
    remedy = "Mend what is red above; if nothing is, this is a bug"
    if said is None:
        return Finding("self-test", False, f"no answer in {PATIENCE_S} s", remedy)
    if not said[0].strip():
        return Finding("self-test", False, _last_words(said[1], process.returncode), remedy)
    answer = json.loads(said[0])
    if "fault" in answer:
        return Finding("self-test", False, str(answer["fault"]), remedy)
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in answer["seconds"].items())
    return Finding("self-test", True, parts)
