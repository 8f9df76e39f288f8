"""Depth and normals of every frame; here from the fitted body itself, the parametric baseline."""

from __future__ import annotations

import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.body_maps import render_body
from dancedepth.models.silhouettes import OPAQUE
from dancedepth.pipeline.records import BodyMotion, GeometrySequence, ImageSequence, Observer
from dancedepth.pipeline.storage import read_depth, read_normals, write_depth, write_normals
from dancedepth.pipeline.workspace import RunFolder


def body_depths(
    motion: BodyMotion, mattes: ImageSequence, body: BodyModel, folder: RunFolder, observer: Observer
) -> GeometrySequence:
    """Write the posed body's own depth and normals, where the matte shows the dancer."""
    rest = body.scaled_to_height(body.rest(torch.from_numpy(motion.phenotype).to(body.device)), motion.height_m)
    indices = [index for index in mattes.indices if motion.fitted[index]]
    observer.stage_started("depths", len(indices))
    written = []
    for index in indices:
        transforms = torch.from_numpy(motion.cam_from_rest[index : index + 1]).to(body.device)
        maps = render_body(body.skin(rest.vertices, transforms)[0], body.faces, motion.camera)
        alpha = mattes.load(index)
        if maps is not None:
            inside = torch.from_numpy(alpha >= OPAQUE)
            size = (motion.camera.height, motion.camera.width)
            depth = maps.paste(maps.depth_m, size).cpu() * inside
            normals = maps.paste(maps.normals, size).cpu() * inside[..., None]
            if depth.any():
                write_depth(folder.depth(index), depth.numpy())
                write_normals(folder.normals(index), normals.numpy())
                written.append(index)
        observer.advanced()
    return load_geometry(folder, tuple(written))


def load_geometry(folder: RunFolder, indices: tuple[int, ...]) -> GeometrySequence:
    """The depth and normals that a run folder holds."""
    return GeometrySequence(
        depth=ImageSequence(indices, lambda index: read_depth(folder.depth(index))),
        normals=ImageSequence(indices, lambda index: read_normals(folder.normals(index))),
    )
