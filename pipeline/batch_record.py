"""`batch.json` and `batch.csv`: what became of every video of a batch, one line each."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from dancedepth.pipeline.config import RunConfig, config_from_json
from dancedepth.pipeline.errors import RunFolderError
from dancedepth.pipeline.manifest import Manifest
from dancedepth.pipeline.storage import json_bytes

SCHEMA_VERSION = 1
RECORD_NAME, TABLE_NAME = "batch.json", "batch.csv"
LEAST_INTERVAL_S = 1.0
WRITING_SHARE = 0.02
"""Of the time may go into writing the record, however long it is."""

Status = Literal["waiting", "done", "failed"]
Write = Callable[[str, bytes], None]
"""Puts a file of this name where the batch's results lie, whole or not at all."""


@dataclass(frozen=True)
class Figures:
    """How good a finished run is, in the words of its `run.json`."""

    duration_s: float | None = None
    frames: int | None = None
    frames_used: int | None = None
    height_m: float | None = None
    reprojection_error_px: float | None = None
    smoothness: float | None = None
    peak_memory_mb: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class VideoLine:
    """One video of a batch."""

    name: str
    video: str
    run: str
    """Its run folder, relative to the batch's."""
    status: Status = "waiting"
    seconds: float | None = None
    """That the work on it took in all, as far as it is known."""
    attempts: int = 0
    reason: str = ""
    """Of its failure."""
    figures: Figures = Figures()


@dataclass(frozen=True)
class BatchRecord:
    """The whole of `batch.json`."""

    config: RunConfig
    videos: tuple[VideoLine, ...]
    program: str = ""
    schema_version: int = SCHEMA_VERSION

    def count(self, status: Status) -> int:
        """How many videos are in a state."""
        return sum(line.status == status for line in self.videos)


class BatchFile:
    """The record on the disk, brought up to date often enough, but not after each of a million videos."""

    def __init__(self, write: Write, config: RunConfig) -> None:
        self._write, self._config = write, config
        self._due_s = 0.0

    def update(self, lines: Iterable[VideoLine], now: bool = False) -> BatchRecord | None:
        """Write it, if it is time for that."""
        started = time.monotonic()
        if started < self._due_s and not now:
            return None
        record = BatchRecord(self._config, tuple(lines), f"dancedepth {version('dancedepth')}")
        write_record(self._write, record)
        took = time.monotonic() - started
        self._due_s = started + took + max(LEAST_INTERVAL_S, took / WRITING_SHARE)
        return record


def write_record(write: Write, record: BatchRecord) -> None:
    """Write `batch.json` and `batch.csv`, each whole or not at all."""
    counts = {status: record.count(status) for status in ("done", "failed", "waiting")}
    write(RECORD_NAME, json_bytes({"counts": counts, **asdict(record)}))
    write(TABLE_NAME, table(record).encode(errors="surrogateescape"))


def table(record: BatchRecord) -> str:
    """One line a video as CSV; warnings are joined by semicolons."""
    own = [f.name for f in fields(VideoLine) if f.name != "figures"]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*own, *(f.name for f in fields(Figures))])
    for line in record.videos:
        values = [getattr(line, name) for name in own] + [getattr(line.figures, f.name) for f in fields(Figures)]
        rows.writerow([_cell(value) for value in values])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return "; ".join(value)
    return round(value, 3) if isinstance(value, float) else value


def read_record(folder: Path) -> BatchRecord | None:
    """The record of an earlier batch; None if there is none.

    Raises:
        RunFolderError: there is one, but of another version or broken.
    """
    path = folder / RECORD_NAME
    return parse_record(path.read_bytes(), str(path)) if path.exists() else None


def parse_record(data: bytes, where: str) -> BatchRecord:
    """What a `batch.json` from `where` says.

    Raises:
        RunFolderError: it is of another version or broken.
    """
    remedy = "Remove the file, or choose another --out"
    try:
        values = json.loads(data)
        if values["schema_version"] != SCHEMA_VERSION:
            raise RunFolderError("this batch was written by another version", where, remedy)
        config = config_from_json(RunConfig, values["config"])
        return BatchRecord(config, tuple(_line(line) for line in values["videos"]), values["program"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RunFolderError(f"this is not the record of a batch ({error})", where, remedy) from error


def _line(values: dict[str, Any]) -> VideoLine:
    figures = values["figures"]
    return VideoLine(**{**values, "figures": Figures(**{**figures, "warnings": tuple(figures["warnings"])})})


def figures_of(manifest: Manifest) -> Figures:
    """What a run says of itself."""
    return Figures(
        duration_s=manifest.input.duration_s,
        frames=len(manifest.frames),
        frames_used=sum(frame.used for frame in manifest.frames),
        height_m=manifest.scale.height_m if manifest.scale else None,
        reprojection_error_px=manifest.quality.reprojection_error_px,
        smoothness=manifest.quality.smoothness,
        peak_memory_mb=manifest.peak_memory_mb,
        warnings=manifest.warnings,
    )
