"""What is seen beside another limb may be that limb's, or its shadow: fits are off by centimetres and paint arms on the
dress, and arms that hang down darken what they touch.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.leg_gaps import ARM_BONES, LEG_BONES
from dancedepth.pipeline.neighbours import nearest
from dancedepth.pipeline.vertex_colors import VertexLooks, consensus, pixels_of
from dancedepth.pipeline.volume_sampling import Samples
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

LIMBS = ((".L", ARM_BONES), (".R", ARM_BONES), (".L", LEG_BONES), (".R", LEG_BONES), ("", ("head", "eye", "neck")))
"""Ends and beginnings of the names of their bones; all others are the trunk's."""
HEAD, TRUNK = 4, 5
NEAR_M = 0.08
"""In the picture: how far the fit may be off."""
APART_M = 0.2
"""At rest: limbs that are joined here have a border here, and looks beside it are as good as others."""
PICTURE_PX = 256
"""The longer side at which limbs are told apart."""
PALETTE_SPACING_M = 0.05
"""Of the vertices whose colours tell what is worn around them."""
PALETTE_REACH_M = 0.4
PALETTE_SIZE, OTHERS_SIZE = 16, 6
"""Colours around a vertex, and around what is seen beside it, that a look is held against."""
OWN_RANK = 5
"""So many of a vertex's palette may be wrong themselves."""
SURE_WEIGHT = 0.3
"""Of all looks that are not beside another limb, from which on a vertex's own colour is known."""
UNLIKE, LIKER = 0.12, 0.8
"""A look is the other limb's where its colour is farther than the first from what its own limb wears around it, and
nearer than this share of that to what the other one wears."""
SHADED = 0.1
"""A look is in the other limb's shade where it is darker than its palette by this."""
UNKNOWN, MOST_UNLIKE = 10.0, 2.0
"""Stands for a colour of a palette that is not known; known ones differ by less than the second."""
LIGHTNESS = 0.4
"""What differences in lightness count against those in hue: hands beside the body are in its shade."""


@dataclass(frozen=True)
class Parts:
    """The surface's vertices as parts of limbs."""

    rest: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    limb: Int[np.ndarray, "v"]


def limbs_of(bones: Int[np.ndarray, "v"], names: tuple[str, ...]) -> Int[np.ndarray, "v"]:
    """The limb that each vertex belongs to, by the bone that moves it most."""
    of_bone = np.full(len(names), TRUNK)
    for limb, (end, starts) in enumerate(LIMBS):
        of_bone[[name.startswith(starts) and name.endswith(end) for name in names]] = limb
    result: np.ndarray = of_bone[bones]
    return result


def own_looks(
    looks: VertexLooks,
    samples: Samples,
    parts: Parts,
    frames: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
) -> tuple[VertexLooks, Samples]:
    """What was seen, without looks beside another limb that are in its shade or of its colour, not the own limb's."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        beside = np.stack(list(workers.map(partial(_beside, parts), frames, posed)))
    clear = consensus(replace(looks, weight=np.where(beside < 0, looks.weight, 0)))
    palette = _palettes(parts, clear.color, clear.weight)
    k, v = np.nonzero((beside >= 0) & (looks.weight > 0))
    color = looks.color[k, v]
    own = _away(color, palette[v], OWN_RANK)
    others = _away(color, palette[beside[k, v], :OTHERS_SIZE], 0)
    wrong = (own > UNLIKE) & (own < MOST_UNLIKE) & (others < LIKER * own)
    darkest = np.partition(palette.mean(axis=-1), OWN_RANK, axis=1)[v, OWN_RANK]
    wrong |= (darkest - color.mean(axis=-1) > SHADED) & (darkest < MOST_UNLIKE)
    kept = looks.weight.copy()
    kept[k[wrong], v[wrong]] = 0
    share = kept.sum(axis=0) / np.maximum(looks.weight.sum(axis=0), 1e-9)
    trusted = np.where(looks.weight.any(axis=0), share, 1) * samples.color_weight
    return replace(looks, weight=kept), replace(samples, color_weight=trusted)


def _beside(parts: Parts, frame: Keyframe, posed: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, "v"]:
    """A vertex of the nearest other limb (but the head) that is seen within `NEAR_M` of each vertex; -1 for none."""
    small = frame.camera.resized(*_size(frame))
    corners = torch.from_numpy(parts.faces).long()
    seen = rasterize(torch.from_numpy(posed).float(), corners, small, front_only=True).face_index.numpy()
    vertex = np.where(seen >= 0, parts.faces[seen, 0], -1)
    limb = np.where(seen >= 0, parts.limb[vertex], -1)
    pixel_m = float(np.median(posed[:, 2])) / small.focal_px
    at = np.floor(pixels_of(posed, small)).astype(np.int64)
    column, row = at[:, 0].clip(0, small.width - 1), at[:, 1].clip(0, small.height - 1)
    least, result = np.full(len(posed), NEAR_M), np.full(len(posed), -1)
    for other in range(TRUNK + 1):
        if other == HEAD or not (limb == other).any():
            continue
        far, place = distance_transform_edt(limb != other, return_indices=True)
        found = vertex[place[0][row, column], place[1][row, column]]
        far_m = far[row, column] * pixel_m
        apart = np.linalg.norm(parts.rest - parts.rest[found], axis=1) > APART_M
        nearer = (parts.limb != other) & apart & (far_m < least)
        least[nearer], result[nearer] = far_m[nearer], found[nearer]
    return result


def _size(frame: Keyframe) -> tuple[int, int]:
    share = min(1.0, PICTURE_PX / max(frame.camera.width, frame.camera.height))
    return max(1, round(frame.camera.width * share)), max(1, round(frame.camera.height * share))


def _palettes(
    parts: Parts, color: Float[np.ndarray, "v 3"], weight: Float[np.ndarray, "v"]
) -> Float[np.ndarray, "v p 3"]:
    """For each vertex the colours that are known around it on its own limb; `UNKNOWN` where fewer are."""
    palette = np.full((len(color), PALETTE_SIZE, 3), UNKNOWN, np.float32)
    known = np.flatnonzero(weight > SURE_WEIGHT)
    cells = np.rint(parts.rest[known] / PALETTE_SPACING_M).astype(np.int64)
    for limb in np.unique(parts.limb[known]):
        own = known[parts.limb[known] == limb]
        _, first = np.unique(cells[parts.limb[known] == limb], axis=0, return_index=True)
        spread, rows = own[first], np.flatnonzero(parts.limb == limb)
        count = min(PALETTE_SIZE, len(spread))
        distance, index = nearest(cKDTree(parts.rest[spread]), parts.rest[rows], count)
        distance, index = distance.reshape(len(rows), count), index.reshape(len(rows), count)
        near = color[spread[index]]
        near[distance > PALETTE_REACH_M] = UNKNOWN
        palette[rows, :count] = near
    return palette


def _away(color: Float[np.ndarray, "n 3"], palette: Float[np.ndarray, "n p 3"], rank: int) -> Float[np.ndarray, "n"]:
    """Each colour's distance to its palette: to the nearest but `rank` of it."""
    off = palette - color[:, None]
    lightness = off.mean(axis=-1, keepdims=True)
    distance = np.linalg.norm(off - (1 - LIGHTNESS) * lightness, axis=-1)
    result: np.ndarray = np.partition(distance, rank, axis=1)[:, rank]
    return result
