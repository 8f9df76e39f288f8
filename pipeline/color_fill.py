"""Colours of what no frame saw: guessed from what the dancer shows elsewhere, and joined smoothly to what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from dancedepth.pipeline.mesh_shape import laplacian, vertex_areas
from dancedepth.pipeline.neighbours import nearest
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

DEPTH_SHARE = 0.25
"""Distances from front to back count this much: a back looks most like the front at its height."""
MIRRORED_M = 0.06
"""The other side of the body lends its colours as if it were this much farther away."""
LENDER_SPACING_M = 0.02
LENDERS = 70
"""Colours looked at for a guess, a hand's breadth around; their median is taken, so that prints, necklines and
misplaced hands do not appear again."""
TRUSTED = 0.6
"""Vertices that were seen this well lend their colour."""
BLEND_M = 0.05
"""Differences between guess and sight fade over about this distance."""
HOLD = 60.0
"""Pull of what was seen, against the guess's 1."""
CROWN_SHARE = 0.87
"""Of the head's height: above it is hair, if there is any."""
HIGHEST_SHARE, LEAST_SHARE = 0.93, 0.6
"""Hair has the colour of the highest that was seen of the head: above this share of it, and of the head's height at
least as high as this share.
"""
TOLERANCE, MOST_STEPS = 1e-4, 400
"""Of the solution: its residual against the right side's length."""
SMALLEST = 1e-300
EAR_SHARE, NAPE_SHARE = 0.5, 0.22
HAIR_EDGE_M = 0.02
HAIR_COLOR = 0.15
"""What is no brighter than the head's top by more than this in any channel is hair: tops shine, ends are dark."""
BESIDE_M = 0.04, 0.15
"""From the head's middle: beside the neck, where hair hangs or the shoulders begin."""
SLICE_M, LONGEST_SLICES, LEAST_SEEN, HAIR_SHARE = 0.02, 15, 8, 0.6
"""It is followed down slice by slice, as long as so many vertices are seen and this share of them is hair."""
HEAD_FROM = 0.1, 0.4
"""Hair begins between these shares of the head's bones."""


@dataclass(frozen=True)
class Head:
    """Where the head is at rest: which vertices are its own."""

    own: Bool[np.ndarray, "v"]
    share: Float[np.ndarray, "v"]
    """How far each vertex moves with the head, 0-1."""
    middle_y: float
    """The plane of the ears, body axes (y back)."""
    eyes: Float[np.ndarray, "2 3"] | None = None
    """Their middles, where they are known."""

    def front(self, vertices: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "v"]:
        """Of the rest surface's vertices, those of the head that lie before the ears."""
        before: np.ndarray = self.own & (vertices[:, 1] < self.middle_y)
        return before


def filled_colors(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    color: Float[np.ndarray, "v 3"],
    trust: Float[np.ndarray, "v"],
    head: Head | None,
) -> Float[np.ndarray, "v 3"]:
    """Colours for all vertices of the rest surface, given colours that were seen and how well (0-1).

    The guess is joined to what was seen as in Poisson image editing (Perez et al. 2003), screened: their difference is
    spread over the surface harmonically and fades within `BLEND_M`.
    """
    if not (trust > 0).any():
        return np.full_like(color, 0.5)
    guess = guessed_colors(vertices, color, trust)
    if head is not None:
        guess = _with_hair(vertices, guess, color, trust, head)
    return guess + _spread(vertices, faces, color - guess, trust)


def guessed_colors(
    vertices: Float[np.ndarray, "v 3"], color: Float[np.ndarray, "v 3"], trust: Float[np.ndarray, "v"]
) -> Float[np.ndarray, "v 3"]:
    """The median colour of what was seen at the same place of the front, or of the body's other side."""
    seen = _sparse(vertices, trust >= min(TRUSTED, float(trust.max())))
    flat = np.column_stack([vertices * np.array([1, DEPTH_SHARE, 1]), np.zeros(len(vertices))])
    mirrored = flat[seen] * np.array([-1, 1, 1, 1]) + np.array([0, 0, 0, MIRRORED_M])
    lenders = np.concatenate([flat[seen], mirrored])
    count = min(LENDERS, len(lenders))
    _, index = nearest(cKDTree(lenders), flat, count)
    lent = np.concatenate([color[seen], color[seen]])[index.reshape(len(flat), count)]
    median: np.ndarray = np.median(lent, axis=1)
    return median


def _sparse(vertices: Float[np.ndarray, "v 3"], some: Bool[np.ndarray, "v"]) -> Int[np.ndarray, "s"]:
    """One of `some` in every cell of `LENDER_SPACING_M`."""
    rows = np.flatnonzero(some)
    cells = np.floor(vertices[rows] / LENDER_SPACING_M).astype(np.int64)
    sparse: np.ndarray = rows[np.unique(cells, axis=0, return_index=True)[1]]
    return sparse


