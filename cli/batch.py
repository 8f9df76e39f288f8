"""`dancedepth batch`: folders of videos in, a run folder for each out."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from dancedepth.cli.run_options import RUN, config_from, run_options
from dancedepth.pipeline.errors import UsageError

if TYPE_CHECKING:
    from dancedepth.pipeline.batch_work import Engine

BATCH = "Batch"
SECONDS_A_MINUTE = 60
SEE_HELP = "See `dancedepth batch --help`"


@run_options
def batch(
    context: typer.Context,
    sources: Annotated[
        list[str], typer.Argument(help="Folders, quoted globs, .txt files of one video a line, or videos.")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Where the run folders and the record go: a folder, or a URL like s3://.")
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Videos side by side; by default as many as fit.", rich_help_panel=BATCH
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try those again that failed before.", rich_help_panel=BATCH)
    ] = False,
    time_limit: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="Give up a video after so long.", rich_help_panel=BATCH)
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help="local: this machine; ray: a Ray cluster that shares the folders.", rich_help_panel=BATCH),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the Ray cluster; auto: this machine's; by default a new one here.", rich_help_panel=BATCH
        ),
    ] = None,
    cpus: Annotated[
        float, typer.Option(min=0.1, help="Cores for each video on a Ray cluster.", rich_help_panel=BATCH)
    ] = 2.0,
    gpus: Annotated[
        float | None,
        typer.Option(min=0.0, help="CUDA devices for each; by default one where there are any.", rich_help_panel=BATCH),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start every video again, finished ones too.", rich_help_panel=RUN)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Write the record as JSON to the standard output.", rich_help_panel=RUN)
    ] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Load model files of unknown origin; they can run code.", rich_help_panel=RUN),
    ] = False,
    **options: Any,
) -> None:
    """Reconstruct many videos. Started again, it skips what is finished; exit code 1 if a video failed."""
    from dancedepth.cli.batch_table import BatchTable, print_end
    from dancedepth.cli.terminal import own_terminal
    from dancedepth.pipeline.batch import run_batch
    from dancedepth.pipeline.batch_videos import find_videos
    from dancedepth.pipeline.batch_work import WorkOrder
    from dancedepth.pipeline.remote_folder import is_url

    if time_limit is not None and not time_limit > 0:
        raise UsageError("a time limit is more than 0 minutes", "--time-limit", SEE_HELP)
    limit_s = None if time_limit is None else time_limit * SECONDS_A_MINUTE
    order = WorkOrder(config_from(context, options), overwrite, trust, limit_s)
    with own_terminal() as terminal:
        place = out if is_url(out) else Path(out)
        videos = find_videos(sources, place if isinstance(place, Path) else None)
        chosen = _local(jobs, len(videos)) if engine == "local" else _ray(engine, address, cpus, gpus)
        with BatchTable(terminal.err if json else terminal.out) as table:
            record = run_batch(videos, place, order, chosen, table, retry)
        if json:
            terminal.out.write(json_format.dumps(_plain(record), indent=1, allow_nan=False) + "\n")
        else:
            print_end(record, out, terminal.out)
    if record.count("failed"):
        raise typer.Exit(1)


def _local(jobs: int | None, videos: int) -> Engine:
    from dancedepth.pipeline.crew import Crew, fitting_jobs

    return Crew(jobs or fitting_jobs(videos))


def _ray(engine: str, address: str | None, cpus: float, gpus: float | None) -> Engine:
    if engine != "ray":
        raise UsageError(f"there is no engine {engine!r}; there is local and ray", "--engine", SEE_HELP)
    from dancedepth.pipeline.ray_engine import RayEngine

    return RayEngine(address, cpus, gpus)


def _plain(record: Any) -> Any:
    from dataclasses import asdict

    from dancedepth.pipeline.storage import plain

    return plain(asdict(record))
