"""`dancedepth reconstruct`: a video in, a run folder out."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer
from dancedepth.cli.fields import default_of, help_of
from dancedepth.pipeline import config as c

TRUNCATION_VOXELS = 3
"""Coarser voxels than the default's need a wider band around the surface."""


def _option(config: type[Any], field: str, *flags: str, **more: Any) -> Any:
    return typer.Option(*flags, help=help_of(config, field).replace("None:", "by default"), **more)


FRAMES, PERSON, LENS, SHAPE, RUN = "Frames", "Dancer", "Camera and scale", "Depth and surface", "Run"


def reconstruct(
    video: Annotated[Path, typer.Argument(help="Any video that ffmpeg reads.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder; by default the video's name with `-run`, here.")
    ] = None,
    fps: Annotated[float, _option(c.FramesConfig, "fps", "--fps", rich_help_panel=FRAMES)] = default_of(
        c.FramesConfig, "fps"
    ),
    start: Annotated[
        float, _option(c.FramesConfig, "start_s", "--start", metavar="SECONDS", rich_help_panel=FRAMES)
    ] = default_of(c.FramesConfig, "start_s"),
    end: Annotated[
        float | None, _option(c.FramesConfig, "end_s", "--end", metavar="SECONDS", rich_help_panel=FRAMES)
    ] = default_of(c.FramesConfig, "end_s"),
    person: Annotated[int | None, _option(c.TracksConfig, "person", "--person", rich_help_panel=PERSON)] = default_of(
        c.TracksConfig, "person"
    ),
    pose_model: Annotated[
        str, _option(c.TracksConfig, "pose_model", "--pose-model", rich_help_panel=PERSON)
    ] = default_of(c.TracksConfig, "pose_model"),
    min_confidence: Annotated[
        float, _option(c.TracksConfig, "min_confidence", "--min-confidence", rich_help_panel=PERSON)
    ] = default_of(c.TracksConfig, "min_confidence"),
    segmenter: Annotated[str, _option(c.MattesConfig, "segmenter", "--segmenter", rich_help_panel=PERSON)] = default_of(
        c.MattesConfig, "segmenter"
    ),
    matte_size: Annotated[
        int, _option(c.MattesConfig, "work_side_px", "--matte-size", metavar="PIXELS", rich_help_panel=PERSON)
    ] = default_of(c.MattesConfig, "work_side_px"),
    height: Annotated[
        float | None, _option(c.BodyMotionConfig, "height_m", "--height", metavar="METRES", rich_help_panel=LENS)
    ] = default_of(c.BodyMotionConfig, "height_m"),
    focal_px: Annotated[
        float | None, _option(c.CameraConfig, "focal_px", "--focal-px", metavar="PIXELS", rich_help_panel=LENS)
    ] = default_of(c.CameraConfig, "focal_px"),
    fov: Annotated[
        float | None, _option(c.CameraConfig, "fov_deg", "--fov", metavar="DEGREES", rich_help_panel=LENS)
    ] = default_of(c.CameraConfig, "fov_deg"),
    depth_model: Annotated[str, _option(c.DepthsConfig, "model", "--depth-model", rich_help_panel=SHAPE)] = default_of(
        c.DepthsConfig, "model"
    ),
    depth_weights: Annotated[
        str | None, _option(c.DepthsConfig, "weights", "--depth-weights", metavar="FILE", rich_help_panel=SHAPE)
    ] = default_of(c.DepthsConfig, "weights"),
    voxel_mm: Annotated[
        float, typer.Option("--voxel-mm", help="Side of a voxel of the surface, in mm.", rich_help_panel=SHAPE)
    ] = default_of(c.FusionConfig, "voxel_m") * 1000,
    device: Annotated[str, _option(c.RunConfig, "device", "--device", rich_help_panel=RUN)] = default_of(
        c.RunConfig, "device"
    ),
    seed: Annotated[int, _option(c.RunConfig, "seed", "--seed", rich_help_panel=RUN)] = default_of(c.RunConfig, "seed"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that the folder holds.", rich_help_panel=RUN)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to the standard output.", rich_help_panel=RUN)
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say more; -vv: details.", rich_help_panel=RUN)
    ] = 0,
) -> None:
    """Reconstruct the dancer of a video in 3D. Cut off, it goes on where it was when started again."""
    config = c.RunConfig(
        frames=c.FramesConfig(fps, start, end),
        tracks=c.TracksConfig(pose_model, person, min_confidence),
        mattes=c.MattesConfig(segmenter, matte_size),
        camera=c.CameraConfig(focal_px, fov),
        body_motion=c.BodyMotionConfig(height),
        depths=c.DepthsConfig(depth_model, depth_weights),  # type: ignore[arg-type]  # it checks
        fusion=_fusion(voxel_mm / 1000),
        device=device,
        seed=seed,
    )
    _reconstruct(video, out or Path(f"{video.stem}-run"), config, overwrite, json, verbose)


def _fusion(voxel_m: float) -> c.FusionConfig:
    truncation_m = default_of(c.FusionConfig, "truncation_m")
    return c.FusionConfig(voxel_m, max(truncation_m, TRUNCATION_VOXELS * voxel_m))


def _reconstruct(video: Path, out: Path, config: c.RunConfig, overwrite: bool, json: bool, verbose: int) -> None:
    from dancedepth.cli.console import StageProgress, print_summary, summary_json
    from dancedepth.cli.terminal import own_terminal

    with own_terminal(verbose) as terminal:
        with StageProgress(terminal.err) as progress:
            from dancedepth.pipeline.frames import open_video

            open_video(video, config.frames)  # what is no video is said at once, before the libraries take seconds
            from dancedepth.pipeline.reconstruct import reconstruct as run_all
            from dancedepth.pipeline.storage import plain

            run = run_all(video, out, config, progress, overwrite)
        if json:
            terminal.out.write(json_format.dumps(plain(summary_json(run)), indent=1, allow_nan=False) + "\n")
        else:
            print_summary(run, terminal.out)
