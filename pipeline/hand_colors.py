"""Hands are of one colour: fingers are not where the fit has them, and what lies behind would be painted on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dancedepth.pipeline.vertex_colors import VertexLooks
from dancedepth.pipeline.volume_sampling import Samples
from jaxtyping import Bool, Float

OTHER_COLOR = 0.3
"""Of 1 in each channel: nails, shadows and creases differ by less, cloth and hair by more."""
SEEN_WEIGHT = 1.0
"""Of all looks at hands together, from which on their colour is known."""


def of_one_color(looks: VertexLooks, samples: Samples, hands: Bool[np.ndarray, "v"]) -> tuple[VertexLooks, Samples]:
    """What was seen, without what is not of the colour that most looks at the hands show."""
    weight, color = looks.weight[:, hands], looks.color[:, hands]
    if weight.sum() < SEEN_WEIGHT:
        return looks, samples
    usual = np.array([_median(color[..., channel].ravel(), weight.ravel()) for channel in range(3)])
    kept = looks.weight.copy()
    kept[:, hands] *= np.linalg.norm(color - usual, axis=-1) < OTHER_COLOR
    mean = samples.color_weight.copy()
    mean[hands] *= np.linalg.norm(samples.color[hands] - usual, axis=-1) < OTHER_COLOR
    return replace(looks, weight=kept), replace(samples, color_weight=mean)


def _median(values: Float[np.ndarray, "n"], weight: Float[np.ndarray, "n"]) -> float:
    """The value that half of the weight lies below."""
    order = values.argsort()
    mass = weight[order].cumsum()
    return float(values[order[np.searchsorted(mass, mass[-1] / 2)]])
