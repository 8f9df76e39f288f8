"""Signed distances of voxels from the rest body, looked for where they are asked for, and once."""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.body_field import BodyField
from jaxtyping import Bool, Float


class SkinDistance:
    """Of the voxels of a volume's `b` blocks."""

    def __init__(self, field: BodyField, points: Float[np.ndarray, "b n 3"]) -> None:
        self._field, self._points = field, points
        self._known = np.full(points.shape[:2], np.nan, np.float32)
        self.middle: Float[np.ndarray, "b"] = field.signed_distance(points.mean(axis=1))
        """Of the blocks' middles."""

    def at(self, wanted: Bool[np.ndarray, "b n"]) -> Float[np.ndarray, "w"]:
        """Metres, negative inside."""
        fresh = wanted & np.isnan(self._known)
        self._known[fresh] = self._field.signed_distance(self._points[fresh])
        return self._known[wanted]
