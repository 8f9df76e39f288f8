"""One frame of a run held against the truth, pixel by pixel and body point by body point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.geometry import Camera, pixel_rays, project
from dancedepth.models.metrics import mask_iou
from dancedepth.pipeline import storage
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.surface_distance import SkinnedSurface
from dancedepth.pipeline.truth import Truth
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import Bool, Float

PIXELS_PER_FRAME = 8192
"""Drawn for depth, and for normals, in each frame, so that memory does not grow with the image."""
VISIBLE_WITHIN_M = 0.01
"""A body point is seen where the true depth map lies this near to it."""
HEAD_REACH_M = 0.17
"""Pixels whose true points lie this near to the head's joint are the head's: from the chin to the hair."""
MATTE_THRESHOLD = 127
"""Pixels with more alpha than this, of 255, are the person."""


@dataclass(frozen=True)
class PixelComparison:
    """Depths and normals at pixels drawn from those that have both, depths at the body points, and shares."""

    run_depth_m: Float[np.ndarray, "n"]
    truth_depth_m: Float[np.ndarray, "n"]
    run_normals: Float[np.ndarray, "m 3"]
    truth_normals: Float[np.ndarray, "m 3"]
    on_head: Bool[np.ndarray, "m"]
    """Which of these are of the true head, or of what lies before it."""
    run_points_m: Float[np.ndarray, "p"]
    """The run's depth at each body point's pixel; NaN where there is none or the point is not seen."""
    truth_points_m: Float[np.ndarray, "p"]
    coverage: float
    """Share of the true person's pixels in which the run has depth."""
    mask_iou: float


def compare_pixels(
    folder: RunFolder, truth: Truth, points: SkinnedSurface, index: int, truth_index: int, seed: int
) -> PixelComparison:
    """Hold frame `index` of a run against frame `truth_index` of the truth.

    Args:
        points: the true surface; its samples are the body points.
        seed: of the drawn pixels.
    """
    random = np.random.default_rng((seed, index))
    depth, true_depth = storage.read_depth(folder.depth(index)), storage.read_depth(truth.folder.depth(truth_index))
    normals = storage.read_normals(folder.normals(index))
    true_normals = storage.read_normals(truth.folder.normals(truth_index))
    mask = storage.read_mask(folder.mask(index)) > MATTE_THRESHOLD
    true_mask = storage.read_mask(truth.folder.mask(truth_index)) > MATTE_THRESHOLD
    both_depth = _drawn(np.logical_and(depth > 0, true_depth > 0), random)
    both_normals = _drawn(np.logical_and(normals.any(axis=-1), true_normals.any(axis=-1)), random)
    rays = pixel_rays(truth.motion.camera).numpy().reshape(-1, 3)[both_normals]
    points_seen = rays * true_depth.reshape(-1)[both_normals, None]
    points_cam = points.at_samples(points.pose(truth.motion.cam_from_rest[truth_index]))
    run_points, truth_points = _at_points(points_cam, truth.motion.camera, depth, true_depth)
    return PixelComparison(
        run_depth_m=depth.reshape(-1)[both_depth],
        truth_depth_m=true_depth.reshape(-1)[both_depth],
        run_normals=normals.reshape(-1, 3)[both_normals],
        truth_normals=true_normals.reshape(-1, 3)[both_normals],
        on_head=np.linalg.norm(points_seen - _head(truth.motion, truth_index), axis=-1) < HEAD_REACH_M,
        run_points_m=run_points,
        truth_points_m=truth_points,
        coverage=float((depth > 0)[true_depth > 0].mean()) if true_depth.any() else 1.0,
        mask_iou=mask_iou(mask, true_mask),
    )


def _head(motion: BodyMotion, index: int) -> Float[np.ndarray, "3"]:
    """Where the head's joint is, in the camera's frame."""
    joint: np.ndarray = motion.bone_poses[index, motion.bone_names.index("head"), :3, 3]
    return joint


def _drawn(where: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Flat indices of at most `PIXELS_PER_FRAME` of the pixels."""
    flat = np.flatnonzero(where)
    return flat if len(flat) <= PIXELS_PER_FRAME else random.choice(flat, PIXELS_PER_FRAME, replace=False)


def _at_points(
    points_cam: Float[np.ndarray, "p 3"], camera: Camera, depth: np.ndarray, true_depth: np.ndarray
) -> tuple[Float[np.ndarray, "p"], Float[np.ndarray, "p"]]:
    """Both depths at the pixels that hold the points' projections; NaN where a point is not seen."""
    pixels = np.floor(project(torch.from_numpy(points_cam), camera).numpy()).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(axis=-1)
    x, y = np.where(inside[:, None], pixels, 0).T
    true_z, run_z = true_depth[y, x], depth[y, x]
    seen = inside & (run_z > 0) & (true_z > 0) & (np.abs(true_z - points_cam[:, 2]) < VISIBLE_WITHIN_M)
    return np.where(seen, run_z, np.nan), np.where(seen, true_z, np.nan)
