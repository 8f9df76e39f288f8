"""The body as a fit would have found it: wrong where one camera cannot tell.

Random joint angles are drawn, and what the picture would show of them is taken out by a few steps of a damped
least-squares fit to the projected joints, so that what stays are errors along the line of sight, as in a real fit.
Calibrated on fits of synthetic dances: joints are 42 mm off after the roots are aligned, those of the arms 65 mm, and
the heading by 10 degrees (median).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from dancedepth.models.body import ADULT, BodyModel, RestBody
from jaxtyping import Float
from torch import Generator, Tensor

SPREAD_DEG = {
    "spine05": 3.0, "spine03": 4.0, "spine01": 4.0, "neck01": 6.0, "head": 7.0, "clavicle.L": 6.0, "clavicle.R": 6.0,
    "upperarm01.L": 12.0, "upperarm01.R": 12.0, "lowerarm01.L": 12.0, "lowerarm01.R": 12.0, "wrist.L": 15.0,
    "wrist.R": 15.0, "upperleg01.L": 5.0, "upperleg01.R": 5.0, "lowerleg01.L": 5.0, "lowerleg01.R": 5.0,
    "foot.L": 10.0, "foot.R": 10.0,
}  # fmt: skip
"""Standard deviation about each axis of the joint angles that are drawn."""
HEADING_DEG, TILT_DEG = 18.0, 3.0
"""Of the root, about the body's long axis and about the others."""
HEADING_KEPT = 0.06
"""The fit bends limbs rather than turn the whole body: how freely it mends the heading."""
DEPTH_SHARE = 0.006
"""Standard deviation of the root's distance in a frame, as a share of it, once a clip's scale is taken out."""
SHAPE_SPREAD = 0.05
"""Standard deviation of every shape parameter, beside a pull to the prior's mean."""
SHAPE_PULL = (0.1, 0.9)
"""How far the fit's shape is drawn from the true one to the average adult's."""
HEIGHT_SHARE = 0.015
KEYPOINTS = (
    "head", "upperarm01.L", "upperarm01.R", "lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "upperleg01.L",
    "upperleg01.R", "lowerleg01.L", "lowerleg01.R", "foot.L", "foot.R", "neck01", "finger3-1.L", "finger3-1.R",
    "toe1-1.L", "toe1-1.R",
)  # fmt: skip
"""Bones whose heads stand for what a detector sees."""
PIXEL_SHARE = 0.004
"""How well the fit meets them, as a share of the distance: about 4 px on a person 1000 px tall."""
FREE = 3 * (len(SPREAD_DEG) + 1) + 3
"""Unknowns of the fit: rotations of the root and the listed bones, and where the root is."""


@dataclass(frozen=True)
class Fitted:
    """A body as the fit would have it."""

    rest: RestBody
    cam_from_rest: Float[Tensor, "j 4 4"]


def local_rotations(body: BodyModel, cam_from_rest: Float[Tensor, "j 4 4"]) -> Float[Tensor, "j 3 3"]:
    """Each bone's rotation relative to its parent, the root's from the camera: what `BodyModel.pose` takes."""
    world = cam_from_rest[:, :3, :3]
    parents = torch.tensor(body.bone_parents[1:])
    return torch.cat((world[:1], world[parents].mT @ world[1:]))


def misfit(
    body: BodyModel,
    rest: RestBody,
    phenotype: Float[Tensor, "6"],
    cam_from_rest: Float[Tensor, "j 4 4"],
    generator: Generator,
    strength: float = 1.0,
) -> Fitted:
    """The body with a fit's errors; `strength` 0 leaves only rigid hands."""
    spread = strength * math.exp(0.4 * float(torch.randn(1, generator=generator)))
    pull = strength * (SHAPE_PULL[0] + (SHAPE_PULL[1] - SHAPE_PULL[0]) * float(torch.rand(1, generator=generator)))
    drawn = torch.lerp(phenotype, torch.tensor(ADULT), min(pull, 1.0))
    shape = (drawn + SHAPE_SPREAD * strength * torch.randn(6, generator=generator)).clamp(0.02, 0.98)
    height = rest.height_m * (1 + HEIGHT_SHARE * strength * float(torch.randn(1, generator=generator)))
    wrong = body.scaled_to_height(body.rest(shape), height) if strength else rest
    true_heads = _bone_heads(body, rest, cam_from_rest[None])[0]
    rotations = _without_fingers(body, local_rotations(body, cam_from_rest))
    chain = _Chain(body, wrong, rotations, true_heads[0])
    unknown = spread * _drawn(generator, true_heads[0, 2])
    target = _seen(body, true_heads[None])
    for _ in range(3 if strength else 0):
        unknown = unknown - chain.correction(unknown, target)
    near = 1 + strength * DEPTH_SHARE * float(torch.randn(1, generator=generator))
    return _at_depth(body, Fitted(wrong, chain.pose(unknown[None])[0]), near * float(true_heads[0, 2]))


