"""Rotations that dances and retargeting are built from; batches of matrices, radians."""

from __future__ import annotations

import roma
import torch
from dancedepth.models.body import BodyModel
from jaxtyping import Float
from torch import Tensor

OPPOSITE = -0.9995
"""Cosine below which two directions have no smallest rotation between them worth the name."""


def about(axis: str, angle: Float[Tensor, "n"]) -> Float[Tensor, "n 3 3"]:
    """Rotations about the x, y or z axis."""
    direction = torch.eye(3).to(angle)["xyz".index(axis)]
    return about_axis(direction, angle)


def about_axis(axis: Float[Tensor, "3"], angle: Float[Tensor, "n"]) -> Float[Tensor, "n 3 3"]:
    """Rotations by `angle` about one axis, which need not be of unit length."""
    x, y, z = (axis / axis.norm()).to(angle).unbind()
    zero = torch.zeros_like(x)
    K = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero)).view(3, 3)
    return torch.eye(3).to(K) + angle.sin()[:, None, None] * K + (1 - angle.cos())[:, None, None] * (K @ K)


def swing(start: Float[Tensor, "3"], target: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """The smallest rotations that turn one direction to others."""
    a = torch.nn.functional.normalize(start, dim=-1).expand_as(target)
    b = torch.nn.functional.normalize(target, dim=-1)
    x, y, z = torch.linalg.cross(a, b, dim=-1).unbind(dim=-1)
    zero = torch.zeros_like(x)
    K = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))
    cosine = (a * b).sum(dim=-1).clamp_min(OPPOSITE)
    return _orthonormal(torch.eye(3).to(K) + K + K @ K / (1 + cosine)[..., None, None])


def hinge_frame(along: Float[Tensor, "n 3"], pole: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Frames whose third column lies along a bone and whose second leans towards the pole."""
    third = torch.nn.functional.normalize(along, dim=-1)
    first = torch.nn.functional.normalize(torch.linalg.cross(pole.expand_as(third), third, dim=-1), dim=-1)
    return torch.stack((first, torch.linalg.cross(third, first, dim=-1), third), dim=-1)


def split_twist(
    body: BodyModel, rotations: Float[Tensor, "n j 3 3"], bone: str, side: str, bent: Tensor, twist: Tensor
) -> None:
    """Bend a limb at its first bone and share the twist between its two, so that skin does not wring at the joint."""
    half = _half(twist)
    rotations[:, body.bone(f"{bone}01.{side}")] = bent @ half
    rotations[:, body.bone(f"{bone}02.{side}")] = half


def eased(share: Float[Tensor, "n"], start: float, end: float) -> Float[Tensor, "n"]:
    """0 before `start`, 1 after `end`, smooth between."""
    s = ((share - start) / (end - start)).clamp(0, 1)
    return s * s * (3 - 2 * s)


def _half(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:

    return roma.rotvec_to_rotmat(roma.rotmat_to_rotvec(rotations) / 2)


def _orthonormal(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    first = torch.nn.functional.normalize(matrices[..., 0], dim=-1)
    second = matrices[..., 1] - (matrices[..., 1] * first).sum(dim=-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack((first, second, torch.linalg.cross(first, second, dim=-1)), dim=-1)
