"""What two frames of one dancer teach without labels; every function returns one value a sample.

After Jafarian & Park (CVPR 2021), section 3.2: a body part moves nearly rigidly, so that a point of it, lifted by its
predicted depth and moved as its part moves, must meet the same point as the other frame's depth has it. The motion is
not given: it is the one that fits the predicted points best.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.losses import masked_mean
from dancedepth.models.rigid_parts import PartMotions, part_motions
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

DISTANCE_UNIT = 0.012
"""Body heights (2 cm): distances count squared below this and singly above."""
COLOR_UNIT = 0.06
"""Parts of the display range: likewise for colour differences."""
COLOR_EDGE = 0.06
"""Colour steps from pixel to pixel beyond this let the depth bend."""
GAIN = (0.6, 1.6)
"""How much brighter the other frame may be exposed."""


@dataclass(frozen=True)
class Matches:
    """Corresponding pixels of the two frames of each sample; padded with weight 0."""

    source_px: Float[Tensor, "b n 2"]
    target_px: Float[Tensor, "b n 2"]
    part: Int[Tensor, "b n"]
    weight: Float[Tensor, "b n"]
    """0-1."""


def lift(
    depth: Float[Tensor, "b 1 h w"], rays: Float[Tensor, "b 2 h w"], pixels: Float[Tensor, "b n 2"]
) -> Float[Tensor, "b n 3"]:
    """Camera-space points of image positions; depth is from the camera."""
    z = sample(depth, pixels)
    return torch.cat((sample(rays, pixels) * z, z), dim=-1)


def sample(maps: Float[Tensor, "b c h w"], pixels: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n c"]:
    """Bilinear values at image positions, where pixel centres lie at +0.5."""
    size = pixels.new_tensor([maps.shape[-1], maps.shape[-2]])
    grid = (2 * pixels / size - 1).nan_to_num(0.0).clamp(-2, 2)[:, :, None]  # grid_sample writes anywhere for NaN
    return grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)[..., 0].mT


def solve_motions(
    source: Float[Tensor, "b n 3"], target: Float[Tensor, "b n 3"], matches: Matches, parts: int, rounds: int = 2
) -> PartMotions:
    """The parts' motions, with weight taken off outliers in `rounds` repetitions (iteratively reweighted)."""
    trust = None
    for _ in range(rounds):
        with torch.no_grad():
            found = part_motions(source, target, matches.part, matches.weight, parts, trust)
            off = (found.move(source, matches.part) - target).norm(dim=-1) / DISTANCE_UNIT
            trust = 1 / (1 + off**2).sqrt()
    return part_motions(source, target, matches.part, matches.weight, parts, trust)


def warp(
    source: Float[Tensor, "b n 3"],
    target: Float[Tensor, "b n 3"],
    matches: Matches,
    motions: PartMotions,
    target_normals: Float[Tensor, "b n 3"] | None = None,
    along: float = 1.0,
) -> Float[Tensor, "b"]:
    """Part-wise warp: the distance that is left between corresponding points once each part has moved as it fits best.

    With normals, only `along` (0-1) of the distance within the surface counts: a pixel's error of a correspondence
    moves a point along the surface by as much, but off it by little.
    """
    apart = motions.move(source, matches.part) - target
    if target_normals is not None:
        off = (apart * target_normals).sum(dim=-1, keepdim=True) * target_normals
        apart = off + along * (apart - off)
    return _mean(robust(_length(apart / DISTANCE_UNIT)), matches.weight * motions.holds(matches.part))


def turned_normals(
    source: Float[Tensor, "b n 3"], target: Float[Tensor, "b n 3"], matches: Matches, motions: PartMotions
) -> Float[Tensor, "b"]:
    """The normals of corresponding points, turned as their parts turn: length of the difference of unit vectors."""
    return _mean(_length(motions.turn(source, matches.part) - target), matches.weight * motions.holds(matches.part))


