"""A dance made up from key poses on the beat: steps with planted feet, sway, arms, and turns.

World frame: z up, the floor at z = 0, the dancer at the origin facing -y; with the root's rotation the identity, the
world's axes are the body's rest axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.synthesis.draws import between
from dancedepth.pipeline.synthesis.footwork import Feet, place_leg, place_root, steps
from dancedepth.pipeline.synthesis.rotations import about, about_axis, eased, split_twist, swing
from jaxtyping import Float
from torch import Tensor

ARM_POSES: tuple[tuple[float, float, float, float], ...] = (
    (0.25, -0.10, -1.0, 0.25),  # hanging
    (0.85, 0.40, 0.0, 0.45),  # to the side
    (0.45, 0.15, 1.0, 0.35),  # up
    (0.35, 0.95, -0.15, 0.5),  # to the front
    (0.75, -0.25, -0.65, 1.75),  # hand on the hip
    (0.6, 0.75, 0.35, 1.7),  # before the face
    (0.7, 0.1, 0.7, 1.0),  # bent, raised
    (0.55, 0.35, -0.75, 1.4),  # bent, low
    (0.85, 0.35, 0.15, 1.45),  # chest high, bent
)
"""Direction of the upper arm (out, forward, up) and how far the elbow bends, radians."""


@dataclass(frozen=True)
class WorldMotion:
    """A body moving in the world; rows are frames."""

    rotations: Float[Tensor, "n j 3 3"]
    """Relative to the parent in rest axes; the root's is world-from-body."""
    root: Float[Tensor, "n 3"]
    """Where the root's head is, metres."""


def dance(body: BodyModel, rest: RestBody, frames: int, fps: float, seed: int, sole_m: float = 0.0) -> WorldMotion:
    """A dance with one full turn in every four seconds or so, at least one.

    Args:
        body, rest: who dances.
        frames, fps: how long.
        seed: of the choreography.
        sole_m: how far shoes reach below the bare foot.
    """
    generator = torch.Generator().manual_seed(seed + 7919)
    seconds = frames / fps
    time = torch.arange(frames, dtype=torch.float64) / fps
    beats = max(8.0 * max(1, round(seconds / 4)), seconds * between(generator, 2.5, 3.0)) / seconds
    phase = time * beats
    scale = rest.height_m / 1.75
    yaw = _turns(time, seconds, generator)
    feet = steps(phase, yaw, beats, scale, generator, body, rest)
    return _assemble(body, rest, phase, yaw, feet, generator, sole_m)


def _turns(time: Tensor, seconds: float, generator: torch.Generator) -> Float[Tensor, "n"]:
    """Heading: swaying, with a full turn in the middle of every period."""
    count = max(1, round(seconds / 4))
    period = seconds / count
    sway = 0.3 * torch.sin(2 * math.pi * time / period * 2 + between(generator, 0, 6))
    turned = torch.zeros_like(time)
    for index in range(count):
        sign = 1.0 if between(generator, 0, 1) < 0.5 else -1.0
        turned += sign * 2 * math.pi * eased((time - index * period) / period, 0.10, 0.94)
    return turned + sway * (1 - 0.6 * torch.sin(math.pi * time / seconds))


def _assemble(
    body: BodyModel, rest: RestBody, phase: Tensor, yaw: Tensor, feet: Feet, generator: torch.Generator, sole_m: float
) -> WorldMotion:
    count = len(phase)
    heads = rest.bone_poses[:, :3, 3].double()
    scale = rest.height_m / 1.75
    rotations = torch.eye(3, dtype=torch.float64).repeat(count, len(heads), 1, 1)
    beat = 2 * math.pi * phase
    sway = torch.sin(beat / 2 + between(generator, 0, 1))
    roll = 0.09 * between(generator, 0.6, 1.3) * sway
    tilt = 0.06 + 0.05 * torch.sin(beat)
    pelvis = about("z", yaw) @ about("y", roll) @ about("x", tilt)
    rotations[:, 0] = pelvis
    _spine(body, rotations, beat, roll, tilt, generator)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        _arm(body, heads, rotations, phase, side, sign, generator)
        _hand(body, rotations, phase, side, sign, generator)
    root = place_root(body, heads, pelvis, feet, beat, sway, scale, sole_m, rest)
    for index, side in enumerate("LR"):
        place_leg(body, heads, rotations, pelvis, root, feet, index, side, sole_m, rest)
    return WorldMotion(rotations.float(), root.float())


