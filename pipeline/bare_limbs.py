"""Bare arms and legs: limbs of the face's colour wear nothing, and are as thick as limbs are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.seen_colors import SeenColors
from jaxtyping import Bool, Float, Int

NEAR_M = 0.03
"""Voxels this near to a limb's skin show its colour."""
CLOTHED_M = 0.015
"""What is thicker than this on half of a limb's part is cloth, whatever its colour."""
USUAL_SHARE = 0.35
"""Of a part's thicknesses this quantile is its own: where the fit bends joints wrongly they swell, and never shrink."""
EVEN_M = 0.006
"""How far from it they may lie: muscles, and what the fitted body's limbs are too round or too flat."""


@dataclass(frozen=True)
class BareLimbs:
    """The bare parts of arms and legs."""

    bone: Int[np.ndarray, "s"]
    """The bone of the part that each of the body field's coarse samples belongs to; -1 for all that is not bare."""

    @property
    def share(self) -> Float[np.ndarray, "s"]:
        """1 at samples of a bare part, 0 elsewhere."""
        return (self.bone >= 0).astype(float)

    def evened(self, thickness_m: Float[np.ndarray, "s"]) -> Float[np.ndarray, "s"]:
        """Thickness over the skin, nearly the same all over each bare part."""
        even = thickness_m.copy()
        for one in np.unique(self.bone[self.bone >= 0]):
            part = self.bone == one
            usual = np.quantile(thickness_m[part], USUAL_SHARE)
            even[part] = np.clip(thickness_m[part], usual - EVEN_M, usual + EVEN_M)
        return even


def find_bare_limbs(colors: SeenColors, field: BodyField, thickness_m: Float[np.ndarray, "s"]) -> BareLimbs:
    """The parts of limbs, a bone each, that were seen in the face's colour and close to the skin."""
    bone = field.coarse.skin.argmax(axis=1)
    limbs: Bool[np.ndarray, "s"] = (field.limbs > 0.5) & (field.bare < 0.5)
    bare = np.full(len(bone), -1)
    for one in np.unique(bone[limbs]):
        part = limbs & (bone == one)
        if np.median(thickness_m[part]) < CLOTHED_M and colors.like_face(part, NEAR_M):
            bare[part] = one
    return BareLimbs(bare)
