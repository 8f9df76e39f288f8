"""The way back from network space on the processor: what `paste_back` does to each pixel, in one compiled loop."""

from __future__ import annotations

import numpy as np
from dancedepth.models.kernels import compiled
from jaxtyping import Bool, Float, UInt8

CHANNELS = 5
"""Depth, normal and confidence."""
ZERO, HALF = np.float32(0), np.float32(0.5)


@compiled
def paste(
    values: Float[np.ndarray, "5 h w"],
    sides: Float[np.ndarray, "10 h w"],
    step: Bool[np.ndarray, "h w"],
    alpha: UInt8[np.ndarray, "y x"],
    corner: tuple[int, int],
    size: tuple[int, int],
    opaque: float,
    metres: tuple[np.float32, np.float32, np.float32],
    depth_m: Float[np.ndarray, "y x"],
    normals: Float[np.ndarray, "y x 3"],
    confidence: Float[np.ndarray, "y x"],
) -> None:
    """Write the person's pixels of a window of the image.

    Args:
        values: the maps; beside steps one or the other of the `sides`' two sets of maps.
        alpha: of the window; from `opaque` on a pixel is the person's.
        corner: row and column of the window in the crop, whose height and width are `size`.
        metres: a unit of depth, the depth that it counts from, and the least depth.
        depth_m, normals, confidence: where to write.
    """
    height, width = step.shape
    found, nearer, farther = np.empty((3, CHANNELS), np.float32)
    for y in range(alpha.shape[0]):
        row = y + corner[0]
        at_y = min(max(np.float32(row + 0.5) * np.float32(height / size[0]) - HALF, ZERO), np.float32(height - 1))
        for x in range(alpha.shape[1]):
            if alpha[y, x] < opaque:
                continue
            column = x + corner[1]
            at_x = min(max(np.float32(column + 0.5) * np.float32(width / size[1]) - HALF, ZERO), np.float32(width - 1))
            _read(values, 0, at_y, at_x, found)
            if step[row * height // size[0], column * width // size[1]]:
                _read(sides, 0, at_y, at_x, nearer)
                _read(sides, CHANNELS, at_y, at_x, farther)
                crossed = found[0] > (nearer[0] + farther[0]) * HALF
                found[:] = farther if crossed else nearer
            depth_m[y, x] = max(found[0] * metres[0] + metres[1], metres[2])
            length = np.sqrt(found[1] * found[1] + found[2] * found[2] + found[3] * found[3])
            for k in range(3):
                normals[y, x, k] = found[1 + k] / length
            confidence[y, x] = found[4]


@compiled
def _read(
    maps: Float[np.ndarray, "c h w"], first: int, y: np.float32, x: np.float32, found: Float[np.ndarray, "5"]
) -> None:
    """Five maps at a place between pixels, bilinearly."""
    top, left = int(y), int(x)
    bottom, right = min(top + 1, maps.shape[1] - 1), min(left + 1, maps.shape[2] - 1)
    down, across = y - np.float32(top), x - np.float32(left)
    for k in range(CHANNELS):
        one = maps[first + k]
        upper = one[top, left] + across * (one[top, right] - one[top, left])
        lower = one[bottom, left] + across * (one[bottom, right] - one[bottom, left])
        found[k] = upper + down * (lower - upper)
