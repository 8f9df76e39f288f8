"""A small dancer with surface and rig, and a whole run folder of it, made in seconds from exact scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from dancedepth.models.body import BodyModel
from dancedepth.pipeline import storage
from dancedepth.pipeline.config import RigConfig, RunConfig
from dancedepth.pipeline.export.glb import write_dancer_glb
from dancedepth.pipeline.manifest import (
    CameraRecord,
    FrameRecord,
    InputRecord,
    Manifest,
    PersonRecord,
    ProgramRecord,
    QualityRecord,
    ScaleRecord,
    StageRecord,
    write_manifest,
)
from dancedepth.pipeline.records import Rig, Surface
from dancedepth.pipeline.rig import rig_dancer
from dancedepth.pipeline.rig_file import write_rig
from dancedepth.pipeline.surface import vertex_normals
from dancedepth.pipeline.turntable import coarser
from dancedepth.pipeline.workspace import RunFolder

from tests.scenes import Scene

CELL_M = 0.03


def light_surface(scene: Scene, cell_m: float = CELL_M) -> Surface:
    """The scene's true surface with few vertices; its left half was seen."""
    order = np.argsort(-scene.skin_weights, axis=1)[:, :4]
    weights = np.take_along_axis(scene.skin_weights, order, 1)
    full = Surface(
        vertices=scene.vertices,
        faces=scene.faces,
        normals=vertex_normals(scene.vertices, scene.faces),
        colors=np.rint(scene.colors * 255).astype(np.uint8),
        observed=(scene.vertices[:, 0] > 0).astype(np.float32),
        skin_weights=(weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
        skin_bones=np.take_along_axis(scene.skin_bones, order, 1),
    )
    return coarser(full, cell_m)


def textured(surface: Surface) -> Surface:
    """The same with a texture: red below, blue above, by height."""
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    share = (surface.vertices - low) / (high - low)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32, :, 2] = texture[32:, :, 0] = 255
    return replace(surface, uv=share[:, [0, 2]].astype(np.float32), texture=texture)


def tilted(surface: Surface, tilt: tuple[float, float, float]) -> Surface:
    """The same with a texture and a normal map that says one thing everywhere, in tangent space."""
    texel = np.rint((np.array(tilt) / np.linalg.norm(tilt) * 0.5 + 0.5) * 255).astype(np.uint8)
    return replace(textured(surface), normal_map=np.tile(texel, (64, 64, 1)))


def rig_of(scene: Scene, body: BodyModel, hold_feet: bool = True) -> Rig:
    """The scene's rig, with a camera that stands still."""
    return rig_dancer(scene.motion, body, True, RigConfig(hold_feet=hold_feet))


def write_run(root: Path, scene: Scene, body: BodyModel, video: Path = Path("tiny.mp4")) -> Manifest:
    """A run folder of the scene up to the rig, and its manifest."""
    folder, surface, rig = RunFolder(root), light_surface(scene), rig_of(scene, body)
    camera, count = scene.motion.camera, len(rig.times_s)
    for index in range(count):
        depth = scene.geometry.depth.load(index)
        storage.write_depth(folder.depth(index), depth)
        normals = np.zeros((*depth.shape, 3), np.float32)
        normals[depth > 0] = (0, 0, -1)
        storage.write_normals(folder.normals(index), normals)
        storage.write_mask(folder.mask(index), scene.mattes.load(index))
    storage.write_surface(folder.surface, surface)
    write_rig(folder.rig, rig)
    write_dancer_glb(folder.dancer_glb, surface, rig)
    manifest = Manifest(
        InputRecord(str(video), "ab" * 32, 1000, camera.width, camera.height, 12.0, 0, count / 12, "h264"),
        RunConfig(),
        ProgramRecord("dancedepth", "0", "0"),
        frames=tuple(FrameRecord(index, index / 12, True, None) for index in range(count)),
        camera=CameraRecord(camera.focal_px, camera.cx, camera.cy, "given"),
        scale=ScaleRecord("--height", 1.7),
        person=PersonRecord(1),
        stages=(StageRecord("fusion", 1.25, count),),
        warnings=("the feet are <cut off> in 40% of the frames",),
        quality=QualityRecord(3.5, 4.5, rig.foot_sliding_m_s, rig.foot_sliding_fitted_m_s),
    )
    write_manifest(folder.manifest, manifest)
    return manifest
