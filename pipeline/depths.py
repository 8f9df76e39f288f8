"""Depth and normals of every frame; here from the fitted body itself, the parametric baseline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.models.body_maps import render_body
from dancedepth.models.silhouettes import OPAQUE
from dancedepth.pipeline.records import BodyMotion, GeometrySequence, ImageSequence, Observer
from dancedepth.pipeline.storage import read_depth, read_normals, write_depth, write_normals
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import Float, UInt8


def body_depths(
    motion: BodyMotion, mattes: ImageSequence, body: BodyModel, folder: RunFolder, observer: Observer
) -> GeometrySequence:
    """Write the posed body's own depth and normals, where the matte shows the dancer."""
    rest = body.scaled_to_height(body.rest(torch.from_numpy(motion.phenotype).to(body.device)), motion.height_m)
    indices = [index for index in mattes.indices if motion.fitted[index]]
    observer.stage_started("depths", len(indices))
    written = []
    with ThreadPoolExecutor(max_workers=1) as writer:  # encoding keeps one core busy while the next frame is rendered
        saved = writer.submit(int)
        for index in indices:
            depth, normals = _body_geometry(motion, index, rest, body, mattes.load(index))
            saved.result()
            if depth.any():
                saved = writer.submit(_write, folder, index, depth, normals)
                written.append(index)
            observer.advanced()
        saved.result()
    return load_geometry(folder, tuple(written))


def _body_geometry(
    motion: BodyMotion, index: int, rest: RestBody, body: BodyModel, alpha: UInt8[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w 3"]]:
    """Depth and normals of the body inside the matte; zeros elsewhere."""
    transforms = torch.from_numpy(motion.cam_from_rest[index : index + 1]).to(body.device)
    maps = render_body(body.skin(rest.vertices, transforms)[0], body.faces, motion.camera)
    depth, normals = np.zeros(alpha.shape, np.float32), np.zeros((*alpha.shape, 3), np.float32)
    if maps is not None:
        window = maps.window
        inside = alpha[window] >= OPAQUE
        depth[window] = maps.depth_m.cpu().numpy() * inside
        normals[window] = maps.normals.cpu().numpy() * inside[..., None]
    return depth, normals


def _write(
    folder: RunFolder, index: int, depth_m: Float[np.ndarray, "h w"], normals: Float[np.ndarray, "h w 3"]
) -> None:
    write_depth(folder.depth(index), depth_m)
    write_normals(folder.normals(index), normals)


def load_geometry(folder: RunFolder, indices: tuple[int, ...]) -> GeometrySequence:
    """The depth and normals that a run folder holds."""
    return GeometrySequence(
        depth=ImageSequence(indices, lambda index: read_depth(folder.depth(index))),
        normals=ImageSequence(indices, lambda index: read_normals(folder.normals(index))),
    )
