"""How alike two pictures look to a network: LPIPS's distance on the features that this project has at hand.

Zhang et al. (CVPR 2018) compare features of an image network, scaled to unit length in every place, and find that it
matters little which network they are of. Here they are of the pose detector's backbone, so that nothing else need be
fetched; weighted alike, since no judgements of people were fitted. Values compare with one another, not with LPIPS's.
"""

from __future__ import annotations

import numpy as np
import torch
from dancedepth.models.weights import fetch
from dancedepth.models.yolo import load_yolo
from jaxtyping import Bool, Float
from torch.nn.functional import interpolate, normalize, pad

LAYERS = (2, 4, 6)
"""Of the backbone, at 1/4, 1/8 and 1/16 of the picture."""
STRIDE = 32


class PerceptualDistance:
    """Holds the backbone."""

    def __init__(self) -> None:
        layers = load_yolo(fetch("yolo11n-pose"), "pose", "cpu").model.model[: max(LAYERS) + 1]
        self._layers = layers.float().eval()

    @torch.inference_mode()
    def __call__(
        self, one: Float[np.ndarray, "h w 3"], other: Float[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"]
    ) -> float:
        """Mean over the layers and the places in `where`; 0 for equal pictures, at most 4. Colours are 0-1, RGB."""
        x = torch.from_numpy(np.stack((one, other)).transpose(0, 3, 1, 2)).float()
        height, width = where.shape
        x = pad(x, (0, -width % STRIDE, 0, -height % STRIDE), value=0.5)
        inside = torch.from_numpy(where)[None, None].float()
        inside = pad(inside, (0, -width % STRIDE, 0, -height % STRIDE))
        distances = []
        for number, layer in enumerate(self._layers):
            x = layer(x)
            if number in LAYERS:
                apart = normalize(x[0], dim=0) - normalize(x[1], dim=0)
                share = interpolate(inside, size=apart.shape[-2:], mode="area")[0, 0]
                distances.append(float((apart.square().sum(dim=0) * share).sum() / share.sum().clamp_min(1e-6)))
        return float(np.mean(distances))
