"""Depth and normals of every frame: from the networks, or from the fitted body itself, the parametric baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import cv2
import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.models.body_maps import render_body
from dancedepth.models.close_up import CloseUp, close_up, look_closer
from dancedepth.models.geometry import Camera
from dancedepth.models.hdnet import HDNet, person_mask
from dancedepth.models.inputs import Crop, NetworkInput, PosedBody, prepare_input, stack_inputs
from dancedepth.models.paste_back import Geometry, paste_back
from dancedepth.models.silhouettes import OPAQUE
from dancedepth.pipeline.lookahead import side_by_side
from dancedepth.pipeline.records import BodyMotion, Frame, FrameSource, GeometrySequence, ImageSequence, Observer
from dancedepth.pipeline.storage import read_depth, read_mask, read_normals, write_depth, write_mask, write_normals
from dancedepth.pipeline.threads import one_thread_an_operation
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import Float, UInt8
from torch import Tensor

Item = TypeVar("Item")

FRAMES_A_BATCH = {"cpu": 1, "cuda": 8}
"""A processor gains nothing from more than one."""
CUDA_WORKERS = 2
"""While the device computes one batch, another is prepared or written."""


def body_depths(
    motion: BodyMotion, mattes: ImageSequence, body: BodyModel, folder: RunFolder, observer: Observer
) -> GeometrySequence:
    """Write the posed body's own depth and normals, where the matte shows the dancer."""
    rest = motion.rest(body)
    indices = [index for index in mattes.indices if motion.fitted[index]]
    observer.stage_started("depths", len(indices))

    def look(index: int) -> list[_Images]:
        return [_body_geometry(motion, index, rest, body, mattes.load(index))]

    return _written(look, indices, None, folder, observer)


def _body_geometry(
    motion: BodyMotion, index: int, rest: RestBody, body: BodyModel, alpha: UInt8[np.ndarray, "h w"]
) -> _Images:
    """Depth and normals of the body inside the matte; zeros elsewhere."""
    transforms = torch.from_numpy(motion.cam_from_rest[index : index + 1]).to(body.device)
    maps = render_body(body.skin(rest.vertices, transforms)[0], body.faces, motion.camera)
    depth, normals = np.zeros(alpha.shape, np.float32), np.zeros((*alpha.shape, 3), np.float32)
    if maps is not None:
        window = maps.window
        inside = alpha[window] >= OPAQUE
        depth[window] = maps.depth_m.cpu().numpy() * inside
        normals[window] = maps.normals.cpu().numpy() * inside[..., None]
    return _Images(index, depth, normals)


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
    rest = motion.rest(body)
    indices = {index for index in mattes.indices if motion.fitted[index]}
    device = next(net.parameters()).device
    observer.stage_started("depths", len(indices))

    def look(some: tuple[Frame, ...]) -> list[_Images]:
        return _seen(some, motion, mattes, body, rest, net)

    used = (frame for frame in frames if frame.index in indices)
    batches = _batched(used, FRAMES_A_BATCH[device.type])
    return _written(look, batches, CUDA_WORKERS if device.type == "cuda" else None, folder, observer)


@dataclass(frozen=True)
class _Prepared:
    """One frame on its way through the networks."""

    index: int
    given: NetworkInput
    crop: Crop
    posed: PosedBody
    matte: UInt8[Tensor, "h w"]
    head: CloseUp | None


def _seen(
    some: Sequence[Frame], motion: BodyMotion, mattes: ImageSequence, body: BodyModel, rest: RestBody, net: HDNet
) -> list[_Images]:
    """Frames through the networks, all at once; those whose matte is empty are left out."""
    each = (
        _prepared(frame, mattes.load(frame.index), posed_body(motion, frame.index, body, rest), motion.camera, net)
        for frame in some
    )
    prepared = [one for one in each if one is not None]
    if not prepared:
        return []
    said = net.infer(stack_inputs([one.given for one in prepared]))
    found = []
    for row, one in enumerate(prepared):
        maps = (said.depth[row], said.normals[row], said.confidence[row], person_mask(one.given)[0])
        found.append(paste_back(*maps, one.crop, one.posed, one.matte))
    _look_closer(prepared, found, net)
    return [_images(one.index, geometry) for one, geometry in zip(prepared, found, strict=True)]


def _look_closer(prepared: list[_Prepared], found: list[Geometry], net: HDNet) -> None:
    """At the heads, all at once."""
    heads = [(one.head, one, geometry) for one, geometry in zip(prepared, found, strict=True) if one.head is not None]
    if not heads:
        return
    normals = net.infer_head(stack_inputs([head.given for head, *_ in heads]))
    for row, (head, one, geometry) in enumerate(heads):
        look_closer(geometry, normals[row], head, one.posed, one.matte)


def _prepared(
    frame: Frame, alpha: UInt8[np.ndarray, "h w"], posed: PosedBody, camera: Camera, net: HDNet
) -> _Prepared | None:
    """A frame as the networks take it, on their device; None where its matte is empty."""
    device = next(net.parameters()).device
    matte, rgb = torch.tensor(alpha, device=device), torch.tensor(frame.rgb, device=device)
    found = prepare_input(rgb, matte, posed, camera, net.size)
    if found is None:
        return None
    head = close_up(rgb, matte, posed, camera, net.head_size, found[1]) if net.head_net is not None else None
    return _Prepared(frame.index, *found, posed, matte, head)


def _images(index: int, found: Geometry) -> _Images:
    confidence = cv2.convertScaleAbs(found.confidence.cpu().numpy(), alpha=255)  # torch takes sixty times as long
    return _Images(index, found.depth_m.cpu().numpy(), found.normals.cpu().numpy(), confidence)


@dataclass(frozen=True)
class _Images:
    """One frame's geometry, as it is written."""

    index: int
    depth_m: Float[np.ndarray, "h w"]
    normals: Float[np.ndarray, "h w 3"]
    confidence: UInt8[np.ndarray, "h w"] | None = None

    def write(self, folder: RunFolder) -> None:
        write_depth(folder.depth(self.index), self.depth_m, folder.images)
        write_normals(folder.normals(self.index), self.normals, folder.images)
        if self.confidence is not None:
            write_mask(folder.confidence(self.index), self.confidence, folder.images)


def _written(
    look: Callable[[Item], list[_Images]],
    items: Iterable[Item],
    workers: int | None,
    folder: RunFolder,
    observer: Observer,
) -> GeometrySequence:
    """Write what is seen in the items, many of them at once: so many, or as many as torch has threads."""

    def seen_and_written(item: Item) -> list[int]:
        images = [one for one in look(item) if one.depth_m.any()]
        for one in images:
            one.write(folder)
        return [one.index for one in images]

    written = []
    with one_thread_an_operation() as threads, side_by_side(seen_and_written, items, workers or threads) as done:
        for indices in done:
            for index in indices:
                written.append(index)
                observer.advanced()
    return load_geometry(folder, tuple(written))


def _batched(items: Iterable[Item], count: int) -> Iterator[tuple[Item, ...]]:
    """Of Python 3.12's itertools."""
    source = iter(items)
    while some := tuple(islice(source, count)):
        yield some


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
    store = folder.images
    return GeometrySequence(
        confidence=ImageSequence(indices, lambda index: read_mask(folder.confidence(index), store) / np.float32(255))
        if sure
        else None,
        depth=ImageSequence(indices, lambda index: read_depth(folder.depth(index), store=store)),
        normals=ImageSequence(indices, lambda index: read_normals(folder.normals(index), store)),
    )
