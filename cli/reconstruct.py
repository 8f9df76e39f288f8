"""`dancedepth reconstruct`: a video in, a run folder out."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer
from dancedepth.cli.interrupts import held
from dancedepth.cli.run_options import RUN, config_from, run_options
from dancedepth.pipeline import config as c
from dancedepth.pipeline.errors import UsageError

Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="The run folder; by default the input's name with `-run`, here.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the run that the folder holds.", rich_help_panel=RUN)
]
Json = Annotated[
    bool, typer.Option("--json", help="Write one JSON object to the standard output.", rich_help_panel=RUN)
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load model files of unknown origin; they can run code.", rich_help_panel=RUN)
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="Say more; -vv: details.", rich_help_panel=RUN)
]


@run_options
def reconstruct(
    context: typer.Context,
    video: Annotated[
        Path | None, typer.Argument(help="Any video that ffmpeg reads; by default that of --config.")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    json: Json = False,
    trust: Trust = False,
    verbose: Verbose = 0,
    **options: Any,
) -> None:
    """Reconstruct the dancer of a video in 3D. Cut off, it goes on where it was when started again."""
    video = video or _video_of(options["config"])
    config = config_from(context, options)
    carry_out("reconstruct", video, out or Path(f"{video.stem}-run"), config, overwrite, trust, json, verbose)


def _video_of(file: Path | None) -> Path:
    """The input of the run whose configuration is taken."""
    if file is None:
        raise UsageError("no video was named", "VIDEO", "See `dancedepth reconstruct --help`")
    from dancedepth.pipeline.manifest import read_manifest

    return Path(read_manifest(file).input.path)


def carry_out(
    task: str, video: Path, out: Path, config: c.RunConfig, overwrite: bool, trust: bool, json: bool, verbose: int
) -> None:
    """Run a function of `pipeline.reconstruct`, by name, with a line a stage, and print what came of it."""
    from dancedepth.cli.console import StageProgress, print_summary, summary_json
    from dancedepth.cli.terminal import own_terminal

    with own_terminal(verbose) as terminal:
        with StageProgress(terminal.err) as progress:
            with held():
                from dancedepth.pipeline.frames import open_video
            open_video(video, config.frames)  # what is no video is said at once, before the libraries take seconds
            with held():
                from dancedepth.pipeline import reconstruct
                from dancedepth.pipeline.storage import plain

            run = getattr(reconstruct, task)(video, out, config, progress, overwrite, trust)
        if json:
            terminal.out.write(json_format.dumps(plain(summary_json(run)), indent=1, allow_nan=False) + "\n")
        else:
            print_summary(run, terminal.out)
