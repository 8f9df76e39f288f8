"""Cloth spans what skin folds: unseen, the trunk lies within the convex outline of each of its heights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.seen_colors import SeenColors
from jaxtyping import Float
from scipy.spatial import ConvexHull

LEVEL_M = 0.02
"""Between heights at which the trunk is outlined."""
MIDDLE_M = 0.01
"""Skin this near to the middle plane ends below at the crotch."""
RISE_M = 0.08
"""Over so much the outline takes over, above the crotch and below the armpits."""
SLOPE = 0.5
"""How fast it does so: there it starts this much of that inside its place, which is deeper than any fold."""

NEAR_M, HIPS_M = 0.06, 0.2
"""Voxels this near to skin that lies no higher than this above the crotch show what is worn around the hips."""


@dataclass(frozen=True)
class Trunk:
    """Convex outlines of the rest body's trunk, from the crotch up to the armpits."""

    bottom_z: float
    """Of the lowest level. Body axes (z up), metres."""
    outlines: tuple[Float[np.ndarray, "e 3"], ...]
    """A level's lines: unit normal outwards and offset, in the plane of x and y."""

    @classmethod
    def of(cls, field: BodyField) -> Trunk:
        """The trunk of the rest body."""
        points = field.trunk_skin
        bottom_z = float(points[np.abs(points[:, 0]) < MIDDLE_M, 2].min())
        heights = np.arange(bottom_z, field.armpit_z, LEVEL_M)
        slabs = (points[np.abs(points[:, 2] - z) < LEVEL_M, :2] for z in heights)
        return cls(bottom_z, tuple(ConvexHull(slab).equations for slab in slabs))

    def distance_m(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """How far outside the outline of its height a point lies, negative inside; more near and beyond the ends."""
        level = (points[:, 2] - self.bottom_z) / LEVEL_M
        last = len(self.outlines) - 1
        within = np.clip(level, 0, last)
        lower, distance = np.minimum(within.astype(int), last - 1), np.empty(len(points))
        for number in range(last):
            rows = np.flatnonzero(lower == number)
            share = within[rows] - number
            below, above = (_beyond(points[rows, :2], lines) for lines in self.outlines[number : number + 2])
            distance[rows] = below * (1 - share) + above * share
        from_end = np.minimum(level, last - level) * LEVEL_M
        result: np.ndarray = distance + SLOPE * np.clip(RISE_M - from_end, 0, None)
        return result


def trunk_dressed(colors: SeenColors, field: BodyField) -> Trunk | None:
    """The trunk, if what was seen around the hips is of another colour than the face; else it is taken to be bare."""
    trunk = Trunk.of(field)
    height = field.coarse.points[:, 2] - trunk.bottom_z
    hips = (height > 0) & (height < HIPS_M) & (field.hands < 0.5)
    return trunk if colors.like_face(hips, NEAR_M) is False else None


def _beyond(places: Float[np.ndarray, "q 2"], lines: Float[np.ndarray, "e 3"]) -> Float[np.ndarray, "q"]:
    """How far outside a convex outline; beside its corners somewhat less."""
    beyond: np.ndarray = (places @ lines[:, :2].T + lines[:, 2]).max(axis=1)
    return beyond
