"""The normal map: folds and features that the keyframes' normals show, laid onto the surface in its tangent space.

Poses are fitted some degrees wrongly, each frame's a little otherwise, so that of their normals only what is finer than
a hand is taken; the surface's own broad shape stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.atlas import Atlas
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.mesh_shape import averaging
from dancedepth.pipeline.tangents import tangent_frame, tangents, unit
from dancedepth.pipeline.texture import Blend, Texels, looked_up, meeting, repeated
from dancedepth.pipeline.vertex_colors import VertexLooks, as_bytes, pixels_of, risen
from jaxtyping import Float, Int, UInt8

SHAPE_ROUNDS = 40
"""Of averaging over neighbours: what is left of the surface's own directions then is kept."""
SURE = 0.5
"""Normals of frames that are shorter, mixed with nothing at outlines, are not used."""
CLEAR_WEIGHT = 0.05, 0.35
"""A look's normals begin to count, and count wholly, at these weights."""
STEEP = 0.6, 0.8
"""And at these cosines to the surface's own: what stands off farther is another limb, or an edge, and no fold."""
FADE_ROUNDS = 6
"""Of averaging how much they count, so that details fade out and do not break off."""


@dataclass(frozen=True)
class NormalLayer:
    """The keyframes' normals in the surface's rest pose, shifted to the surface's own broad shape."""

    plain: Float[np.ndarray, "v 3"]
    """The surface's own normals at rest."""
    frames: list[Keyframe]
    turns: list[Float[np.ndarray, "v 9"]]
    """From rest to each frame's camera, by rows."""
    shift: Float[np.ndarray, "k v 3"]
    counts: Float[np.ndarray, "k v"]
    """0-1, how far a frame's normals are believed."""
    tangents: Float[np.ndarray, "k 4"]
    """Of the atlas's vertices, at rest."""
    source: Int[np.ndarray, "k"]

    def carried(self, frame: int) -> Float[np.ndarray, "v 16"]:
        """The turn, the shift, the surface's own normal and how much the frame's counts."""
        return np.column_stack([self.turns[frame], self.shift[frame], self.plain, self.counts[frame]])

    def stroke(
        self, frame: int, at_px: Float[np.ndarray, "s 2"], carried: Float[np.ndarray, "s 16"]
    ) -> Float[np.ndarray, "s 3"]:
        """The frame's normals, turned back and shifted; the surface's own where it has none."""
        turned, sure = _turned_back(self.frames[frame], at_px, carried[:, :9])
        own, shifted = carried[:, 12:15], turned + carried[:, 9:12]
        counts = carried[:, 15] * sure * _alike(shifted, own)
        return own + counts[:, None] * (shifted - own)

    def finished(self, values: Float[np.ndarray, "n 3"], texels: Texels) -> UInt8[np.ndarray, "n 3"]:
        """In tangent space: +x along u, +y along v, +z outwards; 0-255 for -1 to 1."""
        normal = unit(texels.values(self.plain[self.source]))
        mixed = texels.values(self.tangents)
        along, up = tangent_frame(normal, mixed)
        local = np.stack([np.einsum("nd,nd->n", values, axis) for axis in (along, up, normal)], axis=1)
        return as_bytes(unit(local) * 0.5 + 0.5)


def normal_layer(
    normals: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    vertices: Float[np.ndarray, "v 3"],
    atlas: Atlas,
    looks: VertexLooks,
    made: Blend,
    frames: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
    turns: list[Float[np.ndarray, "v 9"]],
) -> NormalLayer:
    """The layer of a surface at rest, painted by the frames that paint its colours.

    Args:
        normals: of the vertices, at rest.
        looks: of the colours; their weights are used.
        made: of the colours; its shares are used.
        posed: the vertices in each keyframe's camera.
        turns: the skin's rotation at each vertex from rest to that camera, by rows.
    """
    off, sure = np.zeros_like(made.shift), np.zeros(made.share.shape, bool)
    for k, (frame, at, turn) in enumerate(zip(frames, posed, turns, strict=True)):
        turned, sure[k] = _turned_back(frame, pixels_of(at, frame.camera), turn)
        off[k] = normals - turned
    mean = averaging(len(normals), faces)
    share = made.share * sure
    shift = meeting(mean, share, off, SHAPE_ROUNDS)
    counts = sure * risen(looks.weight, CLEAR_WEIGHT)
    shifted = normals - off + shift
    counts = np.minimum(counts, repeated(mean, (counts * _alike(shifted, normals)).T, FADE_ROUNDS).T)
    split = tangents(vertices[atlas.source], atlas.faces, normals[atlas.source], atlas.uv)
    return NormalLayer(normals, frames, turns, shift, counts.astype(np.float32), split, atlas.source)


def _alike(shifted: Float[np.ndarray, "*k v 3"], own: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "*k v"]:
    """1 where normals are near the surface's own, 0 where they are far off."""
    length = np.sqrt(np.einsum("...d,...d->...", shifted, shifted))
    return risen(np.einsum("...d,...d->...", shifted, own) / np.maximum(length, 1e-6), STEEP)


def _turned_back(
    frame: Keyframe, at_px: Float[np.ndarray, "s 2"], turn: Float[np.ndarray, "s 9"]
) -> tuple[Float[np.ndarray, "s 3"], np.ndarray]:
    """A frame's unit normals at places of its picture, at rest; and where it has any."""
    assert frame.normals is not None
    seen = looked_up(frame.normals, at_px) * 2 - 1
    sure = np.einsum("sd,sd->s", seen, seen) > SURE**2
    return unit(np.einsum("sij,si->sj", turn.reshape(-1, 3, 3), seen)), sure
