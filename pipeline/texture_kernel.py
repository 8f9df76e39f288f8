"""What a texel has of its triangle's corners, texel after texel in one compiled loop."""

from __future__ import annotations

import numpy as np
from dancedepth.models.kernels import compiled
from jaxtyping import Float, Int


@compiled
def mix_corners(
    values: Float[np.ndarray, "v c"],
    corners: Int[np.ndarray, "n 3"],
    shares: Float[np.ndarray, "n 3"],
    mixed: Float[np.ndarray, "n c"],
) -> None:
    """Values of vertices, in the shares of a triangle's three corners; written to `mixed`."""
    for row in range(len(corners)):
        a, b, c = corners[row]
        at_a, at_b, at_c = shares[row]
        for column in range(values.shape[1]):
            mixed[row, column] = at_a * values[a, column] + at_b * values[b, column] + at_c * values[c, column]
