"""Which videos a batch goes through, and what their run folders are called."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dancedepth.pipeline.errors import UsageError, VideoError

VIDEO_SUFFIXES = {
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".3gp", ".3g2", ".wmv",
    ".flv", ".ogv", ".mxf", ".vob", ".gif",
}  # fmt: skip
"""Files that are taken from a folder for their name; a file that is named itself may be called anything."""
LIST_SUFFIX = ".txt"
"""A file of one video a line; relative names are relative to it, and lines that begin with # are remarks."""
RUN_MARK = "run.json"
"""A folder with this in it is a run, and the videos in it are its results."""


@dataclass(frozen=True)
class BatchVideo:
    """One video of a batch."""

    name: str
    """Its path below the folder that was given: the name of its run folder below OUT."""
    path: Path


def find_videos(sources: Sequence[str], out: Path | None) -> list[BatchVideo]:
    """The videos of folders (searched to the bottom), globs, list files and single files, sorted by name.

    Names do not depend on what else is there: they are relative to the folder that was given, to the part of a glob
    before its wildcards, to the list's folder, or to the folder that holds all single files.

    Args:
        sources: as given on the command line.
        out: left out of the search; None if it is no folder.

    Raises:
        UsageError: a source is not there, or two videos would share a run folder.
        VideoError: there is no video.
    """
    files = [Path(source) for source in sources if _is_single(source)]
    base = os.path.commonpath([file.absolute().parent for file in files]) if files else ""
    found = [BatchVideo(_name(file, Path(base)), file) for file in files]
    for source in sources:
        if not _is_single(source):
            found += _expand(source, None if out is None else out.resolve())
    if not found:
        looked = ", ".join(sources)
        raise VideoError("there is no video here", looked, "Give a folder, a glob, a list file or videos")
    return _unique(found)


def _is_single(source: str) -> bool:
    path = Path(source)
    return not path.is_dir() and path.suffix.lower() != LIST_SUFFIX and os.path.lexists(path)


def _expand(source: str, out: Path | None) -> Iterator[BatchVideo]:
    path = Path(source)
    if path.is_dir():
        yield from (BatchVideo(_name(video, path.absolute()), video) for video in _below(path, out))
    elif path.is_file():
        yield from _listed(path)
    elif glob.has_magic(source):
        yield from _globbed(source, out)
    else:
        raise UsageError("there is no such file or folder", source, "Give a folder, a glob, a list file or videos")


def _below(folder: Path, out: Path | None) -> Iterator[Path]:
    """Videos in a folder and those under it; links to folders are not followed, as they may lead in circles."""
    unreadable: list[Path] = []
    for here, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(Path(str(error.filename)))):
        if Path(here).resolve() == out or RUN_MARK in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(files) if _looks_like_video(name))
    yield from unreadable  # reported as what they are when their turn comes


def _looks_like_video(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES


def _globbed(pattern: str, out: Path | None) -> Iterator[BatchVideo]:
    fixed = Path(pattern).absolute().parts
    base = Path(*fixed[: next(i for i, part in enumerate(fixed) if glob.has_magic(part))])
    any_file = bool(Path(pattern).suffix) and not glob.has_magic(Path(pattern).suffix)
    for text in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
        path = Path(text)
        if path.is_dir():
            yield from (BatchVideo(_name(video, base), video) for video in _below(path, out) if "**" not in pattern)
        elif (any_file or _looks_like_video(path.name)) and not _is_result(path, out):
            yield BatchVideo(_name(path, base), path)


def _is_result(path: Path, out: Path | None) -> bool:
    return (out is not None and path.resolve().is_relative_to(out)) or (path.parent / RUN_MARK).is_file()


def _listed(file: Path) -> Iterator[BatchVideo]:
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise UsageError(f"the list cannot be read ({error.strerror})", str(file)) from error
    folder = file.absolute().parent
    for line in lines:
        if line.strip() and not line.startswith("#") and "\0" not in line:
            path = Path(line.strip())
            yield BatchVideo(_name(folder / path, folder), path if path.is_absolute() else file.parent / path)


def _name(video: Path, base: Path) -> str:
    """Below `base`; of a video elsewhere, its whole path without the root: never a way out of OUT."""
    path, base = _plain(video), _plain(base)
    inside = path.relative_to(base) if path.is_relative_to(base) else Path(*path.parts[1:])
    return str(inside)


def _plain(path: Path) -> Path:
    """Absolute and without `..`, but with its links."""
    return Path(os.path.normpath(path.absolute()))


def _unique(videos: Iterable[BatchVideo]) -> list[BatchVideo]:
    by_name: dict[str, BatchVideo] = {}
    for video in videos:
        other = by_name.setdefault(video.name, video)
        if _plain(other.path) != _plain(video.path):
            what = f"this video and {other.path} would share the run folder {video.name}"
            raise UsageError(what, str(video.path), "Give the folder above them instead")
    return [by_name[name] for name in sorted(by_name)]
