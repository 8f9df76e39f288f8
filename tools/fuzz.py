"""Try to break dancedepth: hundreds of broken, absurd and hostile videos through its reader, `reconstruct` and `batch`.

    python tools/fuzz.py OUT [--count 540] [--seed 0] [--cli 40] [--dancer clip.mp4]

Every case is read in this process; all of them go through one `dancedepth batch`, and every so many through a
`dancedepth reconstruct` of its own. None may end in a traceback, a crash, a hang, a frame that is none, or a file
outside OUT. Writes OUT/fuzz.json and exits 1 if one does.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from dancedepth.pipeline.errors import DanceDepthError
from dancedepth.pipeline.frame_store import FrameStore
from dancedepth.pipeline.frames import VideoFrames, open_video
from dancedepth.pipeline.panels import sizes_needed

sys.path.insert(0, str(Path(__file__).parent))  # tools are files, not a package
from fuzz_cases import Case, make_cases

LIMIT_S = 60.0
"""For one case; twenty times what the slowest needs on two idle cores."""
FRAMES_READ = 6
"""Of each case in this process."""
DANCEDEPTH = (sys.executable, "-P", "-c", "import sys; from dancedepth.cli.main import run; sys.exit(run())")
BAD_WORDS = ("Traceback", "a bug in dancedepth", "crashed", "was killed", "ended early", "longer than")
QUICK = ("--fps", "2", "--end", "2", "--voxel-mm", "20", "--matte-size", "256")


@dataclass(frozen=True)
class Finding:
    """How one case ended in one place."""

    where: str
    case: str
    well: bool
    said: str
    seconds: float


class TooLongError(Exception):
    """A case took longer than its limit."""


def fuzz(
    out: Annotated[Path, typer.Argument(help="Folder for the cases, the runs and fuzz.json.")],
    count: Annotated[int, typer.Option(help="Cases.")] = 540,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    cli: Annotated[int, typer.Option(help="Cases that go through a `reconstruct` of their own.")] = 40,
    batch: Annotated[bool, typer.Option(help="Put all through one `batch`.")] = True,
    dancer: Annotated[Path | None, typer.Option(help="A clip of a person, to be damaged too.")] = None,
) -> None:
    """Run all cases; exit 1 if one broke something."""
    out.mkdir(parents=True, exist_ok=True)
    cases = make_cases(out / "cases", count, seed, dancer)
    findings = [read(case) for case in cases]
    every = max(1, len(cases) // cli) if cli else len(cases) + 1
    findings += [reconstruct(case, out) for case in cases[::every]] if cli else []
    findings += through_batch(cases, out) if batch else []
    report(findings, out / "fuzz.json")
    raise typer.Exit(int(not all(finding.well for finding in findings)))


def read(case: Case, limit_s: float = LIMIT_S) -> Finding:
    """Read the first frames of a case: frames as announced, or an error in words."""
    started, well, said = time.monotonic(), True, ""
    try:
        with time_limit(limit_s):
            said = _read(case)
    except DanceDepthError as error:
        said = f"refused: {error.what}"
        well = "\n" not in str(error)
    except Exception:  # noqa: BLE001 - whatever else it raises is what is looked for
        well, said = False, traceback.format_exc()
    return Finding("reader", case.name, well, said, time.monotonic() - started)


def _read(case: Case) -> str:
    source = open_video(case.path, case.frames)
    with FrameStore(sizes_needed(source.info)) as store:
        kept = source.kept_in(store)
        first, second = list(_looks(kept)), list(_looks(kept))
    assert first == second, "a run's second stage sees other frames than the first"
    # What ffmpeg makes up for damaged parts is another picture each time, but at the same time.
    assert [time_s for time_s, _ in _looks(source)] == [time_s for time_s, _ in first], "times are others each time"
    return f"read: {len(first)} frames"


def _looks(source: VideoFrames) -> Iterator[tuple[float, int]]:
    """Time and content of the first frames."""
    last_s, shape = -math.inf, (source.info.height, source.info.width, 3)
    for frame in islice(source, FRAMES_READ):
        assert frame.rgb.shape == shape, f"a frame of {frame.rgb.shape}, announced as {shape}"
        assert math.isfinite(frame.time_s) and frame.time_s > last_s, f"{frame.time_s} s comes after {last_s} s"
        last_s = frame.time_s
        yield last_s, zlib.crc32(frame.rgb.data)


@contextmanager
def time_limit(limit_s: float) -> Iterator[None]:
    """Raise TooLongError inside the block when the time is up."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"longer than {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def reconstruct(case: Case, out: Path) -> Finding:
    """The whole program on one case: an exit code, and at most one line of complaint."""
    run, here = out / "runs" / case.name, out / "working folder"
    here.mkdir(exist_ok=True)
    before = _files(out, run)
    command = [*DANCEDEPTH, "reconstruct", "-o", str(run.absolute()), *QUICK, "--", str(case.path.absolute())]
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, cwd=here, timeout=5 * LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Finding("reconstruct", case.name, False, "longer than its limit", time.monotonic() - started)
    said = done.stderr.decode(errors="replace")
    quiet = done.returncode == 0 and not said
    told = done.returncode in (1, 2) and said.startswith("dancedepth: ") and said.count("\n") == 1
    elsewhere = _files(out, run) - before
    well = (quiet or told) and not any(word in said for word in BAD_WORDS) and not elsewhere
    text = f"exit {done.returncode}: {said.strip()}" + f" left {sorted(elsewhere)}" * bool(elsewhere)
    return Finding("reconstruct", case.name, well, text, time.monotonic() - started)


def through_batch(cases: list[Case], out: Path) -> list[Finding]:
    """All cases as one batch: a line for each, and nobody stops the rest."""
    listing = out / "cases.txt"
    usable = [case for case in cases if "\n" not in case.name and case.name == case.name.strip()]
    listing.write_bytes(b"".join(b"cases/" + os.fsencode(case.name) + b"\n" for case in usable))
    run, here = out / "batch", out / "working folder"
    here.mkdir(exist_ok=True)
    before, started = _files(out, run), time.monotonic()
    command = [*DANCEDEPTH, "batch", str(listing.absolute()), "-o", str(run.absolute()), *QUICK, "--jobs", "1"]
    done = subprocess.run([*command, "--time-limit", "5", "--overwrite"], capture_output=True, cwd=here, check=False)
    lines = {line["name"]: line for line in json.loads((run / "batch.json").read_text())["videos"]}
    findings = []
    for case in usable:
        line = lines.get(f"cases/{case.name}")
        said = f"{line['status']}: {line['reason']}" if line else "no line in the record"
        well = line is not None and line["status"] in ("done", "failed") and not any(w in said for w in BAD_WORDS)
        findings.append(Finding("batch", case.name, well, said, (line or {}).get("seconds") or 0.0))
    elsewhere = sorted(_files(out, run) - before)
    well = done.returncode in (0, 1) and not done.stderr and not elsewhere
    text = f"exit {done.returncode}, {done.stderr.decode(errors='replace')[-300:]!r}, left elsewhere: {elsewhere}"
    return [*findings, Finding("batch", "as a whole", well, text, time.monotonic() - started)]


def _files(folder: Path, besides: Path) -> set[str]:
    """All files below a folder, but not those of a run."""
    found = set()
    for here, folders, files in os.walk(folder):
        if Path(here) == besides:
            folders.clear()
            continue
        found |= {os.path.join(here, name) for name in files}  # noqa: PTH118 - names that are no text
    return found


def report(findings: list[Finding], path: Path) -> None:
    """Print counts and what went wrong; write everything."""
    kinds = Counter((finding.where, finding.said.split(":")[0], finding.well) for finding in findings)
    for (where, kind, well), count in sorted(kinds.items()):
        typer.echo(f"{count:5d}  {where:<12} {'ok ' if well else 'BAD'}  {kind}")
    for finding in findings:
        if not finding.well:
            typer.echo(f"BAD {finding.where} {finding.case!r}: {finding.said}")
    slowest = max(findings, key=lambda finding: finding.seconds if finding.case != "as a whole" else 0)
    bad = sum(not finding.well for finding in findings)
    typer.echo(f"{len(findings)} findings, {bad} bad; slowest {slowest.seconds:.1f} s: {slowest.case!r}")
    path.write_text(json.dumps([asdict(finding) for finding in findings], indent=1))


if __name__ == "__main__":
    typer.run(fuzz)
