"""`dancedepth synth`: a rendered dancer with its truth."""

from __future__ import annotations

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.cli.console import StageProgress
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.synthesis.config import SynthConfig

DEFAULTS = SynthConfig()


def synth(
    out: Annotated[Path, typer.Argument(help="Where the clip goes: OUT/video.mp4 and OUT/truth/.")],
    seconds: Annotated[float, typer.Option(help="Length of the clip.")] = DEFAULTS.seconds,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = DEFAULTS.fps,
    size: Annotated[
        str, typer.Option(help="WIDTHxHEIGHT in pixels, both even.")
    ] = f"{DEFAULTS.width}x{DEFAULTS.height}",
    seed: Annotated[int, typer.Option(help="Draws the person, clothes, dance, room and light.")] = DEFAULTS.seed,
    motion: Annotated[Path | None, typer.Option(help="A BVH file to follow instead of a made-up dance.")] = None,
    motion_start: Annotated[float, typer.Option(help="Where in the BVH file to start, seconds.")] = 0.0,
    garments: Annotated[Path | None, typer.Option(help="A folder of MakeHuman clothes/, hair/ and skins/.")] = None,
    garment: Annotated[list[str] | None, typer.Option(help="What to wear of it, by name; may be repeated.")] = None,
    height: Annotated[float | None, typer.Option(help="The dancer's height in metres.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write the result as JSON to the standard output.")] = False,
) -> None:
    """Render a short clip of a dressed, dancing person, with its true depth, normals, masks, pose and surface."""
    width_px, height_px = _parsed_size(size)
    config = SynthConfig(
        seconds=seconds,
        fps=fps,
        width=width_px,
        height=height_px,
        seed=seed,
        motion=motion,
        motion_start_s=motion_start,
        garments=garments,
        garment_names=tuple(garment or ()),
        height_m=height,
    )
    from dancedepth.models.body import load_body
    from dancedepth.models.weights import cache_folder
    from dancedepth.pipeline.synthesis.clip import make_clip

    with StageProgress(sys.stderr) as progress:
        clip = make_clip(config, out, load_body(cache_folder()), progress)
    if json:
        print(json_format.dumps({**vars(clip), "video": str(clip.video), "truth": str(clip.truth)}, indent=1))
        return
    print(f"{clip.video}: {clip.frames} frames in {clip.seconds:.0f} s, wearing {', '.join(clip.garments)}")
    print(f"{clip.truth}: depth, normals, masks, motion and surface")


def _parsed_size(size: str) -> tuple[int, int]:
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"{size!r} is not a size", "--size", "Give WIDTHxHEIGHT, such as 720x1280.")
    return int(width), int(height)
