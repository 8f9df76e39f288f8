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
    out: Annotated[
        Path, typer.Argument(help="Where the clip goes, OUT/video.mp4 and OUT/truth/, or the training's people.")
    ],
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
    long_wear: Annotated[
        bool, typer.Option("--long-wear", help="Fine folds, and for some seeds a dress, an open coat, loose sleeves.")
    ] = False,
    height: Annotated[float | None, typer.Option(help="The dancer's height in metres.")] = None,
    dataset: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Make N people for training instead; --motion is then a folder; see train --people."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The training's settings that such people are made for, TOML or JSON.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write the result as JSON to the standard output.")] = False,
) -> None:
    """Render a short clip of a dressed, dancing person, with its true depth, normals, masks, pose and surface."""
    if dataset is not None:
        _dataset(out, dataset, config, garments, motion, json)
        return
    width_px, height_px = _parsed_size(size)
    settings = SynthConfig(
        seconds=seconds,
        fps=fps,
        width=width_px,
        height=height_px,
        seed=seed,
        motion=motion,
        motion_start_s=motion_start,
        garments=garments,
        garment_names=tuple(garment or ()),
        long_wear=long_wear,
        height_m=height,
    )
    from dancedepth.models.body_file import load_body
    from dancedepth.models.weights import cache_folder
    from dancedepth.pipeline.synthesis.clip import make_clip

    with StageProgress(sys.stderr) as progress:
        clip = make_clip(settings, out, load_body(cache_folder()), progress)
    if json:
        print(json_format.dumps({**vars(clip), "video": str(clip.video), "truth": str(clip.truth)}, indent=1))
        return
    print(f"{clip.video}: {clip.frames} frames in {clip.seconds:.0f} s, wearing {', '.join(clip.garments)}")
    print(f"{clip.truth}: depth, normals, masks, motion and surface")


def _dataset(
    out: Path, count: int, config: Path | None, garments: Path | None, motion: Path | None, json: bool
) -> None:
    from dancedepth.models.weights import cache_folder
    from dancedepth.pipeline.training.config import TrainConfig, read_config
    from dancedepth.pipeline.training.people_dataset import make_people

    settings = (read_config(config) if config else TrainConfig()).with_folders(garments, motion)
    with StageProgress(sys.stderr) as progress:
        made = make_people(settings, count, out, cache_folder(), progress)
    if json:
        print(json_format.dumps({**vars(made), "sheet": str(made.sheet)}, indent=1))
        return
    print(f"{out}: {made.pictures} pictures of {count} people, {made.pictures_per_s:.1f} new ones a second")
    print(f"{made.sheet}: what they look like")


def _parsed_size(size: str) -> tuple[int, int]:
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"{size!r} is not a size", "--size", "Give WIDTHxHEIGHT, such as 720x1280.")
    return int(width), int(height)
