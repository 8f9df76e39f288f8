"""From network space back to the image: metric depth, unit normals and confidence at full size, sharp at every edge."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.inputs import OPAQUE, Crop, PosedBody, extend_outwards
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d, normalize

STEP = 0.012
"""Depth changes across a network pixel's neighbourhood beyond this many body heights (2 cm) are edges."""


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
    """Bilinear on smooth surface; nearest beside depth steps, where a mean of two sides would float between them."""
    size = (crop.height, crop.width)
    smooth = interpolate(values, size=size, mode="bilinear", align_corners=False)
    depth = values[:, :1]
    spread = max_pool2d(depth, 3, 1, 1) + max_pool2d(-depth, 3, 1, 1)
    edge = interpolate((spread > STEP * 3).to(depth), size=size, mode="nearest-exact") > 0
    return torch.where(edge, interpolate(values, size=size, mode="nearest-exact"), smooth)
