"""Correspondences mended by the pictures: optical flow between a frame and the other one brought over by a first guess.

The fitted body is some 40 mm beside the dancer, and so are correspondences taken from it alone; against the truth of
rendered clips the flow (dense inverse search, Kroeger et al. 2016) brings that to 7 to 10 mm where it returns to where
it came from, which is asked of every point that is kept.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from dancedepth.models.pair_losses import sample
from jaxtyping import Float
from torch import Tensor

ROUNDS = 2
"""Each starts from the last one's result."""
CONTRAST, GREY = 40.0, 128.0
"""Standard deviation and mean, of 255, of the grey values inside the matte: exposures may differ."""


def grey_levels(image: Float[Tensor, "3 h w"], alpha: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """The matted picture as the flow sees it: 0-255, grey outside the matte."""
    inside = alpha >= 0.5
    grey = image.mean(dim=0)
    if int(inside.sum()) < 2:
        return torch.full_like(grey, GREY)
    middle, spread = grey[inside].mean(), grey[inside].std().clamp_min(1e-3)
    levels = ((grey - middle) / spread * CONTRAST + GREY).clamp(0, 255)
    return torch.where(inside, levels, GREY)


def follow(
    source: Float[Tensor, "h w"], target: Float[Tensor, "h w"], guess: Float[Tensor, "h w 2"]
) -> Float[Tensor, "h w 2"]:
    """Where each pixel of the source lies in the target, as image positions.

    Args:
        source, target: grey levels.
        guess: the same, about right.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    here, found = pixel_centres(*source.shape), guess
    for _ in range(ROUNDS):
        brought = at(target[..., None], found)[..., 0]
        known = (source != GREY) & (brought != GREY)
        pictures = [torch.where(known, one, GREY).round().byte().numpy() for one in (source, brought)]
        flow = torch.from_numpy(search.calc(pictures[0], pictures[1], np.empty(0, np.float32)))
        found = at(found, here + flow)
    return found


def at(values: Float[Tensor, "h w c"], positions: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n c"]:
    """Bilinear values at image positions."""
    flat = sample(values.permute(2, 0, 1)[None], positions.reshape(1, -1, 2))[0]
    return flat.view(*positions.shape[:-1], values.shape[-1])


def pixel_centres(height: int, width: int) -> Float[Tensor, "h w 2"]:
    """x and y of every pixel's centre."""
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
