"""`dancedepth view`: a run's report in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.workspace import RunFolder


def view(run: Annotated[Path, typer.Argument(help="A finished run folder.")]) -> None:
    """Open a run's report: the dancer in 3D, frames, timings and warnings."""
    page = RunFolder(run).report.absolute()
    if not page.is_file():
        what = "this run has no report"
        raise UsageError(what, str(run), "Give a folder that `dancedepth reconstruct` has finished.")
    opened = webbrowser.open(page.as_uri())
    print(page if opened else f"{page}\nThere is no browser here: open this file in one.")
