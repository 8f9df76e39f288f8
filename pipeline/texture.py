"""The texture: each texel takes its detail from the one keyframe that sees it best, its tone from all of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.atlas import Atlas
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.mesh_shape import averaging
from dancedepth.pipeline.vertex_colors import OFF_M, VertexLooks, agreement, as_bytes, behind_m, pixels_of
from jaxtyping import Float, Int, UInt8

CLEAR_WEIGHT = 0.15
"""Frames that see a vertex less well than this, at their outlines, do not paint it however well they see its patch."""
PATCH_ROUNDS = 12
"""Of averaging over neighbours, so that patches are about a hand large and have calm outlines."""
TONE_ROUNDS = 40
"""The same for the shifts of tone: they keep nothing as small as an eye."""
BEST_POWER = 64
"""Looks count by this power of their weight: where one is better, it is nearly alone, without a hard edge."""
NOTICED = 0.02
"""Shares below this are left away."""
PLAIN_SHARE = 0.05
"""Of the smooth colour everywhere, so that it takes over where nothing was seen."""
ROWS_AT_ONCE = 4096
"""Texels are looked up in the picture as an image this wide."""


@dataclass(frozen=True)
class Blend:
    """How the keyframes make up the surface."""

    share: Float[np.ndarray, "k v"]
    """Of each frame in each vertex; they sum to the vertex' trust, which is 0 where nothing was seen."""
    shift: Float[np.ndarray, "k v 3"]
    """What is added to a frame's balanced colour, so that it meets its neighbours'; smooth over the surface."""


def blend(
    looks: VertexLooks, agreed: Float[np.ndarray, "v 3"], trust: Float[np.ndarray, "v"], faces: Int[np.ndarray, "f 3"]
) -> Blend:
    """Give every part of the surface to the frame that sees it best, in patches as large as a hand."""
    mean = averaging(len(agreed), faces)
    ranks = looks.weight * agreement(looks, agreed)
    smooth = _repeated(mean, ranks.T, PATCH_ROUNDS).T * np.clip(looks.weight / CLEAR_WEIGHT, 0, 1)
    share = _best_shares(smooth) * trust
    inside = _repeated(mean, share.T, TONE_ROUNDS).T
    off = share[..., None] * (agreed - looks.color)
    spread = _repeated(mean, off.transpose(1, 0, 2).reshape(len(agreed), -1), TONE_ROUNDS)
    spread = spread.reshape(len(agreed), len(share), 3).transpose(1, 0, 2)
    return Blend(share, spread / np.maximum(inside, 1e-6)[..., None])


def _best_shares(weight: Float[np.ndarray, "k v"]) -> Float[np.ndarray, "k v"]:
    """Share of each look at a vertex: near one for the best, near zero for the others."""
    best = weight.max(axis=0)
    power = (weight / np.maximum(best, 1e-9)) ** BEST_POWER
    shares: np.ndarray = power / np.maximum(power.sum(axis=0), 1e-9) * (best > 0)
    return shares


