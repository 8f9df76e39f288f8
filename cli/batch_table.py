"""What a batch looks like in the terminal: the videos at work, the last ones done, and how many are left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from dancedepth.cli.console import PLAIN_WIDTH, TITLES
from dancedepth.pipeline.batch_record import RECORD_NAME, TABLE_NAME, BatchRecord, VideoLine
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

SHOWN_ENDED = 8
"""Videos that ended stay in sight so long as no more than this have ended since."""
SHOWN_FAILURES = 20
"""In the list at the end; the record has them all."""
REFRESHES_A_SECOND = 4


@dataclass
class _AtWork:
    started_s: float
    stage: str = "starting"
    done: int = 0
    total: int | None = None


class BatchTable:
    """A `BatchObserver`: a live table on a terminal, a line for each video that ended elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._at_work: dict[str, _AtWork] = {}
        self._ended: deque[VideoLine] = deque(maxlen=SHOWN_ENDED)
        self._counts = {"done": 0, "failed": 0, "waiting": 0}
        self._fresh, self._started_s = 0, time.monotonic()
        self._live = Live(
            console=self._console, get_renderable=self._drawn, refresh_per_second=REFRESHES_A_SECOND, transient=True
        )

    def __enter__(self) -> BatchTable:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def began(self, lines: Sequence[VideoLine]) -> None:
        """Count what is known from before."""
        self._started_s = time.monotonic()
        for line in lines:
            self._counts[line.status] += 1
        before = self._counts["done"] + self._counts["failed"]
        if not self._console.is_terminal and before:
            self._say(f"{self._counts['done']} done before, {self._counts['failed']} failed before (see --retry)")

    def started(self, name: str) -> None:
        """A row for the video."""
        self._at_work[name] = _AtWork(time.monotonic())

    def advanced(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Its stage and how far that is."""
        row = self._at_work[name]
        row.stage, row.done, row.total = TITLES.get(stage, stage), done, total

    def ended(self, line: VideoLine) -> None:
        """From the rows at work to those that ended."""
        self._at_work.pop(line.name, None)
        self._counts["waiting"] -= 1
        self._counts[line.status] += 1
        self._fresh += 1
        self._ended.append(line)
        if not self._console.is_terminal:
            seconds = f"{line.seconds:.1f} s" if line.seconds is not None else ""
            self._say(f"{line.status:<7} {line.name}  {seconds}  {line.reason}".rstrip())

    def _say(self, text: str) -> None:
        self._console.file.write(" ".join(text.splitlines()) + "\n")
        self._console.file.flush()

    def _drawn(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, expand=True)
        table.add_column("video", ratio=3, no_wrap=True)
        table.add_column("", ratio=4, no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        for line in self._ended:
            style = "green" if line.status == "done" else "red"
            said = Text(line.reason or _quality(line), style=style)
            table.add_row(Text(line.name), said, f"{line.seconds or 0:.0f}")
        now = time.monotonic()
        for name, row in self._at_work.items():
            table.add_row(Text(name, style="bold"), _progress(row), f"{now - row.started_s:.0f}")
        return Group(table, self._tally(now))

    def _tally(self, now: float) -> Text:
        counts, styles = self._counts, {"done": "green", "failed": "red", "waiting": "default"}
        parts = [Text(f"{counts[kind]} {kind}", styles[kind]) for kind in styles]
        left = counts["waiting"] * (now - self._started_s) / self._fresh if self._fresh else None
        parts.append(Text(f"about {_duration(left)} left" if left and counts["waiting"] else "", "cyan"))
        return Text("   ").join(parts)


def _progress(row: _AtWork) -> Text:
    amount = f"{row.done}/{row.total}" if row.total else (str(row.done) if row.done else "")
    return Text.assemble((row.stage, "cyan"), f"  {amount}")


def _quality(line: VideoLine) -> str:
    figures = line.figures
    fit = f", fit {figures.reprojection_error_px:.1f} px" if figures.reprojection_error_px is not None else ""
    return f"{figures.frames_used} of {figures.frames} frames{fit}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def print_end(record: BatchRecord, out: str, stream: TextIO) -> None:
    """Counts and where the record is; on a terminal, whose table is gone, the failures with their reasons too."""
    console = Console(file=stream)
    if not console.is_terminal:
        console = Console(file=stream, width=PLAIN_WIDTH)
    failures = [line for line in record.videos if line.status == "failed" and console.is_terminal]
    for line in failures[:SHOWN_FAILURES]:
        console.print(Text.assemble(("failed  ", "red"), (line.name, "bold"), f"  {line.reason}"))
    if len(failures) > SHOWN_FAILURES:
        console.print(f"... and {len(failures) - SHOWN_FAILURES} more")
    counts = ", ".join(f"{record.count(kind)} {kind}" for kind in ("done", "failed", "waiting") if record.count(kind))
    console.print(Text(f"{counts}; see {out.rstrip('/')}/{RECORD_NAME} and {TABLE_NAME}"))
