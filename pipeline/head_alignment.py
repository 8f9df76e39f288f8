"""Heads are rigid and faces are bare: the depth of a head is laid onto the fitted body's by its face.

The fit and the depth networks disagree by some degrees on how a head is tilted, in every frame differently; fused as it
is, the face would smear and bend. What is taken out is one plane a frame, so that the head's own relief stays; where no
face is seen, nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

SURE_SHARE = 0.9
"""Pixels that belong to the face by this much tell how the head lies."""
LEAST_PIXELS = 30
AGREE_M = 0.12
"""What lies farther from the body's face than this is something else: an arm before it, hair."""
ROBUST_M = 0.02
ROUNDS = 4
"""Of reweighting."""
STEEPEST = 0.8
"""Metres of depth a metre across: no head is tilted by more than 39 degrees against its fit."""


def head_aligned(
    depth_m: Float[Tensor, "h w"],
    body_depth_m: Float[Tensor, "h w"],
    head: Float[Tensor, "h w"],
    face: Float[Tensor, "h w"],
    pixel_m: float,
) -> Float[Tensor, "h w"]:
    """Depth whose head lies on the body's.

    Args:
        depth_m: 0 where there is none.
        body_depth_m: the fitted body's; 0 where it is not seen.
        head, face: how far the body point seen belongs to the head and to the bare face, 0-1.
        pixel_m: a pixel's width at the person's distance.
    """
    gap = depth_m - body_depth_m
    sure = (face > SURE_SHARE) & (depth_m > 0) & (body_depth_m > 0) & (gap.abs() < AGREE_M)
    rows, columns = torch.nonzero(sure, as_tuple=True)
    if len(rows) < LEAST_PIXELS:
        return depth_m
    centre = torch.stack((rows, columns), dim=1).float().mean(dim=0)
    plane = _plane(torch.stack((rows, columns), dim=1).float() - centre, gap[sure], pixel_m)
    top, bottom, left, right = _around(rows, columns, depth_m.shape)
    at = torch.cartesian_prod(torch.arange(top, bottom), torch.arange(left, right)).to(centre) - centre
    tilt = (plane[0] + at @ plane[1:]).view(bottom - top, right - left)
    window = (slice(top, bottom), slice(left, right))
    share = _carried_on(head[window], body_depth_m[window])
    aligned = depth_m.clone()
    aligned[window] = torch.where(depth_m[window] > 0, depth_m[window] - share * tilt, 0.0)
    return aligned


def _plane(at: Float[Tensor, "p 2"], gap_m: Float[Tensor, "p"], pixel_m: float) -> Float[Tensor, "3"]:
    """Level and slopes (a pixel) of the gap, robustly (Geman-McClure, reweighted least squares)."""
    design = torch.cat((torch.ones_like(at[:, :1]), at), dim=1)
    plane = gap_m.new_tensor([float(gap_m.median()), 0.0, 0.0])
    for _ in range(ROUNDS):
        weight = 1 / (1 + ((gap_m - design @ plane) / ROBUST_M).square()).square()
        gram = design.T @ (weight[:, None] * design) + torch.diag(gap_m.new_tensor([1e-3, 1.0, 1.0]))
        plane = torch.linalg.solve(gram, design.T @ (weight * gap_m))
    steepest = STEEPEST * pixel_m
    return torch.cat((plane[:1], plane[1:].clamp(-steepest, steepest)))


def _around(rows: Tensor, columns: Tensor, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The head's window, with room for hair."""
    (top, bottom), (left, right) = ((int(side.min()), int(side.max()) + 1) for side in (rows, columns))
    room = max(bottom - top, right - left)
    return max(top - room, 0), min(bottom + room, shape[0]), max(left - room, 0), min(right + room, shape[1])


def _carried_on(head: Float[Tensor, "y x"], body_depth_m: Float[Tensor, "y x"]) -> Float[Tensor, "y x"]:
    """The share of the nearest pixel that shows the body."""
    nearest = distance_transform_edt((body_depth_m <= 0).cpu().numpy(), return_distances=False, return_indices=True)
    rows, columns = (torch.from_numpy(one).long().to(head.device) for one in nearest)
    return head[rows, columns]
