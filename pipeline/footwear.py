"""Shoes: feet of another colour than the face wear them, and shoes have no toes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.neighbours import nearest
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull

NEAR_M = 0.02
"""Voxels this near to the skin show it, or what is worn on it."""
SEEN = 0.02
"""Colour weight from which a voxel was seen."""
LEAST = 30
"""Voxels, with fewer of which nothing is known."""
OTHER_COLOR = 0.25
"""Of 1 in each channel: skin in the shade of the legs is darker than faces by less."""
TOES_M = 0.045
"""Toes lie below this height above the soles."""
LEVEL_M = 0.005
"""Between heights at which a foot is outlined."""


@dataclass(frozen=True)
class Shoes:
    """At each height above the soles the convex outlines of both feet: what is between toes is inside."""

    sole_z: float
    """Body axes (z up), metres."""
    outlines: tuple[tuple[Float[np.ndarray, "e 3"], ...], ...]
    """A level's lines, for each foot: unit normal outwards and offset, in the plane of x and y."""

    @classmethod
    def on(cls, field: BodyField) -> Shoes:
        """Shoes around the rest body's feet."""
        points = field.foot_skin
        sole_z = float(points[:, 2].min())
        heights = points[:, 2] - sole_z
        levels = []
        for level in range(round(TOES_M / LEVEL_M)):
            slab = points[np.abs(heights - level * LEVEL_M) < LEVEL_M, :2]
            sides = (slab[slab[:, 0] < 0], slab[slab[:, 0] > 0])
            levels.append(tuple(ConvexHull(side).equations for side in sides if len(side) > 2))
        return cls(sole_z, tuple(levels))

    def distance_m(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """How far outside the outlines of its height a point lies, negative inside; infinite above the toes."""
        height = points[:, 2] - self.sole_z
        level = np.clip(np.round(height / LEVEL_M).astype(int), 0, len(self.outlines) - 1)
        distance = np.full(len(points), np.inf)
        for number, feet in enumerate(self.outlines):
            rows = np.flatnonzero((level == number) & (height < TOES_M))
            for lines in feet if len(rows) else ():
                beside = (points[rows, :2] @ lines[:, :2].T + lines[:, 2]).max(axis=1)
                distance[rows] = np.minimum(distance[rows], np.maximum(beside, -height[rows]))
        return distance

    def over(
        self,
        points: Float[np.ndarray, "b n 3"],
        offset_m: Float[np.ndarray, "b n"],
        distances: Float[np.ndarray, "b n"],
        truncation_m: float,
    ) -> Float[np.ndarray, "b n"]:
        """Truncated distances to what is there and to shoes as far off the outlines as the surface is off the skin."""
        low = np.flatnonzero(points[..., 2].min(axis=1) < self.sole_z + TOES_M)
        worn = distances.copy()
        away_m = self.distance_m(points[low].reshape(-1, 3)).reshape(offset_m[low].shape) - offset_m[low]
        worn[low] = np.minimum(worn[low], np.clip(away_m / truncation_m, -1, 1))
        return worn


def shoes_worn(volume: CanonicalVolume, field: BodyField) -> Shoes | None:
    """Shoes, if the dancer wears any, as far as feet and face were seen; feet whose colour nobody saw are bare."""
    return Shoes.on(field) if is_dressed(volume, field, field.feet > 0.5, NEAR_M) else None


def is_dressed(volume: CanonicalVolume, field: BodyField, part: Bool[np.ndarray, "s"], near_m: float) -> bool:
    """Whether what was seen so near to some coarse samples of the skin is of another colour than the face."""
    off = _from_face(volume, field, part, near_m)
    return off is not None and off > OTHER_COLOR


def is_face_colored(volume: CanonicalVolume, field: BodyField, part: Bool[np.ndarray, "s"], near_m: float) -> bool:
    """Whether it is of the face's colour; where it or the face was not seen, neither is said."""
    off = _from_face(volume, field, part, near_m)
    return off is not None and off <= OTHER_COLOR


def _from_face(volume: CanonicalVolume, field: BodyField, part: Bool[np.ndarray, "s"], near_m: float) -> float | None:
    face, own = _color(volume, field, field.face > 0.5, NEAR_M), _color(volume, field, part, near_m)
    return None if face is None or own is None else float(np.linalg.norm(face - own))


def _color(
    volume: CanonicalVolume, field: BodyField, part: Bool[np.ndarray, "s"], near_m: float
) -> Float[np.ndarray, "3"] | None:
    """The median of what was seen near some samples of the skin."""
    middles = volume.origins[volume.slots].cpu().numpy() + volume.block_m / 2
    distance, sample = nearest(field.coarse.tree, middles)
    slots = volume.slots[np.flatnonzero((distance < near_m) & part[sample])]
    color = volume.color[slots].permute(0, 2, 1).reshape(-1, 3)
    seen = color[volume.color_weight[slots].reshape(-1) > SEEN]
    return np.median(seen.cpu().numpy(), axis=0) if len(seen) >= LEAST else None
