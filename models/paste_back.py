"""From network space back to the image: metric depth, unit normals and confidence at full size, sharp at every edge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.inputs import OPAQUE, Crop, PosedBody, extend_outwards
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, normalize, pad, unfold

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
    grown = _enlarge(values, crop)
    height, width = alpha.shape
    maps = values.new_zeros(5, height, width)
    top, left = max(crop.top, 0), max(crop.left, 0)
    bottom, right = min(crop.top + crop.height, height), min(crop.left + crop.width, width)
    part = grown[0, :, top - crop.top : bottom - crop.top, left - crop.left : right - crop.left]
    maps[:, top:bottom, left:right] = part
    person = torch.zeros_like(alpha, dtype=torch.bool)
    person[top:bottom, left:right] = alpha[top:bottom, left:right] >= OPAQUE * 255
    depth_m = (maps[0] * body.height_m + body.root_depth_m).clamp_min(0.05)
    return Geometry(
        depth_m * person, normalize(maps[1:4], dim=0).permute(1, 2, 0) * person[..., None], maps[4] * person
    )


def _enlarge(values: Float[Tensor, "1 c h w"], crop: Crop) -> Float[Tensor, "1 c n m"]:
    """Bilinear on smooth surface; at depth steps one of the two sides, never a mean of both, which would float between.

    Each pixel near a step knows the means of the nearer and of the farther ones around it; the step itself runs where
    the bilinear depth crosses their middle, which is a smooth line and not the network's pixels' stairs.
    """
    size = (crop.height, crop.width)
    around = _neighbourhoods(values)
    depths = around[:, 0]
    middle = (depths.amax(dim=1, keepdim=True) + depths.amin(dim=1, keepdim=True)) / 2
    step = depths.amax(dim=1, keepdim=True) - depths.amin(dim=1, keepdim=True) > STEP
    large = interpolate(values, size=size, mode="bilinear", align_corners=False)
    rows, columns = torch.nonzero(interpolate(step.to(values), size=size, mode="nearest-exact")[0, 0], as_tuple=True)
    sides = torch.cat([_mean_of(around, side) for side in (depths <= middle, depths > middle)], dim=1)
    nearer, farther = _read(sides, rows, columns, size).split(values.shape[1])
    crossed = large[0, 0, rows, columns] > (nearer[0] + farther[0]) / 2
    large[0, :, rows, columns] = torch.where(crossed, farther, nearer)
    return large


def _neighbourhoods(values: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c 9 h w"]:
    """Every pixel's 3 x 3 neighbourhood."""
    _, channels, height, width = values.shape
    return unfold(pad(values, (1, 1, 1, 1), mode="replicate"), 3).view(1, channels, 9, height, width)


def _mean_of(around: Float[Tensor, "1 c 9 h w"], chosen: Bool[Tensor, "1 9 h w"]) -> Float[Tensor, "1 c h w"]:
    """Mean of the chosen neighbours; of all where none is."""
    weight = torch.where(chosen.any(dim=1, keepdim=True), chosen, True).to(around)[:, None]
    return (around * weight).sum(dim=2) / weight.sum(dim=2)


def _read(
    values: Float[Tensor, "1 c h w"], rows: Int[Tensor, "p"], columns: Int[Tensor, "p"], size: tuple[int, int]
) -> Float[Tensor, "c p"]:
    """Some pixels of the values enlarged bilinearly to a height and width."""
    at = torch.stack(((2 * columns + 1) / size[1] - 1, (2 * rows + 1) / size[0] - 1), dim=-1).to(values)
    return grid_sample(values, at[None, None], padding_mode="border", align_corners=False)[0, :, 0]