def _with_hair(
    vertices: Float[np.ndarray, "v 3"],
    guess: Float[np.ndarray, "v 3"],
    color: Float[np.ndarray, "v 3"],
    trust: Float[np.ndarray, "v"],
    head: Head,
) -> Float[np.ndarray, "v 3"]:
    """The back of the head looks like its top, not like the face.

    The hairline runs from the nape up behind the ears, and from above them forward to the crown. Hair that is seen to
    hang beside the neck hangs behind it too.
    """
    x, y, z = vertices.T
    low, high = z[head.own].min(), z[head.own].max()
    seen = head.own & (trust >= TRUSTED)
    highest = np.quantile(z[seen], HIGHEST_SHARE) if seen.any() else low
    if highest < low + LEAST_SHARE * (high - low):
        return guess
    top = seen & (z >= highest)
    forward = np.clip(((z - low) / (high - low) - EAR_SHARE) / (CROWN_SHARE - EAR_SHARE), 0, 1)
    line = head.middle_y - forward * (head.middle_y - y[head.own].min())
    behind = np.clip((y - line) / HAIR_EDGE_M + 0.5, 0, 1)
    nape, middle_x = low + NAPE_SHARE * (high - low), float(np.median(x[head.own]))
    hung, half_m = _hanging(vertices - np.array([middle_x, 0, 0]), nape, color, trust, np.median(color[top], axis=0))
    end, hair = min(nape, float(z[hung].min(initial=nape))), np.median(color[top | hung], axis=0)
    above = np.clip((z - end) / HAIR_EDGE_M + 0.5, 0, 1)
    crown = np.clip((z - low - CROWN_SHARE * (high - low)) / HAIR_EDGE_M + 0.5, 0, 1)
    own = np.clip((head.share - HEAD_FROM[0]) / (HEAD_FROM[1] - HEAD_FROM[0]), 0, 1)
    curtain = np.clip((half_m - np.abs(x - middle_x)) / HAIR_EDGE_M + 0.5, 0, 1) * (z < nape + HAIR_EDGE_M)
    share = np.maximum(behind * above * np.maximum(own, curtain), crown * own)[:, None]
    mixed: np.ndarray = share * hair + (1 - share) * guess
    return mixed


def _hanging(
    vertices: Float[np.ndarray, "v 3"],
    nape: float,
    color: Float[np.ndarray, "v 3"],
    trust: Float[np.ndarray, "v"],
    hair: Float[np.ndarray, "3"],
) -> tuple[Bool[np.ndarray, "v"], float]:
    """The vertices that show hair beside the neck, from `nape` down as far as it hangs, and its reach to the sides; x
    counts from the head's middle. None and 0 where the neck is bare.
    """
    aside, alike = np.abs(vertices[:, 0]), (color - hair).max(axis=1) < HAIR_COLOR
    beside = (trust >= TRUSTED) & (aside > BESIDE_M[0]) & (aside < BESIDE_M[1])
    hung, half_m = np.zeros(len(vertices), bool), 0.0
    for top in nape - SLICE_M * np.arange(LONGEST_SLICES):
        here = beside & (vertices[:, 2] <= top) & (vertices[:, 2] > top - SLICE_M)
        if here.sum() < LEAST_SEEN or alike[here].mean() < HAIR_SHARE:
            break
        hung |= here & alike
        half_m = max(half_m, float(np.percentile(aside[here & alike], 90)))
    return hung, half_m


def _spread(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    difference: Float[np.ndarray, "v 3"],
    trust: Float[np.ndarray, "v"],
) -> Float[np.ndarray, "v 3"]:
    from scipy.sparse import diags

    area = vertex_areas(vertices, faces)
    pull = HOLD * trust * area
    system = (diags(pull + area) + BLEND_M**2 * laplacian(vertices, faces)).tocsr()
    return _solved(system, pull[:, None] * difference)


def _solved(system: Any, right: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "v c"]:
    """Conjugate gradients with Jacobi's preconditioner, all columns at once: scipy's take one at a time and share their
    scalar products out among threads that cost more than they bring.
    """
    inverse = 1 / system.diagonal()[:, None]
    solution, residual = np.zeros_like(right), right.astype(np.float64)
    direction = scaled = inverse * residual
    power = np.einsum("vc,vc->c", residual, scaled)
    limit = TOLERANCE**2 * np.einsum("vc,vc->c", right, right)
    for _ in range(MOST_STEPS):
        if (np.einsum("vc,vc->c", residual, residual) <= limit).all():
            break
        image = system @ direction
        step = power / np.maximum(np.einsum("vc,vc->c", direction, image), SMALLEST)
        solution, residual = solution + step * direction, residual - step * image
        scaled = inverse * residual
        before, power = power, np.einsum("vc,vc->c", residual, scaled)
        direction = scaled + power / np.maximum(before, SMALLEST) * direction
    return solution
