"""The same points of the dancer in two frames, through the surface of the fitted body and the pictures.

A pixel of one frame sees a point of the body's surface; where the body has that point in the other frame, and nothing
lies before it, the other frame's pixel shows about the same point of the dancer. Optical flow from there finds the
point itself; where the way back does not end at the first pixel, nothing is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.geometry import project
from dancedepth.models.inputs import extend_outwards
from dancedepth.pipeline.training.body_parts import BodyParts
from dancedepth.pipeline.training.optical_flow import at, follow, pixel_centres
from dancedepth.pipeline.training.seen_body import SeenBody
from jaxtyping import Float, Int
from torch import Tensor

POINTS = 4096
"""Correspondences kept of a pair of frames."""
LEAST_HOLD = 0.6
"""Points that are shared by two parts belong to neither."""
LEAST_FACING = 0.25
"""Cosine of the angle to the line of sight; what is seen more aslant than 75 degrees is left out."""
RETURN_PX = 1.0
"""How near to its start the way there and back has to end."""
FARTHEST = 0.06
"""Body heights (10 cm) by which the flow may mend the body."""


@dataclass(frozen=True)
class Correspondences:
    """Pairs of image positions that show the same point of the dancer."""

    source_px: Float[Tensor, "n 2"]
    """Pixel centres of the first frame."""
    target_px: Float[Tensor, "n 2"]
    part: Int[Tensor, "n"]
    weight: Float[Tensor, "n"]
    """0-1; how much the pair is to be believed."""


def correspond(
    source: SeenBody, target: SeenBody, faces: Int[Tensor, "f 3"], parts: BodyParts, generator: torch.Generator
) -> Correspondences:
    """At most `POINTS` correspondences, drawn from all that both frames see."""
    rows = torch.nonzero((source.raster.face_index >= 0) & source.clear)
    y, x = rows.unbind(dim=1)
    corners, shares = faces[source.raster.face_index[y, x]], source.raster.barycentric[y, x]
    part = parts.part[corners.gather(1, shares.argmax(dim=1, keepdim=True))[:, 0]]
    hold = (parts.hold[corners] * shares).sum(dim=1)
    points, facing = target.carry(corners, shares)
    facing = torch.minimum(facing, source.carry(corners, shares)[1])
    guess = body_map(source, target, faces)
    there = follow(source.grey, target.grey, guess)
    back = follow(target.grey, source.grey, body_map(target, source, faces))
    centres, landed = rows.flip(1).to(points) + 0.5, there[y, x]
    missed = (at(back, landed) - centres).norm(dim=1)
    mended = (landed - guess[y, x]).norm(dim=1) * points[:, 2] / target.camera.focal_px
    kept = target.sees(points) & (at(target.clear[..., None].float(), landed)[:, 0] > 0.5) & (hold > LEAST_HOLD)
    kept = kept & (facing > LEAST_FACING) & (missed < RETURN_PX) & (mended < FARTHEST * target.height_m)
    some = torch.nonzero(kept)[:, 0]
    if len(some) > POINTS:
        some = some[torch.randperm(len(some), generator=generator)[:POINTS].sort().values]
    weight = hold * facing * (1 - missed / RETURN_PX).clamp_min(0)
    return Correspondences(centres[some], landed[some], part[some], weight[some])


def body_map(source: SeenBody, target: SeenBody, faces: Int[Tensor, "f 3"]) -> Float[Tensor, "h w 2"]:
    """Where the body has each pixel's point in the other frame, carried on smoothly beside the body."""
    seen = source.raster.face_index >= 0
    points, _ = target.carry(faces[source.raster.face_index[seen]], source.raster.barycentric[seen])
    here = pixel_centres(*seen.shape)
    away = torch.zeros_like(here)
    away[seen] = project(points, target.camera) - here[seen]
    known = seen[None, None].to(away)
    return here + extend_outwards(away.permute(2, 0, 1)[None], known)[0].permute(1, 2, 0)
