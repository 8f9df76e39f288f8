"""The rigid motion of every body part between two frames, in closed form from corresponding points.

Weighted orthogonal Procrustes analysis (Kabsch 1976, Umeyama 1991): the rotation is the one nearest to the covariance
of the centred points, the translation brings the centroids together. Gradients flow through it; where the points leave
the rotation nearly free they are damped instead of growing without bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LEAST_WEIGHT = 12.0
"""Parts with less weight than this many full points are not solved."""
LEAST_SPREAD = 0.004
"""Body heights (7 mm): points nearer than this to a line leave the turn about it free, and are not solved either."""
GRADIENT_DAMPING = 1e-3
"""Of the rotation's derivative, as a share of the covariance's size."""


@dataclass(frozen=True)
class PartMotions:
    """Target point = rotation @ source point + translation, by part of each sample."""

    rotation: Float[Tensor, "b k 3 3"]
    translation: Float[Tensor, "b k 3"]
    known: Bool[Tensor, "b k"]
    """The others stand still."""

    def move(self, points: Float[Tensor, "b n 3"], part: Int[Tensor, "b n"]) -> Float[Tensor, "b n 3"]:
        """Points as their parts move."""
        return self.turn(points, part) + _of(self.translation, part)

    def turn(self, vectors: Float[Tensor, "b n 3"], part: Int[Tensor, "b n"]) -> Float[Tensor, "b n 3"]:
        """Directions as their parts turn."""
        return (_of(self.rotation, part) @ vectors[..., None])[..., 0]

    def holds(self, part: Int[Tensor, "b n"]) -> Bool[Tensor, "b n"]:
        """Which points' parts are known."""
        return self.known.gather(1, part)


def part_motions(
    source: Float[Tensor, "b n 3"],
    target: Float[Tensor, "b n 3"],
    part: Int[Tensor, "b n"],
    weight: Float[Tensor, "b n"],
    count: int,
    trust: Float[Tensor, "b n"] | None = None,
) -> PartMotions:
    """The motions that bring source points nearest to target points, in the weighted least-squares sense.

    Args:
        source, target: the same points in two frames, in body heights.
        part: which of the `count` parts each belongs to.
        weight: 0 leaves a point out; parts with too little of it are not solved.
        trust: a further factor of each point's weight.
    """
    enough = _sums(weight[..., None], part, count)[..., 0] >= LEAST_WEIGHT
    weight = weight if trust is None else weight * trust
    share = weight[..., None] / _of(_sums(weight[..., None], part, count), part).clamp_min(1e-6)
    middle_a, middle_b = _sums(share * source, part, count), _sums(share * target, part, count)
    a, b = source - _of(middle_a, part), target - _of(middle_b, part)
    outer = share[..., None] * b[..., :, None] * a[..., None, :]
    covariance = _sums(outer.flatten(2), part, count).unflatten(-1, (3, 3))
    known = enough & (_spread(a, share, part, count) > LEAST_SPREAD)
    eye = torch.eye(3).to(covariance).expand_as(covariance)
    size = covariance.detach().flatten(-2).norm(dim=-1)[..., None, None].clamp_min(1e-12)
    solvable = torch.where(known[..., None, None], covariance / size, eye)
    rotation: Tensor = roma.special_procrustes(solvable, gradient_eps=GRADIENT_DAMPING)
    shift = middle_b - (rotation @ middle_a[..., None])[..., 0]
    return PartMotions(rotation, torch.where(known[..., None], shift, 0.0), known)


def _spread(
    centred: Float[Tensor, "b n 3"], share: Float[Tensor, "b n 1"], part: Int[Tensor, "b n"], count: int
) -> Float[Tensor, "b k"]:
    """Standard deviation of the points across their longest direction."""
    with torch.no_grad():
        outer = share[..., None] * centred[..., :, None] * centred[..., None, :]
        moments = _sums(outer.flatten(2), part, count).unflatten(-1, (3, 3))
        finite = moments.nan_to_num(0.0, 0.0, 0.0)  # LAPACK gives up on others
        return torch.linalg.eigvalsh(finite)[..., 1].clamp_min(0).sqrt()


def _sums(values: Float[Tensor, "b n c"], part: Int[Tensor, "b n"], count: int) -> Float[Tensor, "b k c"]:
    """Over the points of each part."""
    total = values.new_zeros(len(values), count, values.shape[-1])
    return total.scatter_add(1, part[..., None].expand_as(values), values)


def _of(values: Float[Tensor, "b k *c"], part: Int[Tensor, "b n"]) -> Float[Tensor, "b n *c"]:
    """Each point's part's value."""
    return values[torch.arange(len(values), device=values.device)[:, None], part]
