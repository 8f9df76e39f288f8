"""A rendered dance as files: the video, and its truth beside it.

OUT/synth.json          what was asked for
OUT/video.mp4           H.264
OUT/truth/truth.json    schema_version, width, height, fps, frames, camera, height_m, seed, garments, motion;
                        written last: where it is, everything is
OUT/truth/depth, normals, masks/000123.png, motion.npz   as in a run folder
OUT/truth/surface.npz   the dressed surface at rest: vertices, faces, colors, skin_weights, skin_bones
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline import storage
from dancedepth.pipeline.errors import RunFolderError, StorageError
from dancedepth.pipeline.records import Observer
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.synthesis.render import Picture
from dancedepth.pipeline.synthesis.scene import Scene, make_scene
from dancedepth.pipeline.video_file import video_writer
from dancedepth.pipeline.workspace import RunFolder

SCHEMA_VERSION = 1
MARKER = "synth.json"
CRF = 16
"""H.264 quality: hardly any loss."""


@dataclass(frozen=True)
class Clip:
    """Where a rendered clip lies."""

    video: Path
    truth: Path
    frames: int
    garments: tuple[str, ...]
    seconds: float
    """Spent on rendering."""


def make_clip(config: SynthConfig, out: Path, body: BodyModel, observer: Observer) -> Clip:
    """Render a dancer and write video and truth to `out`.

    Raises:
        RunFolderError: `out` holds something else than a clip of this program.
        StorageError, VideoError: a file cannot be written, ffmpeg fails.
    """
    started = time.perf_counter()
    truth = RunFolder(out / "truth")
    _check(out)
    scene = make_scene(config, body)
    frames = len(scene.motion.times_s)
    _claim(out, config)
    storage.write_motion(truth.motion, scene.motion)
    _write_surface(truth.surface, scene)
    observer.stage_started("render", frames)
    with video_writer(out / "video.mp4", config.width, config.height, config.fps, CRF) as stream:
        for index, picture in enumerate(render(scene, config)):
            _write_truth_images(truth, index, picture)
            stream.write(np.ascontiguousarray(picture.rgb.numpy()).data)
            observer.advanced()
    _remove_later_frames(truth, frames)
    storage.write_json(truth.root / "truth.json", _summary(config, scene))
    seconds = time.perf_counter() - started
    observer.stage_finished("render", seconds, False)
    return Clip(out / "video.mp4", truth.root, frames, scene.dressed.description, seconds)


def render(scene: Scene, config: SynthConfig) -> Iterator[Picture]:
    """The scene's frames, one at a time."""
    renderer = scene.renderer(config.supersampling)
    noise = torch.Generator().manual_seed(config.seed)
    for poses in scene.motion.cam_from_rest:
        yield renderer.render(torch.from_numpy(poses), noise)


def _check(out: Path) -> None:
    """The folder is free, or holds an earlier clip."""
    remedy = "Choose another folder, or empty this one."
    try:
        if out.exists() and not out.is_dir():
            raise RunFolderError("this is a file, not a folder", str(out), "Choose another folder.")
        if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
            raise RunFolderError("the folder holds files that are no clip of `dancedepth synth`", str(out), remedy)
    except OSError as error:
        raise StorageError(f"cannot use the folder ({error.strerror})", str(out), remedy) from error


def _claim(out: Path, config: SynthConfig) -> None:
    """Make the folder this clip's; what an earlier one left there no longer counts."""
    try:
        for path in (out / "truth" / "truth.json", out / "video.mp4"):
            path.unlink(missing_ok=True)
    except OSError as error:
        remedy = "Choose another folder, or empty this one."
        raise StorageError(f"cannot use the folder ({error.strerror})", str(out), remedy) from error
    storage.write_json(out / MARKER, {"schema_version": SCHEMA_VERSION, "config": config.to_json()})


def _write_surface(path: Path, scene: Scene) -> None:
    dressed = scene.dressed
    storage.write_arrays(
        path,
        vertices=dressed.vertices.numpy().astype(np.float32),
        faces=dressed.opaque_faces().numpy().astype(np.int32),
        colors=dressed.colors.numpy(),
        skin_weights=dressed.skin_weights.numpy().astype(np.float32),
        skin_bones=dressed.skin_bones.numpy().astype(np.int32),
    )


def _write_truth_images(truth: RunFolder, index: int, picture: Picture) -> None:
    storage.write_depth(truth.depth(index), picture.depth_m.numpy())
    storage.write_normals(truth.normals(index), picture.normals.numpy())
    storage.write_mask(truth.mask(index), picture.alpha.numpy())


def _remove_later_frames(truth: RunFolder, frames: int) -> None:
    """Frames of a longer clip that was rendered into this folder before."""
    for kind in ("depth", "normals", "masks"):
        for path in (truth.root / kind).glob("*.png"):
            if path.stem.isdigit() and int(path.stem) >= frames:
                path.unlink()


def _summary(config: SynthConfig, scene: Scene) -> dict[str, Any]:
    camera = scene.view.camera
    return {
        "schema_version": SCHEMA_VERSION,
        "width": config.width,
        "height": config.height,
        "fps": config.fps,
        "frames": [{"index": i, "time_s": float(t)} for i, t in enumerate(scene.motion.times_s)],
        "camera": {"focal_px": camera.focal_px, "cx": camera.cx, "cy": camera.cy},
        "height_m": scene.motion.height_m,
        "seed": config.seed,
        "garments": list(scene.dressed.description),
        "motion": config.motion.name if config.motion else "procedural",
        "config": config.to_json(),
    }
