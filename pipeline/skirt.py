"""Skirts and dresses: where cloth was seen between the legs, the rest of it hangs around both legs as one piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import Voxels
from dancedepth.pipeline.neighbours import nearest
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull

SLICE_M = 0.01
HALF_SLICE_M = 0.02
"""Each slice takes points from this far above and below, so that slices change smoothly."""
WIDE_GAP_M = 0.04
"""Legs nearer to one another than this do not tell whether there is cloth between them."""
MIDDLE_SHARE = 0.25
"""Cloth between the legs is looked for in so much of the gap, on either side of its middle."""
CLOTH_WEIGHT = 0.3
CLOTH_TSDF = 0.35
CLOTH_VOXELS = 3
"""A slice has cloth where so many voxels near a surface were seen as well as this."""
HANGING_SHARE = 0.7
"""Of the slices from the crotch to the hem, so many must have cloth."""
SHORTEST_M = 0.06
FADE_M = 0.15
"""Over the hips the cloth comes to lie on the body within this height."""
LOOSEST_M = 0.02
"""And it is counted this much farther out there, step by step."""
INWARDS = 0.015
"""Of its width, from a slice to the one below it, at most."""
OUTLINE_M = 0.01
"""Spacing of the points that tell where blocks are needed."""


@dataclass(frozen=True)
class Skirt:
    """Convex outlines of horizontal slices of the rest pose, from the hem upwards."""

    hem_z: float
    crotch_z: float
    planes: tuple[Float[np.ndarray, "e 3"], ...]
    """Of each slice's edges: outward normal (x, y) and offset."""
    outlines: tuple[Float[np.ndarray, "p 3"], ...]
    """Points along each slice's edges."""

    @property
    def shell(self) -> Float[np.ndarray, "s 3"]:
        """Points all over its surface, the hem's opening closed."""
        rim = self.outlines[0]
        middle = rim.mean(axis=0)
        count = max(2, int(np.linalg.norm(rim - middle, axis=1).max() / OUTLINE_M))
        lid = [middle + share * (rim - middle) for share in np.linspace(0, 1, count)]
        return np.concatenate((*self.outlines, *lid))

    def reaches(self, points: Float[np.ndarray, "q 3"], within_m: float) -> Bool[np.ndarray, "q"]:
        """Whether points are as high as the skirt, give or take `within_m` at the hem."""
        return (points[:, 2] > self.hem_z - within_m) & (points[:, 2] < self.crotch_z + FADE_M)

    def distance(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """Metres to the skirt, negative inside; far above it, where it ends in the body, large."""
        place = (points[:, 2] - self.hem_z) / SLICE_M
        low = np.clip(np.floor(place), 0, len(self.planes) - 2).astype(np.int64)
        share = np.clip(place - low, 0, 1)
        around = np.empty(len(points))
        for number in np.unique(low):
            rows = np.flatnonzero(low == number)
            below, above = (_outside(self.planes[number + k], points[rows, :2]) for k in (0, 1))
            around[rows] = (1 - share[rows]) * below + share[rows] * above
        over = np.clip((points[:, 2] - self.crotch_z) / FADE_M, 0, None)
        loose = np.where(over > 1, np.inf, over * LOOSEST_M)
        result: np.ndarray = np.maximum(around + loose, self.hem_z - points[:, 2])
        return result


def find_skirt(voxels: Voxels, field: BodyField, thickness_m: Float[np.ndarray, "s"]) -> Skirt | None:
    """The skirt that was seen hanging between the legs; None where there is none.

    Args:
        thickness_m: of the clothes, at the field's coarse samples.
    """
    skin = field.fine.points + field.fine.normals * field.spread(thickness_m[:, None], field.fine.points)
    crotch_z = float(field.fine.points[np.abs(field.fine.points[:, 0]) < SLICE_M, 2].min())
    cloth = _seen_cloth(voxels, field, crotch_z)
    hem_z = _hem(cloth, field.fine.points[field.lower], crotch_z)
    if hem_z is None:
        return None
    points = np.concatenate((skin[field.lower], cloth))
    heights = np.arange(hem_z, crotch_z + FADE_M + SLICE_M, SLICE_M)
    hulls = _hung(points, heights)
    outlines = [_outline(hull.points[hull.vertices], z) for hull, z in zip(hulls, heights, strict=True)]
    return Skirt(hem_z, crotch_z, tuple(hull.equations for hull in hulls), tuple(outlines))


def _hung(points: Float[np.ndarray, "p 3"], heights: Float[np.ndarray, "z"]) -> list[ConvexHull]:
    """The outline of each slice, from above; cloth falls from what is wider above it, a little inwards."""
    hulls: list[ConvexHull] = []
    for z in heights[::-1]:
        flat = points[np.abs(points[:, 2] - z) < HALF_SLICE_M, :2]
        if hulls:
            corners = hulls[-1].points[hulls[-1].vertices]
            flat = np.concatenate((flat, corners + INWARDS * (corners.mean(axis=0) - corners)))
        hulls.append(ConvexHull(flat))
    return hulls[::-1]


def _seen_cloth(voxels: Voxels, field: BodyField, crotch_z: float) -> Float[np.ndarray, "c 3"]:
    """Voxels at the surface seen that belong to hips and legs."""
    near = (voxels.weight > CLOTH_WEIGHT) & (np.abs(voxels.tsdf) < CLOTH_TSDF)
    points = voxels.points[near]
    points = points[points[:, 2] < crotch_z + FADE_M + HALF_SLICE_M]
    if not len(points):
        return points
    own: Bool[np.ndarray, "c"] = field.lower[nearest(field.fine.tree, points)[1]]
    kept: np.ndarray = points[own]
    return kept


def _hem(cloth: Float[np.ndarray, "c 3"], legs: Float[np.ndarray, "l 3"], crotch_z: float) -> float | None:
    """How far down there is cloth between the legs."""
    told = hanging = 0
    hem = None
    for z in np.arange(crotch_z - SLICE_M, legs[:, 2].min(), -SLICE_M):
        x = legs[np.abs(legs[:, 2] - z) < HALF_SLICE_M, 0]
        if not ((x > 0).any() and (x < 0).any()):
            break
        left, right = float(x[x > 0].min()), float(x[x < 0].max())
        if left - right < WIDE_GAP_M:
            continue
        middle = np.abs(cloth[:, 0] - (left + right) / 2) < MIDDLE_SHARE * (left - right)
        found = int((middle & (np.abs(cloth[:, 2] - z) < SLICE_M)).sum() >= CLOTH_VOXELS)
        told, hanging = told + 1, hanging + found
        if found and hanging >= HANGING_SHARE * told:
            hem = float(z)
    return hem if hem is not None and crotch_z - hem > SHORTEST_M else None


def _outside(planes: Float[np.ndarray, "e 3"], points: Float[np.ndarray, "q 2"]) -> Float[np.ndarray, "q"]:
    distance: np.ndarray = (points @ planes[:, :2].T + planes[:, 2]).max(axis=1)
    return distance


def _outline(corners: Float[np.ndarray, "c 2"], z: float) -> Float[np.ndarray, "p 3"]:
    """Points along a polygon."""
    ends = np.roll(corners, -1, axis=0)
    parts = []
    for start, end in zip(corners, ends, strict=True):
        count = max(1, int(np.linalg.norm(end - start) / OUTLINE_M))
        parts.append(start + np.arange(count)[:, None] / count * (end - start))
    flat = np.concatenate(parts)
    return np.column_stack((flat, np.full(len(flat), z)))
