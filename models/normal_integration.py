"""Depth that agrees with normals: the networks' normals are sharper than their depth, and tell it its fine relief.

A screened Poisson problem in the logarithm of depth, as in perspective normal integration (Durou et al., "Normal
Integration: A Survey", 2018): where two neighbouring pixels lie on one plane with the normal between them, the ratio of
their depths is known. Steps in depth are left as the network drew them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from dancedepth.models.geometry import lengths
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

REACH_PX = 8.0
"""Relief narrower than this follows the normals, wider shape follows the depth: 5 cm for a whole person."""
ITERATIONS = 30
"""Of conjugate gradients, which needs a few times `REACH_PX`."""
STEP = 0.006
"""Where the depth rises from pixel to pixel by this many body heights (1 cm) more than the normals say, they count half
as much: it may be a step."""
GRAZING_COS = 0.15
"""Normals seen more obliquely than this tell nothing of depth."""


def integrate_normals(
    depth: Float[Tensor, "b 1 h w"],
    normals: Float[Tensor, "b 3 h w"],
    inside: Bool[Tensor, "b 1 h w"],
    rays: Float[Tensor, "b 2 h w"],
    reach_px: float = REACH_PX,
) -> Float[Tensor, "b 1 h w"]:
    """The depth near the given one whose surface faces as the normals say.

    Args:
        depth: z from the camera, in body heights; positive inside.
        normals: unit, in the camera's frame.
        inside: pixels of the person; depth stays as it is elsewhere.
        rays: x and y of each pixel's direction at z = 1.
        reach_px: relief narrower than this follows the normals.
    """
    log_depth = torch.where(inside, depth, 1.0).clamp_min(1e-3).log()
    directions = torch.cat((rays, torch.ones_like(rays[:, :1])), dim=1)
    slope, weight = zip(*(_edges(log_depth, depth, normals, inside, directions, dim) for dim in (2, 3)), strict=True)
    screen = inside / reach_px**2
    diagonal = screen + _at_ends(weight[0], 2, 1.0) + _at_ends(weight[1], 3, 1.0)

    across = [_Flow(depth, dim) for dim in (2, 3)]

    def apply(u: Tensor) -> Tensor:
        return screen * u + across[0].gathered(weight[0], u) + across[1].gathered(weight[1], u)

    # Solved for the change, which starts at nothing.
    wanted = [w * (s - log_depth.diff(dim=dim)) for s, w, dim in zip(slope, weight, (2, 3), strict=True)]
    right = _at_ends(wanted[0], 2, -1.0) + _at_ends(wanted[1], 3, -1.0)
    change = _conjugate_gradients(apply, right, diagonal.clamp_min(1e-6))
    return torch.where(inside, depth * change.exp(), depth)


def _edges(
    log_depth: Float[Tensor, "b 1 h w"],
    depth: Float[Tensor, "b 1 h w"],
    normals: Float[Tensor, "b 3 h w"],
    inside: Bool[Tensor, "b 1 h w"],
    directions: Float[Tensor, "b 3 h w"],
    dim: int,
) -> tuple[Float[Tensor, "b 1 y x"], Float[Tensor, "b 1 y x"]]:
    """Between neighbours along one axis: the difference of log depths that the normals ask for, and its weight."""
    size = depth.shape[dim] - 1

    def first(x: Tensor) -> Tensor:
        return x.narrow(dim, 0, size)

    def second(x: Tensor) -> Tensor:
        return x.narrow(dim, 1, size)

    middle = first(normals) + second(normals)
    near, far = ((middle * side(directions)).sum(dim=1, keepdim=True) for side in (first, second))
    length = lengths(middle, dim=1) * first(lengths(directions, dim=1))
    seen = torch.minimum(-near, -far) > GRAZING_COS * length.clamp_min(1e-6)
    slope = torch.where(seen, (near / torch.where(seen, far, 1.0)).clamp_min(1e-3).log(), 0.0)
    rise = (log_depth.diff(dim=dim) - slope) * first(depth)
    weight = 1 / (1 + (rise / STEP).square())
    return slope, weight * (seen & first(inside) & second(inside))


def _at_ends(values: Float[Tensor, "b 1 y x"], dim: int, sign: float) -> Float[Tensor, "b 1 h w"]:
    """Values between neighbours, added up at the later one and, times `sign`, at the earlier one."""
    before, after = (0, 0, 1, 0) if dim == 2 else (1, 0), (0, 0, 0, 1) if dim == 2 else (0, 1)
    return pad(values, before) + sign * pad(values, after)


class _Flow:
    """What `_at_ends(weight * u.diff(dim), dim, -1)` says, in half the time: its memory is kept."""

    def __init__(self, like: Float[Tensor, "b 1 h w"], dim: int) -> None:
        shape = list(like.shape)
        shape[dim] += 1
        padded = like.new_zeros(shape)
        size = like.shape[dim]
        self._dim, self._size = dim, size
        self._between = padded.narrow(dim, 1, size - 1)
        self._before, self._after = padded.narrow(dim, 0, size), padded.narrow(dim, 1, size)

    def gathered(self, weight: Float[Tensor, "b 1 y x"], u: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Weighted differences between neighbours: the one before each minus the one after it."""
        later, earlier = u.narrow(self._dim, 1, self._size - 1), u.narrow(self._dim, 0, self._size - 1)
        torch.sub(later, earlier, out=self._between)
        self._between.mul_(weight)
        return self._before - self._after


def _conjugate_gradients(
    apply: Callable[[Tensor], Tensor], right: Float[Tensor, "b 1 h w"], diagonal: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 1 h w"]:
    """A fixed number of steps, preconditioned by the diagonal; every picture of the batch by itself."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2, 3), keepdim=True)

    solution, residual = torch.zeros_like(right), right
    scaled = residual / diagonal
    direction, power = scaled, dot(residual, scaled)
    for _ in range(ITERATIONS):
        moved = apply(direction)
        pace = power / dot(direction, moved).clamp_min(1e-20)
        solution += pace * direction
        residual = residual - pace * moved
        scaled = residual / diagonal
        before, power = power, dot(residual, scaled)
        direction = scaled + power / before.clamp_min(1e-20) * direction
    return solution
