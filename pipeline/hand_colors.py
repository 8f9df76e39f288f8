"""Hands are of one colour: fingers are not quite where they are fitted, and what lies behind would be painted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dancedepth.pipeline.vertex_colors import VertexLooks
from dancedepth.pipeline.volume_sampling import Samples
from jaxtyping import Bool, Float

OTHER_COLOR = 0.3
"""Of 1 in each channel: nails, shadows and creases differ by less, cloth and hair by more."""
SEEN_WEIGHT = 1.0
"""Of all looks at hands, or at the face, from which on their colour is known."""
BARE_SHARE = 0.1
"""Of the looks at hands that are of the face's colour, from which on they are bare."""


def of_one_color(
    looks: VertexLooks, samples: Samples, hands: Bool[np.ndarray, "v"], face: Bool[np.ndarray, "v"]
) -> tuple[VertexLooks, Samples]:
    """What was seen, with looks at the hands by how much they are of their colour: what those that are like the face
    show, or, where hardly any is (in gloves), what most of them show.
    """
    weight, color = looks.weight[:, hands], looks.color[:, hands]
    if weight.sum() < SEEN_WEIGHT:
        return looks, samples
    own = _usual(color, weight)
    if looks.weight[:, face].sum() >= SEEN_WEIGHT:
        skin = _usual(looks.color[:, face], looks.weight[:, face])
        bare = weight * _near(color, skin)
        own = _usual(color, bare) if bare.sum() > BARE_SHARE * weight.sum() else own
    kept, mean = looks.weight.copy(), samples.color_weight.copy()
    kept[:, hands] *= _alike(color, own)
    mean[hands] *= _alike(samples.color[hands], own)
    return replace(looks, weight=kept), replace(samples, color_weight=mean)


def _near(color: Float[np.ndarray, "*n 3"], own: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "*n"]:
    near: np.ndarray = np.linalg.norm(color - own, axis=-1) < OTHER_COLOR
    return near


def _alike(color: Float[np.ndarray, "*n 3"], own: Float[np.ndarray, "3"]) -> Float[np.ndarray, "*n"]:
    """1 for the hands' own colour, falling to 0 for others (Tukey's biweight)."""
    off = np.linalg.norm(color - own, axis=-1) / OTHER_COLOR
    alike: np.ndarray = np.maximum(1 - off**2, 0) ** 2
    return alike


def _usual(color: Float[np.ndarray, "k v 3"], weight: Float[np.ndarray, "k v"]) -> Float[np.ndarray, "3"]:
    return np.array([_median(color[..., channel].ravel(), weight.ravel()) for channel in range(3)])


def _median(values: Float[np.ndarray, "n"], weight: Float[np.ndarray, "n"]) -> float:
    """The value that half of the weight lies below."""
    order = values.argsort()
    mass = weight[order].cumsum()
    return float(values[order[np.searchsorted(mass, mass[-1] / 2)]])