def _spine(
    body: BodyModel, rotations: Tensor, beat: Tensor, roll: Tensor, tilt: Tensor, generator: torch.Generator
) -> None:
    """Shoulders stay more level than the hips and turn against them; the head nods on the beat."""
    twist = 0.28 * torch.sin(beat / 4 + between(generator, 0, 6)) + 0.12 * torch.sin(beat / 2)
    side = -1.25 * roll + 0.08 * torch.sin(beat / 4 + between(generator, 0, 6))
    bend = -0.8 * tilt + 0.10 * torch.sin(beat / 4 + between(generator, 0, 6))
    for name in ("spine05", "spine04", "spine03", "spine02", "spine01"):
        rotations[:, body.bone(name)] = about("z", twist / 5) @ about("y", side / 5) @ about("x", bend / 5)
    nod = 0.08 * torch.sin(beat) + 0.05
    look = -0.7 * twist + 0.15 * torch.sin(beat / 8 + between(generator, 0, 6))
    for name in ("neck01", "neck02", "neck03", "head"):
        rotations[:, body.bone(name)] = about("z", look / 4) @ about("x", nod / 4) @ about("y", -side / 6)


def _arm(
    body: BodyModel, heads: Tensor, rotations: Tensor, phase: Tensor, side: str, sign: float, generator: torch.Generator
) -> None:
    """Upper arm and elbow eased from key pose to key pose, one in three beats, with a wave laid over."""
    every = 3.0
    number = int(float(phase[-1]) / every) + 3
    keys = torch.tensor(ARM_POSES, dtype=torch.float64)
    order = torch.randint(len(keys), (number,), generator=generator)
    same = torch.nonzero(order[1:] == order[:-1])[:, 0] + 1
    order[same] = (order[same] + 4) % len(keys)
    at = phase / every + (0.0 if side == "L" else between(generator, 0, 0.5))
    slot = at.floor().long()
    share = ((at - slot) / 0.8).clamp(0, 1)
    share = share * share * (3 - 2 * share)
    pose = torch.lerp(keys[order[slot]], keys[order[slot + 1]], share[:, None])
    wave = torch.sin(math.pi * phase + between(generator, 0, 6))
    direction = torch.nn.functional.normalize(pose[:, :3] + 0.10 * wave[:, None] * torch.tensor([0.2, 0.4, 0.8]), dim=1)
    # (out, forward, up) to the body's axes: x left, y back, z up.
    target = torch.stack((sign * direction[:, 0], -direction[:, 1], direction[:, 2]), dim=1)
    lift = (direction[:, 2] + 0.2).clamp_min(0) * 0.32
    clavicle = about("y", -sign * lift)
    rotations[:, body.bone(f"clavicle.{side}")] = clavicle
    shoulder, elbow, wrist = (heads[body.bone(f"{n}.{side}")] for n in ("upperarm01", "lowerarm01", "wrist"))
    upper = swing(elbow - shoulder, (clavicle.mT @ target[..., None])[..., 0])
    twist = about_axis(elbow - shoulder, sign * (-0.35 + 0.9 * direction[:, 2].clamp(-0.2, 1)))
    split_twist(body, rotations, "upperarm", side, upper, twist)
    rest_bend = torch.acos(_cos(elbow - shoulder, wrist - elbow))
    axis = torch.linalg.cross(elbow - shoulder, wrist - elbow)
    flex = about_axis(axis, pose[:, 3] + 0.12 * wave - rest_bend)
    pronation = about_axis(wrist - elbow, sign * 0.5 * torch.sin(math.pi * phase))
    split_twist(body, rotations, "lowerarm", side, flex, pronation)


def _cos(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.norm() * b.norm())


def _hand(
    body: BodyModel, rotations: Tensor, phase: Tensor, side: str, sign: float, generator: torch.Generator
) -> None:
    """Wrists wave, fingers open and close a little."""
    start = between(generator, 0, 6)
    rotations[:, body.bone(f"wrist.{side}")] = about("x", 0.3 * torch.sin(math.pi * phase + start)) @ about(
        "z", sign * 0.2 * torch.sin(math.pi * phase + start + 1)
    )
    curl = 0.18 + 0.22 * torch.sin(math.pi * phase / 2 + start)
    axis = torch.tensor([0.15 * sign, 0.55, -0.05], dtype=torch.float64) * sign
    for finger in "2345":
        for joint in "123":
            rotations[:, body.bone(f"finger{finger}-{joint}.{side}")] = about_axis(axis, curl)
