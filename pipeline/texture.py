"""The texture: each texel takes its detail from the one keyframe that sees it best, its tone from all of them.

Colours are one layer of it; what else keyframes say of the surface is painted with the same strokes (`Layer`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.atlas import Atlas
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.mesh_shape import averaging
from dancedepth.pipeline.texture_kernel import mix_corners
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
TEXELS_AT_ONCE = 1 << 17
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
    smooth = repeated(mean, ranks.T, PATCH_ROUNDS).T * np.clip(looks.weight / CLEAR_WEIGHT, 0, 1)
    share = _best_shares(smooth) * trust
    return Blend(share, meeting(mean, share, agreed - looks.color, TONE_ROUNDS))


def meeting(
    mean: Any, share: Float[np.ndarray, "k v"], off: Float[np.ndarray, "k v 3"], rounds: int
) -> Float[np.ndarray, "k v 3"]:
    """What brings each frame to what the surface has, smoothly: the mean of `off` around each vertex, by share.

    Args:
        mean: `averaging` of the surface; taken `rounds` times.
        off: of each frame's own from the surface's.
    """
    inside = repeated(mean, share.T, rounds).T
    parts = (share[..., None] * off).transpose(1, 0, 2)
    spread = repeated(mean, parts.reshape(len(parts), -1), rounds).reshape(parts.shape).transpose(1, 0, 2)
    smooth: np.ndarray = spread / np.maximum(inside, 1e-6)[..., None]
    return smooth


def _best_shares(weight: Float[np.ndarray, "k v"]) -> Float[np.ndarray, "k v"]:
    """Share of each look at a vertex: near one for the best, near zero for the others."""
    best = weight.max(axis=0)
    power = (weight / np.maximum(best, 1e-9)) ** BEST_POWER
    shares: np.ndarray = power / np.maximum(power.sum(axis=0), 1e-9) * (best > 0)
    return shares


def repeated(matrix: Any, values: np.ndarray, times: int) -> np.ndarray:
    """The matrix applied so often."""
    for _ in range(times):
        values = matrix @ values
    return values


def vertex_paint(color: Float[np.ndarray, "v 3"], looks: VertexLooks, made: Blend) -> Float[np.ndarray, "v 3"]:
    """The texture's colour, averaged over each vertex' surroundings."""
    total = PLAIN_SHARE + made.share.sum(axis=0)
    seen = np.einsum("kv,kvd->vd", made.share, looks.color + made.shift)
    result: np.ndarray = (PLAIN_SHARE * color + seen) / total[:, None]
    return result


@dataclass(frozen=True)
class Texels:
    """Those of a square texture that lie in a triangle."""

    index: Int[np.ndarray, "n"]
    """Row by row from the top."""
    face: Int[np.ndarray, "n"]
    corners: Int[np.ndarray, "n 3"]
    """The triangle's, in the atlas."""
    bary: Float[np.ndarray, "n 3"]
    """Where in it the texel's centre lies."""

    def parts(self) -> Iterator[tuple[slice, Texels]]:
        """So many at a time that what is worked out for them takes little room."""
        for start in range(0, len(self.index), TEXELS_AT_ONCE):
            some = slice(start, start + TEXELS_AT_ONCE)
            yield some, Texels(self.index[some], self.face[some], self.corners[some], self.bary[some])

    def values(self, at_corners: Float[np.ndarray, "k c"]) -> Float[np.ndarray, "n c"]:
        """The texels' own of what the atlas's vertices have."""
        return _interpolate(at_corners, self.corners, self.bary)


class Layer(Protocol):
    """One thing that keyframes say of the surface."""

    @property
    def plain(self) -> Float[np.ndarray, "v c"]:
        """What every vertex has where no frame says anything."""

    def carried(self, frame: int) -> Float[np.ndarray, "v n"]:
        """What a frame's strokes need to know of the vertices around a texel."""

    def stroke(
        self, frame: int, at_px: Float[np.ndarray, "s 2"], carried: Float[np.ndarray, "s n"]
    ) -> Float[np.ndarray, "s c"]:
        """What a frame says at these places of its picture."""

    def finished(self, values: Float[np.ndarray, "n c"], texels: Texels) -> UInt8[np.ndarray, "n 3"]:
        """The texels as they are stored."""


@dataclass(frozen=True)
class ColorLayer:
    """A frame's pixels plus its shift, which is two-band blending (Burt and Adelson 1983) with a lower band that lives
    on the surface and hides the seams between frames.
    """

    plain: Float[np.ndarray, "v 3"]
    """The smooth colour of every vertex."""
    looks: VertexLooks
    made: Blend
    frames: list[Keyframe]

    def carried(self, frame: int) -> Float[np.ndarray, "v 3"]:
        """The shift."""
        return self.made.shift[frame]

    def stroke(
        self, frame: int, at_px: Float[np.ndarray, "s 2"], carried: Float[np.ndarray, "s 3"]
    ) -> Float[np.ndarray, "s 3"]:
        """Balanced pixels, shifted."""
        return looked_up(self.frames[frame].rgb, at_px) * self.looks.gain[frame] + carried

    def finished(self, values: Float[np.ndarray, "n 3"], texels: Texels) -> UInt8[np.ndarray, "n 3"]:
        """In bytes."""
        return as_bytes(values)


