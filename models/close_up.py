"""A second look at the head, from nearer: faces are a few pixels of a picture that holds a whole dancer.

Its normals replace those of the first look, and depth takes their relief; towards the window's border they fade.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.geometry import Camera, lengths
from dancedepth.models.inputs import (
    OPAQUE,
    Crop,
    NetworkInput,
    PosedBody,
    cut_out,
    extend_outwards,
    head_crop,
    network_input,
)
from dancedepth.models.normal_integration import integrate_normals
from dancedepth.models.paste_back import Geometry
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

FADING = 0.15
"""Share of the window's side, from its border, over which the first look passes into the second."""
REACH_PX = 14.0
"""Relief narrower than this, in the window's own pixels (3 mm), follows the normals: noses, eyes, lips."""
SURE = 0.999
"""Share of a look at the first depth, below which it reaches beyond the person."""
LEAST_GAIN = 1.2
"""A second look must have so many times finer pixels than the first; else it is not taken."""


@dataclass(frozen=True)
class CloseUp:
    """The head as the network for heads takes it."""

    given: NetworkInput
    crop: Crop


def close_up(
    rgb: UInt8[Tensor, "n m 3"],
    alpha: UInt8[Tensor, "n m"],
    body: PosedBody,
    camera: Camera,
    size: tuple[int, int],
    first: Crop,
) -> CloseUp | None:
    """The view of a frame's head; None where there is none in the picture, or `first` shows it as finely."""
    crop = head_crop(body, camera, size)
    if crop is None or crop.camera.focal_px < LEAST_GAIN * first.camera.focal_px:
        return None
    matted = cut_out(rgb, alpha, crop)
    if not bool((matted[3] >= OPAQUE).any()):
        return None
    return CloseUp(network_input(matted[:3], matted[3:], body, crop.camera), crop)


def look_closer(
    found: Geometry, normals: Float[Tensor, "3 h w"], seen: CloseUp, body: PosedBody, alpha: UInt8[Tensor, "n m"]
) -> None:
    """Write what the head's network says into the geometry of its frame.

    Args:
        found: of the first look, at the image's size; changed in place.
        normals: what the network says of `seen`.
        alpha: the matte at the image's size.
    """
    crop = seen.crop
    first_m, sure = _read(found.depth_m, crop, normals.shape[1:])
    inside = (sure & (seen.given.alpha[0, 0].to(normals) >= OPAQUE))[None, None]
    first = first_m[None, None] / body.height_m
    relief = integrate_normals(first, normals[None], inside, seen.given.rays.to(normals), REACH_PX) - first
    known = inside.float()
    maps = extend_outwards(torch.cat((normals[None], relief), dim=1) * known, known)
    whole = interpolate(maps, size=(crop.height, crop.width), mode="bilinear", align_corners=False)[0]
    window, part = _inside(crop, alpha.shape)
    share = _fading(crop, normals.device)[part] * (alpha[window] >= OPAQUE * 255)
    second = whole[:3, *part]
    mixed = found.normals[window].permute(2, 0, 1).contiguous().lerp(second / lengths(second, dim=0), share)
    found.normals[window] = (mixed / lengths(mixed, dim=0)).permute(1, 2, 0)
    found.depth_m[window] += body.height_m * share * whole[3][part]


def _read(
    depth_m: Float[Tensor, "n m"], crop: Crop, size: torch.Size
) -> tuple[Float[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """The depth in the middles of the window's pixels, bilinearly, and where all four that make it are known."""
    window, part = _inside(crop, depth_m.shape)
    known_m = depth_m[window]
    both = torch.stack((known_m, (known_m > 0).to(known_m)))[None]
    down, across = (
        ((torch.arange(count, device=depth_m.device) + 0.5) * (side / count) - span.start) * (2 / length) - 1
        for count, side, span, length in zip(size, (crop.height, crop.width), part, known_m.shape, strict=True)
    )
    at = torch.stack((across.expand(size), down[:, None].expand(size)), dim=-1)[None]
    read, known = grid_sample(both, at, align_corners=False)[0]
    return read, known > SURE


def _inside(crop: Crop, shape: torch.Size) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What of the window lies in the image, there and in the window."""
    spans = zip((crop.top, crop.left), (crop.height, crop.width), shape, strict=True)
    (top, bottom), (left, right) = ((max(start, 0), min(start + side, end)) for start, side, end in spans)
    window = (slice(top, bottom), slice(left, right))
    return window, (slice(top - crop.top, bottom - crop.top), slice(left - crop.left, right - crop.left))


def _fading(crop: Crop, device: torch.device) -> Float[Tensor, "y x"]:
    """1 in the middle, 0 at the border."""
    sides = []
    for side in (crop.height, crop.width):
        at = (torch.arange(side, device=device) + 0.5) / side
        share = (torch.minimum(at, 1 - at) / FADING).clamp(max=1)
        sides.append(share.square() * (3 - 2 * share))
    return sides[0][:, None] * sides[1]
