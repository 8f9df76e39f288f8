"""What a matte tells a body fit: how far outside the person a pixel lies, and where the person's outline runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch import Tensor

GRID = 112
"""Cells along each side of the window around the dancer."""
OUTLINE_POINTS = 96
"""Outline points kept for each frame."""
WINDOW_MARGIN = 0.2
"""The window reaches this share of the box's longer side beyond the box."""
OPAQUE = 128
"""Alpha from which a pixel counts as the person's."""


@dataclass(frozen=True)
class Silhouette:
    """One frame's matte: a square window of the image, `origin_px` its corner, `cell_px` the side of a cell."""

    outside_px: Float[np.ndarray, "g g"]
    outline_px: Float[np.ndarray, "o 2"]
    origin_px: Float[np.ndarray, "2"]
    cell_px: float


@dataclass(frozen=True)
class Silhouettes:
    """A clip's mattes, stacked; frames without one have `seen` false."""

    seen: Bool[Tensor, "n"]
    outside_px: Float[Tensor, "n 1 g g"]
    outline_px: Float[Tensor, "n o 2"]
    origin_px: Float[Tensor, "n 2"]
    cell_px: Float[Tensor, "n"]

    def outside(self, pixels: Float[Tensor, "n s 2"]) -> Float[Tensor, "n s"]:
        """How many pixels outside the person a position lies; 0 inside, and where the image ends."""
        in_window = (pixels - self.origin_px[:, None]) / (self.cell_px[:, None, None] * GRID) * 2 - 1
        grid = in_window[:, None].to(self.outside_px.dtype)
        sampled = torch.nn.functional.grid_sample(self.outside_px, grid, padding_mode="border", align_corners=False)
        return sampled[:, 0, 0]


def silhouette(alpha: UInt8[np.ndarray, "h w"], box_px: Float[np.ndarray, "4"]) -> Silhouette | None:
    """The silhouette of a matte around a box; None where the matte is empty."""
    height, width = alpha.shape
    centre, side = (box_px[:2] + box_px[2:]) / 2, float((box_px[2:] - box_px[:2]).max()) * (1 + 2 * WINDOW_MARGIN)
    cell, origin = side / GRID, centre - side / 2
    x = np.floor(origin[0] + (np.arange(GRID) + 0.5) * cell).astype(int)
    y = np.floor(origin[1] + (np.arange(GRID) + 0.5) * cell).astype(int)
    on_x, on_y = (x >= 0) & (x < width), (y >= 0) & (y < height)
    in_image = on_y[:, None] & on_x[None, :]
    inside = np.zeros((GRID, GRID), bool)
    inside[in_image] = (alpha[y[on_y][:, None], x[on_x][None, :]] >= OPAQUE).ravel()
    if inside.sum() < OUTLINE_POINTS:
        return None
    outside = ndimage.distance_transform_edt(~inside) * cell
    outside[~in_image] = 0
    beside_image_edge = ndimage.binary_dilation(~in_image, iterations=2)
    rows, columns = np.nonzero(inside & ~ndimage.binary_erosion(inside, border_value=1) & ~beside_image_edge)
    if len(rows) == 0:
        return None
    picked = np.linspace(0, len(rows) - 1, OUTLINE_POINTS).astype(int)
    outline = origin + (np.stack((columns, rows), axis=1)[picked] + 0.5) * cell
    return Silhouette(outside.astype(np.float32), outline.astype(np.float32), origin.astype(np.float32), cell)


def stack(silhouettes: Iterable[Silhouette | None], count: int, device: torch.device | str) -> Silhouettes:
    """One batch of a clip's `count` silhouettes, taken one at a time."""
    seen = torch.zeros(count, dtype=torch.bool)
    outside, outline = torch.zeros(count, 1, GRID, GRID), torch.zeros(count, OUTLINE_POINTS, 2)
    origin, cell = torch.zeros(count, 2), torch.ones(count)
    for row, one in enumerate(silhouettes):
        if one is not None:
            seen[row], cell[row] = True, one.cell_px
            outside[row, 0], outline[row] = torch.from_numpy(one.outside_px), torch.from_numpy(one.outline_px)
            origin[row] = torch.from_numpy(one.origin_px)
    return Silhouettes(*(part.to(device) for part in (seen, outside, outline, origin, cell)))
