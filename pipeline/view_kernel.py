"""A frame's depth made smaller, pixel after pixel in one compiled loop."""

from __future__ import annotations

import numpy as np
from dancedepth.models.kernels import compiled
from jaxtyping import Bool, Float

MOSTLY = 0.49
"""The share of a square's pixels that have depth from which the square has."""


@compiled
def reduce_depth(
    depth_m: Float[np.ndarray, "h w"],
    step: int,
    rise_m: float,
    small_m: Float[np.ndarray, "y x"],
    smooth: Bool[np.ndarray, "y x"],
) -> None:
    """The mean depth of squares where the surface is smooth, the nearest depth at steps, 0 where there is none.

    Args:
        depth_m: 0 where there is none.
        step: pixels along a square's side.
        rise_m: smooth surface rises by less within a square, and by less than twice that within the nine around it.
        small_m, smooth: where to write.
    """
    height, width = small_m.shape
    for y in range(height):
        for x in range(width):
            count, total, near, far = 0, 0.0, np.inf, 0.0
            for row in range(y * step, (y + 1) * step):
                for column in range(x * step, (x + 1) * step):
                    here = np.float64(depth_m[row, column])
                    if here > 0:
                        count += 1
                        total += here
                        near, far = min(near, here), max(far, here)
            smooth[y, x] = count == step * step and far - near < rise_m
            if smooth[y, x]:
                small_m[y, x] = total / count
            else:
                small_m[y, x] = near if count > MOSTLY * step * step else 0.0
    for y in range(height):
        for x in range(width):
            if smooth[y, x]:
                near, far = np.inf, 0.0
                for row in range(max(y - 1, 0), min(y + 2, height)):
                    for column in range(max(x - 1, 0), min(x + 2, width)):
                        here = np.float64(small_m[row, column])
                        if here > 0:
                            near = min(near, here)
                        far = max(far, here)
                smooth[y, x] = far - near < 2 * rise_m