def photometric(
    source_image: Float[Tensor, "b 3 h w"],
    target_image: Float[Tensor, "b 3 h w"],
    target_rays: Float[Tensor, "b 2 h w"],
    source: Float[Tensor, "b n 3"],
    matches: Matches,
    motions: PartMotions,
) -> Float[Tensor, "b"]:
    """Photometric consistency: source points, moved and projected into the other frame, meet their own colour there.

    Exposure and white balance may differ: gain and offset of each channel are fitted first. Points that leave the
    image count as they do at its border.
    """
    moved = motions.move(source, matches.part)
    seen = sample(target_image, project_to(moved, target_rays))
    own = sample(source_image, matches.source_px)
    weight = matches.weight * motions.holds(matches.part)
    off = _exposed_alike(own, seen, weight) - seen
    return _mean(robust(_length(off / COLOR_UNIT)), weight)


def project_to(points: Float[Tensor, "b n 3"], rays: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b n 2"]:
    """Image positions of camera-space points; the camera is read from its rays."""
    focal = 1 / torch.stack((rays[:, 0, 0, 1] - rays[:, 0, 0, 0], rays[:, 1, 1, 0] - rays[:, 1, 0, 0]), dim=-1)
    centre = 0.5 - rays[:, :, 0, 0] * focal
    return points[..., :2] / points[..., 2:].clamp_min(0.05) * focal[:, None] + centre[:, None]


def smoothness(
    depth: Float[Tensor, "b 1 h w"], image: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Edge-aware smoothness: how the surface bends from pixel to pixel, where the picture shows no edge.

    The second difference of inverse depth is taken, relative to it, which is nothing on every plane.
    """
    inverse = 1 / depth.clamp_min(0.05)
    values = depth.new_zeros(len(depth))
    for axis in (-1, -2):
        before, here, after = (_cut(inverse, axis, i) for i in range(3))
        bend = (before - 2 * here + after).abs() / here.detach() / DISTANCE_UNIT
        colour = (_cut(image, axis, 2) - _cut(image, axis, 0)).abs().mean(dim=1, keepdim=True)
        inside = _cut(mask, axis, 0) & _cut(mask, axis, 1) & _cut(mask, axis, 2)
        values = values + masked_mean(robust(bend) * torch.exp(-colour / COLOR_EDGE), inside)
    return values


def anchoring(
    depth: Float[Tensor, "b 1 h w"], anchor: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"], reach: int = 1
) -> Float[Tensor, "b"]:
    """Squared distance from an anchor (the body, or what a network that stands still says), in `DISTANCE_UNIT`.

    With a `reach` above 1, differences are averaged over so many pixels first: detail is free, nothing drifts.
    """
    inside = mask.to(depth)
    off = torch.where(mask, depth - anchor, 0.0) / DISTANCE_UNIT
    if reach > 1:
        border = reach // 2
        share = avg_pool2d(inside, reach, 1, border).clamp_min(1e-6)
        off = avg_pool2d(off, reach, 1, border) / share
    return masked_mean(off**2, mask)


def robust(distance: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Pseudo-Huber: half the square below 1, the distance itself above."""
    return (1 + distance**2).sqrt() - 1


def _exposed_alike(
    own: Float[Tensor, "b n 3"], other: Float[Tensor, "b n 3"], weight: Float[Tensor, "b n"]
) -> Float[Tensor, "b n 3"]:
    """Colours with the gain and offset that bring them nearest to the others', channel by channel."""
    share = (weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-6))[..., None]
    middle, goal = (share * own).sum(dim=1, keepdim=True), (share * other).sum(dim=1, keepdim=True)
    slope = (share * (own - middle) * (other - goal)).sum(dim=1, keepdim=True)
    gain = (slope / (share * (own - middle) ** 2).sum(dim=1, keepdim=True).clamp_min(1e-6)).clamp(*GAIN)
    return gain * (own - middle) + goal


def _cut(values: Tensor, axis: int, start: int) -> Tensor:
    """Three of these are every pixel's neighbour before it, itself, and the one after it."""
    return values.narrow(axis, start, values.shape[axis] - 2)


def _mean(values: Float[Tensor, "b n"], weight: Float[Tensor, "b n"]) -> Float[Tensor, "b"]:
    """Weighted; 0 where nothing has weight."""
    return (values * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-6)


def _length(vectors: Float[Tensor, "b n c"]) -> Float[Tensor, "b n"]:
    return ((vectors**2).sum(dim=-1) + 1e-9).sqrt()
