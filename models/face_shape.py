"""A face with its eyes, nose and mouth where one person has them: a smooth move of the skin around a few points."""

from __future__ import annotations

import torch
from dancedepth.models.articulated import FACE_VERTICES
from dancedepth.models.body import RestBody
from jaxtyping import Float
from torch import Tensor

REACH_M = 0.03
"""Standard deviation of each point's pull (a Gaussian): eyes are 9 cm apart, the mouth 7 below them."""
STIFFNESS = 0.1
"""How much less than wanted points move where neighbours disagree."""


def with_face(rest: RestBody, moves_m: Float[Tensor, "p 3"]) -> RestBody:
    """The same body, the vertices of `FACE_VERTICES` and what lies around them moved by so much, in rest axes.

    Kernel regression: what is farther from all points than some `REACH_M` stays where it is.
    """
    points = rest.vertices[list(FACE_VERTICES.values())]
    among = _pull(points, points)
    weights = torch.linalg.solve(among + STIFFNESS * torch.eye(len(among)).to(among), moves_m.to(among))
    moves = (_pull(rest.vertices, points)[..., None] * weights).sum(dim=1)
    return RestBody(rest.vertices + moves, rest.bone_poses)


def _pull(at: Float[Tensor, "v 3"], points: Float[Tensor, "p 3"]) -> Float[Tensor, "v p"]:
    """By differences and sums, which give the same bits on any number of threads; products of matrices do not."""
    return torch.exp(-(at[:, None] - points).square().sum(dim=-1) / (2 * REACH_M**2))
