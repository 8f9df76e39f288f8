"""Numbers about the surface that need no truth: how much of it was seen, how much it folds, how much depth flickers,
and how well it covers the dancer in the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from dancedepth.models.metrics import flicker_mm, sample_triangles
from dancedepth.models.raster import rasterize
from dancedepth.models.silhouettes import OPAQUE
from dancedepth.pipeline.mesh_shape import vertex_areas
from dancedepth.pipeline.neighbours import nearest
from dancedepth.pipeline.records import BodyMotion, ImageSequence, Surface
from dancedepth.pipeline.surface import pose_surface, vertex_normals, welded
from dancedepth.pipeline.surface_distance import outer_faces
from dancedepth.pipeline.vertex_colors import pixels_of
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

SEEN = 0.5
"""Of `observed`."""
FOLD_RADIUS_M = 0.03
"""Folds are what bends within this distance."""
SILHOUETTE_FRAMES = 12
SILHOUETTE_SIDE_PX = 480
"""The longer side of the pictures in which silhouettes are compared."""
FOLD_SAMPLES = 20_000
FOLD_NEIGHBOURS = 24
SAME_SHEET_COS = 0.0
"""Neighbours that face the other way belong to another side: a finger's, an arm's."""
FLICKER_PAIRS = 24
"""Pairs of successive frames that are looked at."""
FLICKER_POINTS = 4000
FACING_COS = 0.5
"""Flicker is measured where the surface faces the camera at least so much."""
OFF_M = 0.05
"""Depths farther from the surface than this show something else."""
STEP_M = 0.03
"""Nothing is measured across steps in depth larger than this."""


@dataclass(frozen=True)
class SurfaceQuality:
    """See `manifest.QualityRecord`."""

    coverage: float
    fold_detail: float
    flicker_mm: float | None
    silhouette_iou: float | None
    skirt_m: float | None


def measure_surface(
    surface: Surface,
    motion: BodyMotion,
    mattes: ImageSequence,
    depth: ImageSequence,
    body_vertices: Float[np.ndarray, "b 3"],
    body_faces: Int[np.ndarray, "g 3"],
) -> SurfaceQuality:
    """Coverage, fold detail above the rest body's, flicker of the depth against the moving surface, and its outline's
    agreement with the mattes.
    """
    whole = welded(surface)
    area = vertex_areas(whole.vertices, whole.faces)
    return SurfaceQuality(
        coverage=float((area * (whole.observed > SEEN)).sum() / area.sum()),
        fold_detail=bending(whole.vertices, whole.faces)
        - bending(body_vertices, outer_faces(body_vertices, body_faces)),
        flicker_mm=flicker(whole, motion, depth),
        silhouette_iou=silhouette_iou(whole, motion, mattes),
        skirt_m=surface.skirt_m,
    )


def silhouette_iou(surface: Surface, motion: BodyMotion, mattes: ImageSequence) -> float | None:
    """Intersection over union of the moving surface and the matte in the picture, mean over some frames, if any.

    What of the surface lies outside the matte is too much, what of the matte outside the surface is missing.
    """
    frames = [index for index in mattes.indices if motion.fitted[index]]
    frames = frames[:: max(1, -(-len(frames) // SILHOUETTE_FRAMES))]
    camera = motion.camera
    share = min(1.0, SILHOUETTE_SIDE_PX / max(camera.width, camera.height))
    small = camera.resized(max(1, round(camera.width * share)), max(1, round(camera.height * share)))
    faces, found = torch.from_numpy(surface.faces).long(), []
    for index in frames:
        posed = torch.from_numpy(pose_surface(surface, motion.cam_from_rest[index]))
        own = (rasterize(posed, faces, small).face_index >= 0).numpy()
        matte = cv2.resize(mattes.load(index), (small.width, small.height), interpolation=cv2.INTER_AREA) >= OPAQUE
        if matte.any():
            found.append((own & matte).sum() / (own | matte).sum())
    return float(np.mean(found)) if found else None


def bending(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> float:
    """Mean squared length, over the surface, of the difference between its normals and their mean around them.

    The mean is over the nearest of evenly spread samples within `FOLD_RADIUS_M` that lie on the same side; 0 for a
    plane.
    """
    face, weights = sample_triangles(vertices, faces, FOLD_SAMPLES, 0)
    points = np.einsum("nk,nkd->nd", weights, vertices[faces[face]])
    normals = np.einsum("nk,nkd->nd", weights, vertex_normals(vertices, faces)[faces[face]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    distance, index = nearest(cKDTree(points), points, FOLD_NEIGHBOURS)
    around = normals[index]
    alike = (np.einsum("nd,nkd->nk", normals, around) > SAME_SHEET_COS) & (distance < FOLD_RADIUS_M)
    mean = np.einsum("nk,nkd->nd", alike / alike.sum(axis=1, keepdims=True), around)
    return float(((normals - mean) ** 2).sum(axis=1).mean())


def flicker(surface: Surface, motion: BodyMotion, depth: ImageSequence) -> float | None:
    """Mean change, from frame to frame, of how far the depth lies from the moving surface, in mm; None: nothing seen.

    A depth that follows the body exactly does not flicker, however the body moves.
    """
    pairs = [i for i in depth.indices if i + 1 in set(depth.indices)]
    pairs = pairs[:: max(1, -(-len(pairs) // FLICKER_PAIRS))]
    rows = np.random.default_rng(0).permutation(len(surface.vertices))[:FLICKER_POINTS]
    changes = []
    for first in pairs:
        offs = [_offsets(surface, rows, motion, depth, index) for index in (first, first + 1)]
        changes.append(flicker_mm(np.stack(offs)))
    known = [change for change in changes if change is not None]
    return float(np.mean(known)) if known else None


def _offsets(
    surface: Surface, rows: Int[np.ndarray, "n"], motion: BodyMotion, depth: ImageSequence, index: int
) -> Float[np.ndarray, "n"]:
    """How far the frame's depth lies behind the surface's points, metres; NaN where they are not seen."""
    posed = pose_surface(surface, motion.cam_from_rest[index])
    normals = vertex_normals(posed, surface.faces)[rows]
    points = posed[rows]
    facing = -np.einsum("nd,nd->n", normals, points) / np.linalg.norm(points, axis=1) > FACING_COS
    looked_up = _bilinear(depth.load(index), pixels_of(points, motion.camera))
    off = looked_up - points[:, 2]
    return np.where(facing & (np.abs(off) < OFF_M), off, np.nan)


def _bilinear(depth_m: Float[np.ndarray, "h w"], at_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    """Depth between the four pixels around image positions; NaN outside, beside the dancer and at steps."""
    height, width = depth_m.shape
    base = np.floor(at_px - 0.5).astype(np.int64)
    inside = (base >= 0).all(axis=1) & (base[:, 0] < width - 1) & (base[:, 1] < height - 1)
    x, y = np.where(inside[:, None], base, 0).T
    u, v = (at_px - 0.5 - base).T
    corners = np.stack((depth_m[y, x], depth_m[y, x + 1], depth_m[y + 1, x], depth_m[y + 1, x + 1]))
    clear = inside & (corners > 0).all(axis=0) & (np.ptp(corners, axis=0) < STEP_M)
    mixed = corners * np.stack(((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v))
    return np.where(clear, mixed.sum(axis=0), np.nan)
