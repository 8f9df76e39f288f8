"""`dancedepth depth`: a video or picture in, depth, normals and point clouds out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from dancedepth.cli.reconstruct import Json, Out, Overwrite, Trust, Verbose, carry_out
from dancedepth.cli.run_options import config_from, run_options


@run_options
def depth(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="Any video or picture that ffmpeg reads.")],
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    trust: Trust = False,
    verbose: Verbose = 0,
    **options: Any,
) -> None:
    """Depth, normals and a point cloud of every frame, and no surface; `reconstruct` can go on from there."""
    config = config_from(context, options)
    carry_out("reconstruct_depth", source, out or Path(f"{source.stem}-run"), config, overwrite, trust, json, verbose)
