"""Colours of a surface's vertices that several keyframes agree on: exposure balanced, and outvoted where one errs."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.surface import vertex_normals
from jaxtyping import Float, Int, UInt8

GRAZING_COS = 0.2
"""Surface seen more obliquely than this counts nothing."""
OFF_M = 0.015
"""Vertices count a third where they lie this far from the frame's depth."""
EDGE_M = (0.004, 0.014)
"""Weights rise between these distances from outlines and steps in depth; nearer, the background shines through."""
STEP_MM = 25
BLUR_M = 0.004
"""Colours are averaged over about as much surface as belongs to a vertex."""
AGREE = 0.12
"""Colours this far from what most frames say count a third."""
GAIN_RANGE = (0.7, 1.4)
GAIN_WEIGHT = 0.3
"""Vertices that a frame sees at least this well tell its exposure."""
DARKEST = 0.04
"""Ratios of colours darker than this say nothing."""
ROUNDS = 2


@dataclass(frozen=True)
class VertexLooks:
    """What `k` keyframes see of `v` vertices."""

    weight: Float[np.ndarray, "k v"]
    """0-1."""
    color: Float[np.ndarray, "k v 3"]
    """0-1, averaged over a vertex's surroundings, exposure balanced."""
    gain: Float[np.ndarray, "k 3"]
    """Factors that balanced the frames' exposure."""


@dataclass(frozen=True)
class Consensus:
    """Colours that the looks agree on."""

    color: Float[np.ndarray, "v 3"]
    weight: Float[np.ndarray, "v"]
    """Of all looks together, without those that were outvoted."""


def vertex_look(
    frame: Keyframe, posed: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "v"], Float[np.ndarray, "v 3"]]:
    """How well one frame sees each vertex, and in which colour; `posed` is in its camera."""
    camera = frame.camera
    normals = vertex_normals(posed, faces)
    facing = -np.einsum("vd,vd->v", normals, posed) / np.linalg.norm(posed, axis=1)
    weight = np.clip((facing - GRAZING_COS) / (1 - GRAZING_COS), 0, 1) ** 2
    x, y = pixels_of(posed, camera).T
    weight *= (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
    column, row = _pixel(posed, camera)
    weight *= np.exp(-((behind_m(frame, posed) / OFF_M) ** 2))
    pixel_m = float(np.median(posed[:, 2])) / camera.focal_px
    weight *= _edge_weight(frame, pixel_m)[row, column]
    return weight.astype(np.float32), _smooth_color(frame, BLUR_M / pixel_m)[row, column]


def behind_m(frame: Keyframe, posed: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v"]:
    """How far points in a frame's camera lie behind its depth there; of those outside the picture, at its border."""
    column, row = _pixel(posed, frame.camera)
    behind: np.ndarray = posed[:, 2] - frame.depth_mm[row, column] / np.float32(1000)
    return behind


def _pixel(posed: Float[np.ndarray, "v 3"], camera: Camera) -> tuple[Int[np.ndarray, "v"], Int[np.ndarray, "v"]]:
    """Column and row."""
    x, y = pixels_of(posed, camera).T
    return x.astype(np.int64).clip(0, camera.width - 1), y.astype(np.int64).clip(0, camera.height - 1)


def pixels_of(points_cam: Float[np.ndarray, "v 3"], camera: Camera) -> Float[np.ndarray, "v 2"]:
    """Where camera-space points fall in the image."""
    scale = camera.focal_px / np.maximum(points_cam[:, 2:], 1e-3)
    return points_cam[:, :2] * scale + np.array([camera.cx, camera.cy], np.float32)


def _edge_weight(frame: Keyframe, pixel_m: float) -> Float[np.ndarray, "h w"]:
    """0 at the dancer's outline and at steps in depth, 1 well inside."""
    some = (frame.depth_mm > 0) & (frame.alpha > 127)
    kernel = np.ones((3, 3), np.uint8)
    highest = cv2.dilate(frame.depth_mm, kernel)
    lowest = cv2.erode(np.where(some, frame.depth_mm, 65535).astype(np.uint16), kernel)
    inside = some & (highest - np.minimum(lowest, highest) < STEP_MM)
    distance = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    near, far = EDGE_M
    return np.clip((distance * pixel_m - near) / (far - near), 0, 1)


def _smooth_color(frame: Keyframe, sigma_px: float) -> Float[np.ndarray, "h w 3"]:
    """The picture blurred within the matte."""
    sigma = max(sigma_px, 0.5)
    share = (frame.alpha / np.float32(255))[..., None]
    blurred = cv2.GaussianBlur(frame.rgb / np.float32(255) * share, (0, 0), sigma)
    mass = cv2.GaussianBlur(share, (0, 0), sigma)
    result: np.ndarray = blurred / np.maximum(mass, 1e-3)[..., None]
    return result


def balanced(
    weight: Float[np.ndarray, "k v"], color: Float[np.ndarray, "k v 3"], reference: Float[np.ndarray, "v 3"]
) -> VertexLooks:
    """The looks with one factor a frame and channel, so that vertices look alike in all; their mean stays as it is.

    Args:
        reference: colours to start from, of any exposure, such as the mean over all frames.
    """
    gain = np.ones((len(color), 3), np.float32)
    for _ in range(ROUNDS):
        for k in range(len(color)):
            sure = (weight[k] > GAIN_WEIGHT) & (reference.min(axis=1) > DARKEST) & (color[k].min(axis=1) > DARKEST)
            if sure.sum() > 50:
                gain[k] = np.clip(np.median(reference[sure] / color[k, sure], axis=0), *GAIN_RANGE)
        gain /= np.exp(np.log(gain).mean(axis=0))
        looks = VertexLooks(weight, color * gain[:, None], gain)
        reference = np.where(weight.sum(axis=0)[:, None] > 0, consensus(looks).color, reference)
    return looks


def consensus(looks: VertexLooks) -> Consensus:
    """Weighted mean of the looks near their weighted median, vertex by vertex."""
    order = looks.color.argsort(axis=0)
    mass = np.take_along_axis(np.broadcast_to(looks.weight[..., None], looks.color.shape), order, axis=0)
    passed = mass.cumsum(axis=0) >= 0.5 * mass.sum(axis=0)
    middle = np.take_along_axis(order, passed.argmax(axis=0)[None], axis=0)
    median = np.take_along_axis(looks.color, middle, axis=0)[0]
    weight = looks.weight * agreement(looks, median)
    total = weight.sum(axis=0)
    color = np.einsum("kv,kvd->vd", weight, looks.color) / np.maximum(total, 1e-9)[:, None]
    return Consensus(color.astype(np.float32), total)


def agreement(looks: VertexLooks, agreed: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "k v"]:
    """1 where a look shows the agreed colour, falling towards 0 where it shows something else."""
    result: np.ndarray = np.exp(-((np.linalg.norm(looks.color - agreed, axis=-1) / AGREE) ** 2))
    return result


def as_bytes(color: Float[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """0-1 to 0-255."""
    return np.rint(color.clip(0, 1) * 255).astype(np.uint8)


def risen(values: Float[np.ndarray, "*n"], between: tuple[float, float]) -> Float[np.ndarray, "*n"]:
    """From 0 to 1 between two values."""
    return np.clip((values - between[0]) / (between[1] - between[0]), 0, 1)
