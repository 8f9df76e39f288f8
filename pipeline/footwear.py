"""Whether the dancer wears shoes: feet of another colour than the face."""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.neighbours import nearest
from jaxtyping import Float

NEAR_M = 0.02
"""Voxels this near to the skin show it, or what is worn on it."""
SEEN = 0.02
"""Colour weight from which a voxel was seen."""
LEAST = 30
"""Voxels, with fewer of which nothing is known."""
OTHER_COLOR = 0.25
"""Of 1 in each channel: skin in the shade of the legs is darker than faces by less."""


def wears_shoes(volume: CanonicalVolume, field: BodyField) -> bool:
    """Whether it does, as far as both were seen; feet whose colour nobody saw are bare."""
    face, feet = (_color(volume, field, part > 0.5) for part in (field.face, field.feet))
    return face is not None and feet is not None and bool(np.linalg.norm(face - feet) > OTHER_COLOR)


def _color(volume: CanonicalVolume, field: BodyField, part: Float[np.ndarray, "s"]) -> Float[np.ndarray, "3"] | None:
    """The median of what was seen near some samples of the skin."""
    middles = volume.origins[volume.slots].cpu().numpy() + volume.block_m / 2
    distance, sample = nearest(field.coarse.tree, middles)
    slots = volume.slots[np.flatnonzero((distance < NEAR_M) & part[sample])]
    color = volume.color[slots].permute(0, 2, 1).reshape(-1, 3)
    seen = color[volume.color_weight[slots].reshape(-1) > SEEN]
    return np.median(seen.cpu().numpy(), axis=0) if len(seen) >= LEAST else None