def _at_depth(body: BodyModel, fitted: Fitted, root_depth_m: float) -> Fitted:
    """Scaled about the camera, which no picture shows: the scale of a whole clip is taken out elsewhere."""
    scale = root_depth_m / float(_bone_heads(body, fitted.rest, fitted.cam_from_rest[None])[0, 0, 2])
    poses = fitted.cam_from_rest.clone()
    poses[:, :3, 3] *= scale
    return Fitted(body.scaled_to_height(fitted.rest, scale * fitted.rest.height_m), poses)


@dataclass(frozen=True)
class _Chain:
    """The body's pose as a function of the unknowns."""

    body: BodyModel
    rest: RestBody
    rotations: Float[Tensor, "j 3 3"]
    root: Float[Tensor, "3"]

    def pose(self, unknown: Float[Tensor, "n u"]) -> Float[Tensor, "n j 4 4"]:
        """Rows of unknowns to skinning transforms."""
        turns = roma.rotvec_to_rotmat(unknown[:, :-3].reshape(len(unknown), -1, 3))
        bones = [0, *(self.body.bone(name) for name in SPREAD_DEG)]
        rotations = self.rotations.expand(len(unknown), -1, -1, -1).clone()
        rotations[:, bones] = rotations[:, bones] @ turns
        return self.body.pose(self.rest.bone_poses[None, :, :3, 3], rotations, self.root + unknown[:, -3:])

    def correction(self, unknown: Float[Tensor, "u"], target: Float[Tensor, "k 2"]) -> Float[Tensor, "u"]:
        """The least change (in units of each unknown's spread) that brings the joints back to where they are seen."""
        step = 1e-2
        scale = _scales(float(self.root[2]))
        scale[2] *= HEADING_KEPT
        rows = torch.cat((unknown[None], unknown + step * torch.diag(scale)))
        seen = _seen(self.body, _bone_heads(self.body, self.rest, self.pose(rows))).flatten(1)
        J = (seen[1:] - seen[:1]).T / step
        residual = seen[0] - target.flatten()
        gram = J @ J.T + PIXEL_SHARE**2 * torch.eye(len(J))
        return scale * (J.T @ torch.linalg.solve(gram, residual))


def _drawn(generator: Generator, distance_m: Tensor) -> Float[Tensor, "u"]:
    return _scales(float(distance_m)) * torch.randn(FREE, generator=generator)


def _scales(distance_m: float) -> Float[Tensor, "u"]:
    """Standard deviation of every unknown."""
    root = [TILT_DEG, TILT_DEG, HEADING_DEG]  # the body's long axis is z at rest
    angles = root + [degrees for degrees in SPREAD_DEG.values() for _ in range(3)]
    shift = [0.01, 0.01, 0.012 * distance_m]
    return torch.cat((torch.deg2rad(torch.tensor(angles)), torch.tensor(shift)))


def _seen(body: BodyModel, heads: Float[Tensor, "n j 3"]) -> Float[Tensor, "n k 2"]:
    """Image positions of the keypoints' bones at unit focal length."""
    at = heads[:, [body.bone(name) for name in KEYPOINTS]]
    return at[..., :2] / at[..., 2:].clamp_min(0.1)


def _bone_heads(body: BodyModel, rest: RestBody, cam_from_rest: Float[Tensor, "n j 4 4"]) -> Float[Tensor, "n j 3"]:
    heads = rest.bone_poses[:, :3, 3]
    return (cam_from_rest[..., :3, :3] @ heads[..., None])[..., 0] + cam_from_rest[..., :3, 3]


def _without_fingers(body: BodyModel, rotations: Float[Tensor, "j 3 3"]) -> Float[Tensor, "j 3 3"]:
    """Fingers as at rest: so were those of the body that the shipped networks were given."""
    fixed = rotations.clone()
    fixed[[j for j, name in enumerate(body.bone_names) if name.startswith(("finger", "metacarpal"))]] = torch.eye(3)
    return fixed
