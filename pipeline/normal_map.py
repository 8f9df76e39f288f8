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
from dancedepth.pipeline.texture import PLAIN_SHARE, Blend, Texels, looked_up, meeting, repeated
from dancedepth.pipeline.vertex_colors import VertexLooks, as_bytes, pixels_of, risen
from jaxtyping import Float, Int, UInt8

SHAPE_ROUNDS = 40
"""Of averaging over neighbours: what is left of the surface's own directions then is kept."""
SURE = 0.5
"""Normals of frames that are shorter, mixed with nothing at outlines, are not used."""
CLEAR_WEIGHT = 0.05, 0.35
"""A look's normals begin to count, and count wholly, at these weights."""
STEEP = 0.6, 0.8
"""And at these cosines to the surface's broad shape: what is farther off is another limb, or an edge, and no fold."""
BROAD_ROUNDS = 12
"""Of averaging the surface's own normals, for that shape."""
FADE_ROUNDS = 6
"""Of averaging how much they count, so that details fade out and do not break off."""


@dataclass(frozen=True)
class SeenNormals:
    """The keyframes' normals turned back to the surface's rest pose, and what brings them to its broad shape."""

    frames: list[Keyframe]
    turns: list[Float[np.ndarray, "v 3 3"]]
    """The skin's rotation at each vertex from rest to each frame's camera."""
    at_vertices: Float[np.ndarray, "k v 3"]
    """Turned back and shifted."""
    shift: Float[np.ndarray, "k v 3"]
    share: Float[np.ndarray, "k v"]
    """Of each frame in each vertex."""
    counts: Float[np.ndarray, "k v"]
    """0-1, how far a frame's normals are believed."""
    broad: Float[np.ndarray, "v 3"]
    """The surface's own normals without what is small on it."""

    def of_surface(self, own: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """Unit normals that all frames together give the vertices, whose own are `own`."""
        share = self.share * self.counts * _alike(self.at_vertices, self.broad)
        said = np.einsum("kv,kvd->vd", share, self.at_vertices - own)
        return unit(own + said / np.maximum(PLAIN_SHARE + self.share.sum(axis=0), 1e-6)[:, None])


def seen_normals(
    normals: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    looks: VertexLooks,
    made: Blend,
    frames: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
    turns: list[Float[np.ndarray, "v 3 3"]],
) -> SeenNormals:
    """What the frames that paint a surface's colours say of its normals.

    Args:
        normals: of the vertices, at rest.
        looks: of the colours; their weights are used.
        made: of the colours; its shares are used.
        posed: the vertices in each keyframe's camera.
        turns: as in `SeenNormals`.
    """
    turned, sure = np.zeros_like(made.shift), np.zeros(made.share.shape, bool)
    for k, (frame, at, turn) in enumerate(zip(frames, posed, turns, strict=True)):
        turned[k], sure[k] = _turned_back(frame, pixels_of(at, frame.camera), turn)
    mean = averaging(len(normals), faces)
    shift = meeting(mean, made.share * sure, normals - turned, SHAPE_ROUNDS)
    broad = unit(repeated(mean, normals, BROAD_ROUNDS))
    counts = sure * risen(looks.weight, CLEAR_WEIGHT)
    faded = repeated(mean, (counts * _alike(turned + shift, broad)).T, FADE_ROUNDS).T
    counts = np.minimum(counts, faded).astype(np.float32)
    return SeenNormals(frames, turns, turned + shift, shift, made.share, counts, broad)


@dataclass(frozen=True)
class NormalLayer:
    """What the keyframes' normals have beyond the surface's own, in its tangent space."""

    seen: SeenNormals
    plain: Float[np.ndarray, "v 3"]
    """The surface's own normals at rest."""
    tangents: Float[np.ndarray, "k 4"]
    """Of the atlas's vertices, at rest."""
    source: Int[np.ndarray, "k"]
    """Which vertex of the surface each of the atlas's is."""

    @classmethod
    def on(
        cls,
        vertices: Float[np.ndarray, "v 3"],
        normals: Float[np.ndarray, "v 3"],
        atlas: Atlas,
        seen: SeenNormals,
    ) -> NormalLayer:
        """On a surface at rest."""
        split = tangents(vertices[atlas.source], atlas.faces, normals[atlas.source], atlas.uv)
        return cls(seen, normals, split, atlas.source)

    def carried(self, frame: int) -> Float[np.ndarray, "v 19"]:
        """The turn, the shift, the surface's own normals and broad ones, and how much the frame's count."""
        seen = self.seen
        turn = seen.turns[frame].reshape(-1, 9)
        return np.column_stack([turn, seen.shift[frame], self.plain, seen.broad, seen.counts[frame]])

    def stroke(
        self, frame: int, at_px: Float[np.ndarray, "s 2"], carried: Float[np.ndarray, "s 19"]
    ) -> Float[np.ndarray, "s 3"]:
        """The frame's normals, turned back and shifted; the surface's own where it has none."""
        turn, shift, own, broad, counts = np.split(carried, (9, 12, 15, 18), axis=1)
        turned, sure = _turned_back(self.seen.frames[frame], at_px, turn.reshape(-1, 3, 3))
        shifted = turned + shift
        return own + counts * (sure * _alike(shifted, broad))[:, None] * (shifted - own)

    def finished(self, values: Float[np.ndarray, "n 3"], texels: Texels) -> UInt8[np.ndarray, "n 3"]:
        """In tangent space: +x along u, +y along v, +z outwards; 0-255 for -1 to 1."""
        normal = unit(texels.values(self.plain[self.source]))
        along, up = tangent_frame(normal, texels.values(self.tangents))
        local = np.stack([np.einsum("nd,nd->n", values, axis) for axis in (along, up, normal)], axis=1)
        return as_bytes(unit(local) * 0.5 + 0.5)


def _alike(said: Float[np.ndarray, "*k v 3"], broad: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "*k v"]:
    """1 where normals are near the surface's broad ones, 0 where they are far off."""
    length = np.sqrt(np.einsum("...d,...d->...", said, said) * np.einsum("vd,vd->v", broad, broad))
    return risen(np.einsum("...d,...d->...", said, broad) / np.maximum(length, 1e-6), STEEP)


def _turned_back(
    frame: Keyframe, at_px: Float[np.ndarray, "s 2"], turn: Float[np.ndarray, "s 3 3"]
) -> tuple[Float[np.ndarray, "s 3"], np.ndarray]:
    """A frame's unit normals at places of its picture, at rest; and where it has any."""
    assert frame.normals is not None
    seen = looked_up(frame.normals, at_px) * 2 - 1
    sure = np.einsum("sd,sd->s", seen, seen) > SURE**2
    return unit(np.einsum("sij,si->sj", turn, seen)), sure
