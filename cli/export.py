"""`dancedepth export`: a run in the formats of other programs."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.cli.fields import help_of
from dancedepth.pipeline.export.run import ExportConfig, export_run


def export(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    to: Annotated[str, typer.Option("--to", metavar="ply|obj|glb|usdz|bvh", help=help_of(ExportConfig, "to"))],
    frame: Annotated[int | None, typer.Option("--frame", metavar="N", help=help_of(ExportConfig, "frame"))] = None,
    sequence: Annotated[bool, typer.Option("--sequence", help=help_of(ExportConfig, "sequence"))] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file, or the sequence's folder; by default RUN/export/.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write the result as JSON to the standard output.")] = False,
) -> None:
    """Write a run's dancer for other programs; docs/blender.md says how to open each format."""
    from dancedepth.cli.console import StageProgress

    config = ExportConfig(to, frame, sequence)  # type: ignore[arg-type]  # it checks
    with StageProgress(sys.stderr) as progress:
        path = export_run(run, config, out, progress)
    print(json_format.dumps({"out": str(path)}) if json else path)
