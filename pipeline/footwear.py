"""Shoes: feet of another colour than the face wear them, and shoes have no toes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.seen_colors import SeenColors
from jaxtyping import Float
from scipy.spatial import ConvexHull

NEAR_M = 0.02
"""Voxels this near to the skin show it, or what is worn on it."""
TOES_M = 0.045
"""Toes lie below this height above the soles."""
LEVEL_M = 0.005
"""Between heights at which a foot is outlined."""
OTHER_HUE = 0.1
"""From the face's (green and blue over red): bare feet came within 0.07 of it, white shoes in a pink light to 0.14."""


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


def shoes_worn(colors: SeenColors, field: BodyField) -> Shoes | None:
    """Shoes, if the dancer wears any, as far as feet and face were seen; feet whose colour nobody saw are bare."""
    return Shoes.on(field) if colors.like_face(field.feet > 0.5, NEAR_M, OTHER_HUE) is False else None
