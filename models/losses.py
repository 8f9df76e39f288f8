"""What the networks are trained for; every function returns one value a sample, a mean over the pixels of a mask.

After HDNet (Jafarian & Park 2021): depth L2, scale-invariant depth (Eigen et al. 2014), angles between normals, and
agreement of the depth's own normals; and the likelihood of the errors that the networks announce.
"""

from __future__ import annotations

import torch
from dancedepth.models.geometry import lengths
from jaxtyping import Bool, Float
from torch import Tensor

STEP = 0.03
"""Depth changes from pixel to pixel beyond this many body heights (5 cm) are edges, not slopes."""


def depth_l1(
    depth: Float[Tensor, "b 1 h w"], truth: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Mean absolute difference."""
    return masked_mean((depth - truth).abs(), mask)


def depth_l2(
    depth: Float[Tensor, "b 1 h w"], truth: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Mean squared difference."""
    return masked_mean((depth - truth) ** 2, mask)


def scale_invariant_depth(
    depth: Float[Tensor, "b 1 h w"], truth: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Variance of the logarithm of the ratio: what no common factor explains. Depths are from the camera, above 0."""
    ratio = torch.where(mask, depth.clamp_min(1e-3).log() - truth.clamp_min(1e-3).log(), 0.0)
    return masked_mean(ratio**2, mask) - masked_mean(ratio, mask) ** 2


def normal_difference(
    normals: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Mean length of the difference of unit normals: the angle in radians where it is small, robust where not."""
    return masked_mean(_length(normals - truth), mask)


def normal_changes(
    normals: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Mean length of the difference between the steps of both from pixel to pixel, over 1, 2 and 4 pixels.

    What lies right but blurred is as wrong by this as what is folded elsewhere (after the gradient matching of depth in
    MegaDepth, Li & Snavely 2018).
    """
    error = normals - truth
    total = torch.zeros_like(error[:, 0, 0, 0])
    for step in (1, 2, 4):
        for axis in (2, 3):
            count = error.shape[axis] - step
            ahead, here = error.narrow(axis, step, count), error.narrow(axis, 0, count)
            both = mask.narrow(axis, step, count) & mask.narrow(axis, 0, count)
            total = total + masked_mean(_length(ahead - here), both) / 6
    return total


def normal_angle_deg(
    normals: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Mean angle between unit normals in degrees; a metric, whose gradient at zero is unbounded."""
    sine = lengths(torch.linalg.cross(normals, truth, dim=1), dim=1)
    angle = torch.rad2deg(torch.atan2(sine, (normals * truth).sum(dim=1, keepdim=True)))
    return masked_mean(angle, mask)


def error_likelihood(
    error: Float[Tensor, "b 1 h w"], log_scale: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b"]:
    """Negative log likelihood, up to a constant, of errors (>= 0) under a Laplacian of the predicted scale.

    Its least value has the scale equal to the expected error. Give it errors without gradient to train the scale alone.
    """
    return masked_mean(error * torch.exp(-log_scale) + log_scale, mask)


def surface_normals(
    depth: Float[Tensor, "b 1 h w"], rays: Float[Tensor, "b 2 h w"], mask: Bool[Tensor, "b 1 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Unit normals of depth maps by central differences, differentiable, and where they are defined.

    Args:
        depth: z from the camera, any unit.
        rays: x and y of each pixel's direction, at z = 1.
        mask: where the depth means something; normals need both neighbours on both axes, without a step between.
    """
    points = torch.cat((rays * depth, depth), dim=1)
    across = points[..., 1:-1, 2:] - points[..., 1:-1, :-2]
    along = points[..., 2:, 1:-1] - points[..., :-2, 1:-1]
    normals = torch.linalg.cross(along, across, dim=1)
    normals = normals / lengths(normals, dim=1)
    known = mask[..., 1:-1, 1:-1] & mask[..., 1:-1, 2:] & mask[..., 1:-1, :-2]
    known = known & mask[..., 2:, 1:-1] & mask[..., :-2, 1:-1]
    smooth = (across[:, 2:].abs() < 2 * STEP) & (along[:, 2:].abs() < 2 * STEP)
    border = (1, 1, 1, 1)
    return torch.nn.functional.pad(normals, border), torch.nn.functional.pad(known & smooth, border)


def masked_mean(values: Float[Tensor, "b c h w"], mask: Bool[Tensor, "b 1 h w"]) -> Float[Tensor, "b"]:
    """Mean over a sample's masked pixels; 0 for an empty mask."""
    total = torch.where(mask, values, 0.0).sum(dim=(1, 2, 3))
    return total / (mask.sum(dim=(1, 2, 3)) * values.shape[1]).clamp_min(1)


def _length(vectors: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    return ((vectors**2).sum(dim=1, keepdim=True) + 1e-6).sqrt()
