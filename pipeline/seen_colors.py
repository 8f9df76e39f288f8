"""What was seen in the face's colour is skin; what was not is worn."""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.neighbours import nearest
from jaxtyping import Bool, Float

FACE_NEAR_M = 0.02
"""Voxels this near to the face's skin show it."""
SEEN = 0.02
"""Colour weight from which a voxel was seen."""
LEAST = 30
"""Voxels, with fewer of which nothing is known."""
OTHER_COLOR = 0.25
"""Of 1 in each channel: skin in the shade of the legs is darker than faces by less."""


class SeenColors:
    """The colours of a volume's blocks, by the coarse sample of the rest body's skin that each is nearest to."""

    def __init__(self, volume: CanonicalVolume, field: BodyField) -> None:
        self._volume, self._slots = volume, volume.slots
        middles = volume.origins[volume.slots].cpu().numpy() + volume.block_m / 2
        self._distance_m, self._sample = nearest(field.coarse.tree, middles)
        self._face = self._usual(field.face > 0.5, FACE_NEAR_M)

    def like_face(self, part: Bool[np.ndarray, "s"], near_m: float, other_hue: float = np.inf) -> bool | None:
        """Whether what was seen so near to some of the samples is of the face's colour; None where one is unknown.

        With `other_hue`, neither are the shares of green and blue in it farther from the face's than this.
        """
        own = self._usual(part, near_m)
        if own is None or self._face is None:
            return None
        off, turned = np.linalg.norm(own - self._face), np.linalg.norm(_hue(own) - _hue(self._face))
        return bool(off <= OTHER_COLOR and turned <= other_hue)

    def _usual(self, part: Bool[np.ndarray, "s"], near_m: float) -> Float[np.ndarray, "3"] | None:
        """The median."""
        slots = self._slots[np.flatnonzero((self._distance_m < near_m) & part[self._sample])]
        color = self._volume.color[slots].permute(0, 2, 1).reshape(-1, 3)
        seen = color[self._volume.color_weight[slots].reshape(-1) > SEEN]
        return np.median(seen.cpu().numpy(), axis=0) if len(seen) >= LEAST else None


def _hue(color: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2"]:
    """Green and blue over red: the same in light and in shade."""
    hue: np.ndarray = color[1:] / max(float(color[0]), 1e-3)
    return hue
