"""A folder behind a URL - s3://, gs://, any that fsspec knows - and what goes wrong there, as one of our errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from dancedepth.pipeline.errors import StorageError, UsageError

MARK = "://"
"""No path of a file has it, since paths keep no doubled slashes."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""By scheme, the extra of this package that brings the library for it."""
FOREIGN_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("gcsfs.retry", "HttpError"),
    ("aiohttp", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
)
"""What stores raise beside errors of the system: of wrong credentials, names and lines."""
AT_ONCE = 32
"""Files that are on their way side by side, where the store can do that."""


def is_url(place: object) -> bool:
    """Whether this names a place that fsspec reaches, and not a folder of this machine."""
    return MARK in str(place)


class RemoteFolder:
    """Files below a URL.

    Args:
        url: of the folder; it need not be there.

    Raises:
        UsageError: nothing is known of such URLs, or the library for them is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = _file_system(url)

    def at(self, name: str) -> str:
        """The URL of a file in it."""
        return f"{self.url}/{_as_key(name)}"

    def read(self, name: str) -> bytes | None:
        """A file's content; None if there is no such file.

        Raises:
            StorageError: the store cannot be reached, or does not let us.
        """
        with _said("cannot be read", self.at(name)):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file; object stores show it whole or not at all.

        Raises:
            StorageError: the store cannot be reached, or does not let us.
        """
        with _said("cannot be written", self.at(name)):
            self._files.pipe_file(self._path(name), data)

    def written_s(self, name: str) -> float:
        """When a file was last written, in seconds since 1970."""
        with _said("cannot be looked at", self.at(name)):
            written: datetime = self._files.modified(self._path(name))
            return written.timestamp()

    def names(self) -> list[str]:
        """Every file below, relative to here."""
        with _said("cannot be listed", self.url):
            try:
                found = self._files.find(self._root)
            except FileNotFoundError:
                return []
        return sorted(path.removeprefix(self._root).lstrip("/") for path in found)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""
        for name in names:
            with _said("cannot be removed", self.at(name)):
                self._files.rm_file(self._path(name))

    def put(self, folder: Path, names: Sequence[str]) -> None:
        """Copy files of a folder of this machine, under the same names."""
        with _said("cannot be written", self.url):
            self._files.put([str(folder / name) for name in names], [self._path(name) for name in names])

    def _path(self, name: str) -> str:
        return f"{self._root}/{_as_key(name)}"


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    scheme = url.split(MARK, maxsplit=1)[0]
    options = {"auto_mkdir": True} if scheme in ("file", "local") else {"use_listings_cache": False}
    try:
        files, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        remedy = f"pip install 'dancedepth[{extra}]'" if extra else "Install it"
        raise UsageError(f"a library for {scheme}:// is missing ({error})", url, remedy) from error
    except ValueError as error:
        raise UsageError(f"such URLs are not known ({error})", url, "Give a folder, or a URL like s3://") from error
    return files, str(root).rstrip("/")


@contextmanager
def _said(what: str, where: str) -> Iterator[None]:
    """Errors of the store as ours."""
    foreign = tuple(getattr(sys.modules[module], name) for module, name in FOREIGN_ERRORS if module in sys.modules)
    try:
        yield
    except (OSError, *foreign) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "Check the address, the credentials and the connection"
        raise StorageError(f"it {what} ({reason})", where, remedy) from error


def _as_key(name: str) -> str:
    """Stores take text only; bytes of a file's name that are none are spelled out."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def parsed(data: bytes) -> Any:
    """JSON; None if it is none, as half of a file is."""
    try:
        return json.loads(data)
    except ValueError:
        return None
