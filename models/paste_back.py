"""From network space back to the image: metric depth, unit normals and confidence at full size, sharp at every edge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.geometry import lengths
from dancedepth.models.inputs import OPAQUE, Crop, PosedBody, extend_outwards
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d, pad

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
    rows, columns = _person_pixels(alpha, crop)
    found = _enlarged(values, rows - crop.top, columns - crop.left, crop)
    depth_m = torch.zeros(alpha.shape, device=alpha.device)
    depth_m[rows, columns] = (found[0] * body.height_m + body.root_depth_m).clamp_min(0.05)
    turned = torch.zeros((*alpha.shape, 3), device=alpha.device)
    turned[rows, columns] = (found[1:4] / lengths(found[1:4], dim=0)).T
    sure = torch.zeros(alpha.shape, device=alpha.device)
    sure[rows, columns] = found[4]
    return Geometry(depth_m, turned, sure)


def _person_pixels(alpha: UInt8[Tensor, "n m"], crop: Crop) -> tuple[Int[Tensor, "p"], Int[Tensor, "p"]]:
    """Rows and columns of the person's pixels inside the crop."""
    height, width = alpha.shape
    top, left = max(crop.top, 0), max(crop.left, 0)
    window = alpha[top : min(crop.top + crop.height, height), left : min(crop.left + crop.width, width)]
    rows, columns = torch.nonzero(window >= OPAQUE * 255, as_tuple=True)
    return rows + top, columns + left


def _enlarged(
    values: Float[Tensor, "1 c h w"], rows: Int[Tensor, "p"], columns: Int[Tensor, "p"], crop: Crop
) -> Float[Tensor, "c p"]:
    """Some pixels of the enlarged maps: bilinear, but at depth steps one side or the other, never a mean that floats.

    Each pixel near a step knows the means of the nearer and of the farther ones around it; the step itself runs where
    the bilinear depth crosses their middle, which is a smooth line and not the network's pixels' stairs.
    """
    farthest, nearest = max_pool2d(values[:, :1], 3, 1, 1), -max_pool2d(-values[:, :1], 3, 1, 1)
    step = (farthest - nearest > STEP)[0, 0]
    found = _read(values, rows, columns, crop)
    beside = step[rows * step.shape[0] // crop.height, columns * step.shape[1] // crop.width]
    sides = _sides(values, (farthest + nearest)[0, 0] / 2, step)
    nearer, farther = _read(sides, rows[beside], columns[beside], crop).split(values.shape[1])
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
