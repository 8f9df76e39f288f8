"""`dancedepth depth`: a video or picture in, depth, normals and point clouds out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from dancedepth.cli.reconstruct import carry_out
from dancedepth.cli.run_options import RUN, config_from, run_options


@run_options
def depth(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Any video or picture that ffmpeg reads.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder; by default the source's name with `-run`, here.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that the folder holds.", rich_help_panel=RUN)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to the standard output.", rich_help_panel=RUN)
    ] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Load model files of unknown origin; they can run code.", rich_help_panel=RUN),
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say more; -vv: details.", rich_help_panel=RUN)
    ] = 0,
    **options: Any,
) -> None:
    """Depth, normals and a point cloud of every frame, and no surface; `reconstruct` can go on from there."""
    config = config_from(context, options)
    carry_out("reconstruct_depth", source, out or Path(f"{source.stem}-run"), config, overwrite, trust, json, verbose)
