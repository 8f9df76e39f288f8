"""Depth and normals of every frame: from the networks, or from the fitted body itself, the parametric baseline."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.models.body_maps import render_body
from dancedepth.models.hdnet import HDNet, person_mask
from dancedepth.models.inputs import PosedBody, prepare_input
from dancedepth.models.paste_back import Geometry, paste_back
from dancedepth.models.silhouettes import OPAQUE
from dancedepth.pipeline.records import BodyMotion, Frame, FrameSource, GeometrySequence, ImageSequence, Observer
from dancedepth.pipeline.storage import read_depth, read_mask, read_normals, write_depth, write_mask, write_normals
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
        saved: Future[Any] = writer.submit(int)
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


def network_depths(
    frames: FrameSource,
    motion: BodyMotion,
    mattes: ImageSequence,
    body: BodyModel,
    net: HDNet,
    folder: RunFolder,
    observer: Observer,
) -> GeometrySequence:
    """Write the networks' depth, normals and confidence of every frame that has a matte and a fitted body."""
    rest = body.scaled_to_height(body.rest(torch.from_numpy(motion.phenotype).to(body.device)), motion.height_m)
    indices = {index for index in mattes.indices if motion.fitted[index]}
    observer.stage_started("depths", len(indices))
    written = []
    for frame in frames:
        if frame.index not in indices:
            continue
        found = frame_geometry(
            frame, mattes.load(frame.index), posed_body(motion, frame.index, body, rest), motion, net
        )
        if found is not None and found.depth_m.any():
            write_depth(folder.depth(frame.index), found.depth_m.numpy())
            write_normals(folder.normals(frame.index), found.normals.numpy())
            write_mask(folder.confidence(frame.index), (found.confidence * 255).round().to(torch.uint8).numpy())
            written.append(frame.index)
        observer.advanced()
    return load_geometry(folder, tuple(written))


def frame_geometry(
    frame: Frame, alpha: np.ndarray, posed: PosedBody, motion: BodyMotion, net: HDNet
) -> Geometry | None:
    """One frame through the networks; None where its matte is empty."""
    device = next(net.parameters()).device
    matte, rgb = torch.from_numpy(alpha).to(device), torch.from_numpy(frame.rgb).to(device)
    prepared = prepare_input(rgb, matte, posed, motion.camera, net.size)
    if prepared is None:
        return None
    given, crop = prepared
    said, inside = net.infer(given), person_mask(given)[0]
    found = paste_back(said.depth[0], said.normals[0], said.confidence[0], inside, crop, posed, matte)
    return Geometry(found.depth_m.cpu(), found.normals.cpu(), found.confidence.cpu())


def posed_body(motion: BodyMotion, index: int, body: BodyModel, rest: RestBody) -> PosedBody:
    """The fitted body in one frame, as the networks are given it."""
    transforms = torch.from_numpy(motion.cam_from_rest[index : index + 1]).to(rest.vertices)
    return PosedBody(
        vertices_cam=body.skin(rest.vertices, transforms)[0],
        rest_vertices=rest.vertices,
        faces=body.faces,
        root_depth_m=float(motion.bone_poses[index, 0, 2, 3]),
        height_m=motion.height_m,
    )


def load_geometry(folder: RunFolder, indices: tuple[int, ...]) -> GeometrySequence:
    """The depth, normals and, where the networks made them, confidence that a run folder holds."""
    sure = bool(indices) and all(folder.confidence(index).is_file() for index in indices)
    return GeometrySequence(
        confidence=ImageSequence(indices, lambda index: read_mask(folder.confidence(index)) / np.float32(255))
        if sure
        else None,
        depth=ImageSequence(indices, lambda index: read_depth(folder.depth(index))),
        normals=ImageSequence(indices, lambda index: read_normals(folder.normals(index))),
    )
