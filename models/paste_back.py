"""From network space back to the image: metric depth, unit normals and confidence at full size, sharp at every edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.geometry import lengths
from dancedepth.models.inputs import OPAQUE, Crop, PosedBody, extend_outwards
from dancedepth.models.kernels import has_numba
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d, pad

NEAREST_M = 0.05
"""Nothing is nearer to the camera."""
STEP = 0.036
"""Depth changes across a network pixel's neighbourhood beyond this many body heights (6 cm) are edges."""


@dataclass(frozen=True)
class Geometry:
    """One frame's geometry at full image size; 0 outside the person."""

    depth_m: Float[Tensor, "h w"]
    normals: Float[Tensor, "h w 3"]
    confidence: Float[Tensor, "h w"]
    """0-1."""


def paste_back(
    depth: Float[Tensor, "1 h w"],
    normals: Float[Tensor, "3 h w"],
    confidence: Float[Tensor, "1 h w"],
    inside: Bool[Tensor, "1 h w"],
    crop: Crop,
    body: PosedBody,
    alpha: UInt8[Tensor, "n m"],
) -> Geometry:
    """Network maps in the image.

    Args:
        depth: from the body's root, in body heights.
        normals, confidence: as predicted.
        inside: network pixels that lie on the person; the others' predictions are not used.
        crop: where the maps came from.
        body: its root and height undo the normalisation.
        alpha: the matte at full size; it alone decides what is the person's.
    """
    known = inside[None].float()
    values = extend_outwards(torch.cat((depth, normals, confidence))[None].float(), known)
    farthest, nearest = max_pool2d(values[:, :1], 3, 1, 1), -max_pool2d(-values[:, :1], 3, 1, 1)
    step = (farthest - nearest > STEP)[0, 0]
    maps = _Maps(values, _sides(values, (farthest + nearest)[0, 0] / 2, step), step)
    found = Geometry(*(torch.zeros((*alpha.shape, *more), device=alpha.device) for more in ((), (3,), ())))
    paste = paste_loop if alpha.device.type == "cpu" and has_numba() else paste_tensors
    paste(maps, _window(crop, alpha), crop, body, alpha, found)
    return found


@dataclass(frozen=True)
class _Maps:
    """Network maps: bilinear looks at them, but beside depth steps at one of their sides, never a mean that floats.

    Each pixel near a step knows the means of the nearer and of the farther ones around it; the step itself runs where
    the bilinear depth crosses their middle, which is a smooth line and not the network's pixels' stairs.
    """

    values: Float[Tensor, "1 c h w"]
    """Depth, normal and confidence."""
    sides: Float[Tensor, "1 2*c h w"]
    """Beside steps: the nearer, and then the farther."""
    step: Bool[Tensor, "h w"]


def _window(crop: Crop, alpha: UInt8[Tensor, "n m"]) -> tuple[slice, slice]:
    """Rows and columns of the image that lie in the crop."""
    height, width = alpha.shape
    return (
        slice(max(crop.top, 0), max(min(crop.top + crop.height, height), 0)),
        slice(max(crop.left, 0), max(min(crop.left + crop.width, width), 0)),
    )


def paste_loop(
    maps: _Maps,
    window: tuple[slice, slice],
    crop: Crop,
    body: PosedBody,
    alpha: UInt8[Tensor, "n m"],
    found: Geometry,
) -> None:
    """Write the geometry of a window's pixels, in one compiled loop on the processor."""
    from dancedepth.models.paste_kernel import paste

    paste(
        maps.values[0].contiguous().numpy(),
        maps.sides[0].numpy(),
        maps.step.numpy(),
        alpha[window].numpy(),
        (window[0].start - crop.top, window[1].start - crop.left),
        (crop.height, crop.width),
        OPAQUE * 255,
        (np.float32(body.height_m), np.float32(body.root_depth_m), np.float32(NEAREST_M)),
        found.depth_m[window].numpy(),
        found.normals[window].numpy(),
        found.confidence[window].numpy(),
    )


def paste_tensors(
    maps: _Maps,
    window: tuple[slice, slice],
    crop: Crop,
    body: PosedBody,
    alpha: UInt8[Tensor, "n m"],
    found: Geometry,
) -> None:
    """The same on any device."""
    rows, columns = torch.nonzero(alpha[window] >= OPAQUE * 255, as_tuple=True)
    rows, columns = rows + window[0].start, columns + window[1].start
    seen = _enlarged(maps, rows - crop.top, columns - crop.left, crop)
    found.depth_m[rows, columns] = (seen[0] * body.height_m + body.root_depth_m).clamp_min(NEAREST_M)
    found.normals[rows, columns] = (seen[1:4] / lengths(seen[1:4], dim=0)).T
    found.confidence[rows, columns] = seen[4]


def _enlarged(maps: _Maps, rows: Int[Tensor, "p"], columns: Int[Tensor, "p"], crop: Crop) -> Float[Tensor, "c p"]:
    """Some pixels of the enlarged maps."""
    found, step = _read(maps.values, rows, columns, crop), maps.step
    beside = step[rows * step.shape[0] // crop.height, columns * step.shape[1] // crop.width]
    nearer, farther = _read(maps.sides, rows[beside], columns[beside], crop).split(maps.values.shape[1])
    crossed = found[0, beside] > (nearer[0] + farther[0]) / 2
    found[:, beside] = torch.where(crossed, farther, nearer)
    return found


def _sides(
    values: Float[Tensor, "1 c h w"], middle: Float[Tensor, "h w"], step: Bool[Tensor, "h w"]
) -> Float[Tensor, "1 2*c h w"]:
    """Means of the nearer and of the farther of a pixel's nine neighbours, where the bilinear look at a step reads."""
    rows, columns = torch.nonzero(max_pool2d(step[None].float(), 3, 1, 1)[0], as_tuple=True)
    padded = pad(values, (1, 1, 1, 1), mode="replicate")[0]
    around = torch.stack([padded[:, rows + y, columns + x] for y in range(3) for x in range(3)], dim=1)
    nearer = around[0] <= middle[rows, columns]
    sides = values.new_zeros((1, 2 * values.shape[1], *step.shape))
    sides[0, :, rows, columns] = torch.cat([_mean_of(around, side) for side in (nearer, ~nearer)])
    return sides


def _mean_of(around: Float[Tensor, "c 9 p"], chosen: Bool[Tensor, "9 p"]) -> Float[Tensor, "c p"]:
    """Mean of the chosen neighbours; of all where none is."""
    weight = torch.where(chosen.any(dim=0), chosen, True).to(around)
    return (around * weight).sum(dim=1) / weight.sum(dim=0)


def _read(
    values: Float[Tensor, "1 c h w"], rows: Int[Tensor, "p"], columns: Int[Tensor, "p"], crop: Crop
) -> Float[Tensor, "c p"]:
    """The maps at pixels of the crop, bilinearly."""
    at = torch.stack(((2 * columns + 1) / crop.width - 1, (2 * rows + 1) / crop.height - 1), dim=-1).to(values)
    return grid_sample(values, at[None, None], padding_mode="border", align_corners=False)[0, :, 0]