def _repeated(matrix: Any, values: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        values = matrix @ values
    return values


def vertex_paint(color: Float[np.ndarray, "v 3"], looks: VertexLooks, made: Blend) -> Float[np.ndarray, "v 3"]:
    """The texture's colour, averaged over each vertex' surroundings."""
    total = PLAIN_SHARE + made.share.sum(axis=0)
    seen = np.einsum("kv,kvd->vd", made.share, looks.color + made.shift)
    result: np.ndarray = (PLAIN_SHARE * color + seen) / total[:, None]
    return result


def bake(
    atlas: Atlas,
    color: Float[np.ndarray, "v 3"],
    looks: VertexLooks,
    made: Blend,
    frames: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
    size_px: int,
) -> UInt8[np.ndarray, "t t 3"]:
    """Paint the atlas: a texel is its frame's pixel plus the frame's shift, which is two-band blending (Burt and
    Adelson 1983) with a lower band that lives on the surface and hides the seams between frames.

    Args:
        color: the smooth colour of every vertex of the surface, which shows where no frame does.
        posed: the surface's vertices in each keyframe's camera.
    """
    corners = atlas.source[atlas.faces]
    face, weights = _texels(atlas, size_px)
    some = np.flatnonzero(face >= 0)
    texel_face, bary = face[some], weights[some]
    total = np.full((len(some), 1), PLAIN_SHARE, np.float32)
    paint = PLAIN_SHARE * _interpolate(color, corners[texel_face], bary)

    def strokes(k: int) -> tuple[Int[np.ndarray, "s"], Float[np.ndarray, "s 1"], Float[np.ndarray, "s 3"]]:
        """The texels that frame `k` has a share in, that share, and its paint; none of what hides them there."""
        rows = np.flatnonzero((made.share[k][corners].max(axis=1) > NOTICED)[texel_face])
        share, off = made.share[k], behind_m(frames[k], posed[k])
        mixed = np.column_stack([share, share * off, posed[k], made.shift[k]])
        values = _interpolate(mixed, corners[texel_face[rows]], bary[rows])
        share, at = values[:, :1], values[:, 2:5]
        hidden_m = behind_m(frames[k], at)[:, None] - values[:, 1:2] / np.maximum(share, 1e-9)
        share = share * np.exp(-((hidden_m / OFF_M) ** 2))
        pixels = looked_up(frames[k].rgb, pixels_of(at, frames[k].camera))
        return rows, share, share * (pixels * looks.gain[k] + values[:, 5:])

    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for rows, share, stroke in workers.map(strokes, range(len(frames))):
            paint[rows] += stroke
            total[rows] += share
    image = np.zeros((size_px * size_px, 3), np.uint8)
    image[some] = as_bytes(paint / total)
    return _bled(image.reshape(size_px, size_px, 3), (face >= 0).reshape(size_px, size_px))


def _texels(atlas: Atlas, size_px: int) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """The triangle in which each texel's centre lies (-1: none), row by row from the top, and where in it."""
    flat = np.stack((atlas.uv[:, 0] * size_px, (1 - atlas.uv[:, 1]) * size_px, np.ones(len(atlas.uv))), axis=1)
    raster = rasterize(
        torch.from_numpy(flat.astype(np.float32)),
        torch.from_numpy(atlas.faces),
        Camera(1.0, 0.0, 0.0, size_px, size_px),
    )
    return raster.face_index.numpy().ravel(), raster.barycentric.numpy().reshape(-1, 3)


def _interpolate(
    values: Float[np.ndarray, "v c"], corners: Int[np.ndarray, "n 3"], bary: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n c"]:
    table, shares = torch.from_numpy(np.ascontiguousarray(values, np.float32)), torch.from_numpy(bary)
    index = torch.from_numpy(corners)
    parts = [table.index_select(0, index[:, k]) * shares[:, k : k + 1] for k in range(3)]
    result: np.ndarray = (parts[0] + parts[1] + parts[2]).numpy()
    return result


def looked_up(rgb: UInt8[np.ndarray, "h w 3"], at_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    """Bilinear colours 0-1 at image positions (pixel centres at +0.5)."""
    rows = max(1, -(-len(at_px) // ROWS_AT_ONCE))
    places = np.zeros((rows * ROWS_AT_ONCE, 2), np.float32)
    places[: len(at_px)] = at_px - 0.5
    x, y = places.reshape(rows, ROWS_AT_ONCE, 2)[..., 0], places.reshape(rows, ROWS_AT_ONCE, 2)[..., 1]
    found = cv2.remap(rgb, x.copy(), y.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(at_px)] / np.float32(255)


def _bled(image: UInt8[np.ndarray, "t t 3"], known: np.ndarray) -> UInt8[np.ndarray, "t t 3"]:
    """Unpainted texels take the nearest painted one's colour, so that filtering finds no black at charts' edges."""
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(known)
    order = np.zeros(int(label.max()) + 1, np.int64)
    order[label[rows, columns]] = rows * image.shape[1] + columns
    filled: np.ndarray = image.reshape(-1, 3)[order[label]]
    return filled
