"""Steps: feet that stay where they were put, hips that stay above them, and legs that reach from one to the other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.pipeline.synthesis.rotations import about, hinge_frame
from jaxtyping import Float
from torch import Tensor

LEG_SLACK = 0.992
"""Legs are stretched to at most this share of their length; a fully stretched knee snaps."""
ANKLE_LIFT_M = 0.07
STEP_SHARE = 0.62
"""Share of a beat that a foot spends in the air."""


@dataclass(frozen=True)
class Feet:
    """Where the feet are; rows are frames, then left and right."""

    ankle: Float[Tensor, "n 2 3"]
    """Left, right: relative to the ankles' height when standing."""
    yaw: Float[Tensor, "n 2"]
    pitch: Float[Tensor, "n 2"]
    """Toes down, radians."""


def steps(
    phase: Tensor, yaw: Tensor, beats: float, scale: float, generator: torch.Generator, body: BodyModel, rest: RestBody
) -> Feet:
    """Feet that stand where they were put until their next step; left on even beats, right on odd."""
    count = int(phase[-1]) + 4
    wander = 0.09 * scale * torch.randn(count, 2, generator=generator, dtype=torch.float64).clamp(-1.3, 1.3)
    width = scale * (0.11 + 0.09 * torch.rand(count, generator=generator, dtype=torch.float64))
    beat_yaw = torch.from_numpy(np.interp(np.arange(count) - 0.3, phase.numpy(), yaw.numpy()))
    ankles, yaws, pitches = [], [], []
    for side, sign in ((0, 1.0), (1, -1.0)):
        # The k-th spot is reached at beat 2k + side - 1 and left 1.38 beats later; its heading is the body's between.
        spots = torch.arange(side, count, 2)
        heading = beat_yaw[spots] + sign * 0.22
        out = torch.stack((heading.cos(), heading.sin()), dim=1) * sign * width[spots, None]
        where = out + 0.5 * wander[spots] + 0.5 * wander[(spots - 1).clamp_min(0)]
        slot = ((phase - side + 2) / 2).floor().long().clamp(0, len(spots) - 1)
        share = (((phase - side + 2) / 2 - slot) * 2 - (1 - STEP_SHARE)).clamp(0, STEP_SHARE) / STEP_SHARE
        before, after = (slot - 1).clamp_min(0), slot.clamp(max=len(spots) - 1)
        moved = share * share * (3 - 2 * share)
        place = torch.lerp(where[before], where[after], moved[:, None])
        lift = scale * ANKLE_LIFT_M * torch.sin(math.pi * share) ** 2
        ankles.append(torch.cat((place, lift[:, None]), dim=1))
        yaws.append(torch.lerp(heading[before], heading[after], moved))
        pitches.append(0.55 * torch.sin(math.pi * share) * (1 - share))
    return Feet(torch.stack(ankles, dim=1), torch.stack(yaws, dim=1), torch.stack(pitches, dim=1))


def place_root(
    body: BodyModel,
    heads: Tensor,
    pelvis: Tensor,
    feet: Feet,
    beat: Tensor,
    sway: Tensor,
    scale: float,
    sole_m: float,
    rest: RestBody,
) -> Float[Tensor, "n 3"]:
    """Between the feet, swaying over one and the other, low enough that both legs reach."""
    middle = feet.ankle[..., :2].mean(dim=1)
    window = max(1, len(middle) // 16)
    padded = torch.cat((middle[:1].expand(window, 2), middle, middle[-1:].expand(window, 2)))
    smooth = padded.unfold(0, 2 * window + 1, 1).mean(dim=-1)
    side = pelvis[:, :, 0]
    ground = smooth + 0.035 * scale * sway[:, None] * side[:, :2]
    bob = 0.022 * scale * (1 - torch.cos(beat)) / 2 + 0.02 * scale
    floor_to_ankle = _standing_ankle_m(body, rest) + sole_m
    tallest = torch.full_like(bob, torch.inf)
    for index, name in enumerate("LR"):
        hip, knee, ankle = (heads[body.bone(f"{n}.{name}")] for n in ("upperleg01", "lowerleg01", "foot"))
        reach = LEG_SLACK * ((knee - hip).norm() + (ankle - knee).norm())
        offset = (pelvis @ (hip - heads[0]))[:, :3]
        target = feet.ankle[:, index].clone()
        flat = (ground + offset[:, :2] - target[:, :2]).norm(dim=1).clamp(max=0.9 * float(reach))
        height = target[:, 2] + floor_to_ankle + (reach**2 - flat**2).sqrt() - offset[:, 2]
        tallest = torch.minimum(tallest, height)
    return torch.cat((ground, (tallest - bob)[:, None]), dim=1)


def place_leg(
    body: BodyModel,
    heads: Tensor,
    rotations: Tensor,
    pelvis: Tensor,
    root: Tensor,
    feet: Feet,
    index: int,
    side: str,
    sole_m: float,
    rest: RestBody,
) -> None:
    """Hip and knee such that the ankle is where it must be; knees point where the toes do."""
    hip, knee, ankle = (heads[body.bone(f"{n}.{side}")] for n in ("upperleg01", "lowerleg01", "foot"))
    hip_at = root + pelvis @ (hip - heads[0])
    lifted = feet.ankle[:, index] + torch.tensor([0, 0, _standing_ankle_m(body, rest) + sole_m], dtype=torch.float64)
    # A foot on its toes carries its ankle up: the ball of the foot stays down.
    lifted = lifted + torch.stack((0 * feet.pitch[:, index],) * 2 + (0.11 * feet.pitch[:, index],), dim=1)
    heading = feet.yaw[:, index]
    forward = torch.stack((heading.sin(), -heading.cos(), torch.zeros_like(heading)), dim=1)
    middle = two_bone(hip_at, lifted, (knee - hip).norm(), (ankle - knee).norm(), forward)
    rest_pole = heads.new_tensor([0.0, -1.0, 0.0])
    upper = hinge_frame(middle - hip_at, forward) @ hinge_frame((knee - hip)[None], rest_pole[None]).mT
    lower = hinge_frame(lifted - middle, forward) @ hinge_frame((ankle - knee)[None], rest_pole[None]).mT
    foot = about("z", heading) @ about("x", feet.pitch[:, index])
    rotations[:, body.bone(f"upperleg01.{side}")] = pelvis.mT @ upper
    rotations[:, body.bone(f"lowerleg01.{side}")] = upper.mT @ lower
    rotations[:, body.bone(f"foot.{side}")] = lower.mT @ foot


def _standing_ankle_m(body: BodyModel, rest: RestBody) -> float:
    """Height of the ankle joint over the bare sole."""
    sole = rest.vertices[:SKIN_VERTICES, 2].min()
    return float(rest.bone_poses[body.bone("foot.L"), 2, 3] - sole)


def two_bone(
    start: Float[Tensor, "n 3"], end: Float[Tensor, "n 3"], upper: Tensor, lower: Tensor, pole: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    """The middle joint of a chain of two bones of given lengths, bent towards `pole`."""
    along = end - start
    distance = along.norm(dim=1).clamp(max=float(upper + lower) * 0.9999)
    direction = along / along.norm(dim=1, keepdim=True)
    share = (upper**2 - lower**2 + distance**2) / (2 * distance)
    height = (upper**2 - share**2).clamp_min(0).sqrt()
    across = pole - (pole * direction).sum(dim=1, keepdim=True) * direction
    across = torch.nn.functional.normalize(across, dim=1)
    return start + direction * share[:, None] + across * height[:, None]
