"""Where the results of a batch lie: a folder, or a place behind a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dancedepth.pipeline.errors import DanceDepthError, RunFolderError, StorageError
from dancedepth.pipeline.folder_lock import folder_lock
from dancedepth.pipeline.manifest import Manifest, read_manifest
from dancedepth.pipeline.remote_folder import AT_ONCE, RemoteFolder, is_url
from dancedepth.pipeline.remote_lock import remote_lock
from dancedepth.pipeline.remote_run import MANIFEST, read_remote_manifest
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.workspace import RunFolder


@dataclass(frozen=True)
class Found:
    """A run that was made before, with all its files."""

    manifest: Manifest
    written_s: float
    """Since 1970."""


class BatchHome(Protocol):
    """Run folders by name, and the batch's own files."""

    at_once: int
    """Runs that are best looked for side by side."""

    def held(self) -> AbstractContextManager[None]:
        """By this process, as far as the place can tell."""

    def at(self, name: str) -> str:
        """What to call a file for a user."""

    def run(self, name: str) -> Path | str:
        """A run folder, as a `Task` names it."""

    def read(self, name: str) -> bytes | None:
        """A file of the batch; None if it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the batch."""

    def manifest(self, name: str) -> Manifest:
        """Of a run that has just been finished; an error if it is not there."""

    def found(self, name: str) -> Found | None:
        """A run that needs nothing but to be compared."""


def home_at(out: Path | str) -> BatchHome:
    """The home that `out`, a folder or a URL, names.

    Raises:
        RunFolderError: it is a run folder or a file.
        StorageError: it cannot be made or reached.
        UsageError: there is no library for the URL.
    """
    home: BatchHome = UrlHome(str(out)) if is_url(out) else FolderHome(Path(out))
    return home


class FolderHome:
    """A folder of this machine, or one that many share."""

    at_once = 1

    def __init__(self, root: Path) -> None:
        self._root = root
        if RunFolder(root).manifest.is_file():
            raise RunFolderError("this folder holds the run of one video", str(root), "Choose another --out")
        if root.exists() and not root.is_dir():
            raise RunFolderError("this is a file, not a folder", str(root), "Choose another --out")
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"the output folder cannot be made ({error.strerror})"
            raise StorageError(what, str(root), "Choose another --out") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises RunInUseError if another process holds it."""
        with folder_lock(self._root):
            yield

    def at(self, name: str) -> str:
        """Its path."""
        return str(self._root / name)

    def run(self, name: str) -> Path:
        """Its path, whole."""
        return (self._root / name).absolute()

    def read(self, name: str) -> bytes | None:
        """A file, if it is there."""
        path = self._root / name
        return path.read_bytes() if path.exists() else None

    def write(self, name: str, data: bytes) -> None:
        """A file, whole or not at all."""
        write_bytes(self._root / name, data)

    def manifest(self, name: str) -> Manifest:
        """Raises if it is not one."""
        return read_manifest(RunFolder(self._root / name).manifest)

    def found(self, name: str) -> Found | None:
        """With all its files; whoever works on a broken one will say what is wrong."""
        folder = RunFolder(self._root / name)
        try:
            if not folder.manifest.is_file():
                return None
            manifest, written_s = read_manifest(folder.manifest), folder.manifest.stat().st_mtime
        except (OSError, DanceDepthError):
            return None
        whole = all(folder.holds(stage.name, stage.frames) for stage in manifest.stages)
        return Found(manifest, written_s) if whole else None


class UrlHome:
    """A place of an object store."""

    at_once = AT_ONCE

    def __init__(self, url: str) -> None:
        self._there = RemoteFolder(url)
        if self._there.read(MANIFEST) is not None:
            raise RunFolderError("this place holds the run of one video", url, "Choose another --out")

    def held(self) -> AbstractContextManager[None]:
        """Raises RunInUseError if another batch is at work there."""
        return remote_lock(self._there)

    def at(self, name: str) -> str:
        """Its URL."""
        return self._there.at(name)

    def run(self, name: str) -> str:
        """Its URL."""
        return self._there.at(name)

    def read(self, name: str) -> bytes | None:
        """A file, if it is there."""
        return self._there.read(name)

    def write(self, name: str, data: bytes) -> None:
        """A file."""
        self._there.write(name, data)

    def manifest(self, name: str) -> Manifest:
        """As it was put."""
        manifest = read_remote_manifest(self._there, f"{name}/{MANIFEST}")
        if manifest is None:
            raise StorageError("the run is not there", self.at(name), "Is somebody else at work here? Give --retry")
        return manifest

    def found(self, name: str) -> Found | None:
        """A run whose manifest is there is whole, since that is put last."""
        manifest = read_remote_manifest(self._there, f"{name}/{MANIFEST}")
        return None if manifest is None else Found(manifest, self._there.written_s(f"{name}/{MANIFEST}"))