def bake(
    atlas: Atlas,
    layers: list[Layer],
    made: Blend,
    frames: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
    size_px: int,
) -> list[UInt8[np.ndarray, "t t 3"]]:
    """Paint the atlas with all layers, one picture each.

    Args:
        posed: the surface's vertices in each keyframe's camera.
    """
    texels = _texels(atlas, size_px)
    corners, bary = atlas.source[texels.corners], texels.bary
    total = np.full((len(bary), 1), PLAIN_SHARE, np.float32)
    paint = PLAIN_SHARE * _interpolate(np.column_stack([layer.plain for layer in layers]), corners, bary)

    def strokes(k: int) -> tuple[Int[np.ndarray, "s"], Float[np.ndarray, "s 1"], Float[np.ndarray, "s c"]]:
        """The texels that frame `k` has a share in, that share, and its paint; none of what hides them there."""
        share, off = made.share[k], behind_m(frames[k], posed[k])
        rows = np.flatnonzero((share[atlas.source[atlas.faces]].max(axis=1) > NOTICED)[texels.face])
        carried = [layer.carried(k) for layer in layers]
        mixed = np.column_stack([share, share * off, posed[k], *carried])
        values = _interpolate(mixed, corners[rows], bary[rows])
        share, at = values[:, :1], values[:, 2:5]
        hidden_m = behind_m(frames[k], at)[:, None] - values[:, 1:2] / np.maximum(share, 1e-9)
        share = share * np.exp(-((hidden_m / OFF_M) ** 2))
        at_px, own = pixels_of(at, frames[k].camera), _split(values[:, 5:], carried)
        said = [layer.stroke(k, at_px, part) for layer, part in zip(layers, own, strict=True)]
        return rows, share, share * np.column_stack(said)

    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for rows, share, stroke in workers.map(strokes, range(len(frames))):
            paint[rows] += stroke
            total[rows] += share
    images = [np.empty((len(bary), 3), np.uint8) for _ in layers]
    for some, part in texels.parts():
        values = _split(paint[some] / total[some], [layer.plain for layer in layers])
        for image, layer, own in zip(images, layers, values, strict=True):
            image[some] = layer.finished(own, part)
    nearest = _nearest(texels.index, size_px)
    return [image[nearest] for image in images]


def _split(values: Float[np.ndarray, "n c"], widths_of: list[np.ndarray]) -> list[np.ndarray]:
    """Columns of several arrays that lie side by side."""
    return np.split(values, np.cumsum([array.shape[1] for array in widths_of])[:-1], axis=1)


def _texels(atlas: Atlas, size_px: int) -> Texels:
    flat = np.stack((atlas.uv[:, 0] * size_px, (1 - atlas.uv[:, 1]) * size_px, np.ones(len(atlas.uv))), axis=1)
    raster = rasterize(
        torch.from_numpy(flat.astype(np.float32)),
        torch.from_numpy(atlas.faces),
        Camera(1.0, 0.0, 0.0, size_px, size_px),
    )
    face = raster.face_index.numpy().ravel()
    some = np.flatnonzero(face >= 0)
    return Texels(some, face[some], atlas.faces[face[some]], raster.barycentric.numpy().reshape(-1, 3)[some])


def _interpolate(
    values: Float[np.ndarray, "v c"], corners: Int[np.ndarray, "n 3"], bary: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n c"]:
    mixed = np.empty((len(corners), values.shape[1]), np.float32)
    mix_corners(np.ascontiguousarray(values, np.float32), corners, bary, mixed)
    return mixed


def looked_up(rgb: UInt8[np.ndarray, "h w 3"], at_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    """Bilinear colours 0-1 at image positions (pixel centres at +0.5)."""
    rows = max(1, -(-len(at_px) // ROWS_AT_ONCE))
    places = np.zeros((rows * ROWS_AT_ONCE, 2), np.float32)
    places[: len(at_px)] = at_px - 0.5
    x, y = places.reshape(rows, ROWS_AT_ONCE, 2)[..., 0], places.reshape(rows, ROWS_AT_ONCE, 2)[..., 1]
    found = cv2.remap(rgb, x.copy(), y.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(at_px)] / np.float32(255)


def _nearest(painted: Int[np.ndarray, "n"], size_px: int) -> Int[np.ndarray, "t t"]:
    """For each texel the nearest one of those painted, so that filtering finds no black at charts' edges."""
    empty = np.ones((size_px, size_px), np.uint8)
    empty.ravel()[painted] = 0
    _, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    order = np.zeros(int(label.max()) + 1, np.int64)
    order[label.ravel()[painted]] = np.arange(len(painted))
    nearest: np.ndarray = order[label]
    return nearest
