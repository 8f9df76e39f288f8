"""A surface cut into charts and laid out flat: xatlas, body part by body part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

PADDING_PX = 4
MAX_COST = 8.0
"""Of a chart, in xatlas' measure: higher than its default of 2, for fewer and larger charts."""
PARTS = ("finger", "metacarpal", "wrist", "upperarm", "lowerarm", "upperleg", "lowerleg", "toe", "foot", "spine")
"""Bones whose names begin alike make one part; all others belong to the trunk or the head."""
JOINED = {"finger": "hand", "metacarpal": "hand", "wrist": "hand", "toe": "foot"}
TRUNK_BAND_M = 0.25
TRUNK = ("spine", "root", "pelvis", "breast", "clavicle", "shoulder")


@dataclass(frozen=True)
class Atlas:
    """The same triangles with their vertices split along the charts' edges."""

    source: Int[np.ndarray, "k"]
    """Which vertex of the surface each one is."""
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "k 2"]
    """0-1, v up."""


def lay_out(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    strongest_bone: Int[np.ndarray, "v"],
    bone_names: tuple[str, ...],
    size_px: int,
) -> Atlas:
    """Unwrap a surface for a texture of `size_px`.

    xatlas takes many times longer over a whole person than over the parts one by one, which also are what an artist
    expects to find in a texture. Its time grows faster than a part does, so that each has a front and a back, as
    clothes are cut, and the trunk a chest and a waist.
    """
    import xatlas

    part = _pieces(_parts(bone_names)[strongest_bone][faces[:, 0]], vertices[faces].mean(axis=1))
    atlas = xatlas.Atlas()
    members = [np.unique(faces[part == name], return_inverse=True) for name in np.unique(part)]
    for used, local in members:
        atlas.add_mesh(vertices[used].astype(np.float32), local.reshape(-1, 3).astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost = MAX_COST
    packing.resolution, packing.padding, packing.bilinear = size_px, PADDING_PX, True
    atlas.generate(charts, packing)
    source, corners, places, count = [], [], [], 0
    for number, (used, _) in enumerate(members):
        mapping, local, uv = atlas[number]
        source.append(used[mapping])
        corners.append(local.astype(np.int64) + count)
        places.append(uv)
        count += len(mapping)
    uv = np.concatenate(places).astype(np.float32)
    return Atlas(np.concatenate(source), np.concatenate(corners), np.stack((uv[:, 0], 1 - uv[:, 1]), axis=1))


def _pieces(part: np.ndarray, centres: Float[np.ndarray, "f 3"]) -> np.ndarray:
    """The piece that each triangle belongs to, by its part and its centre (y back, z up)."""
    piece = part.astype(object)
    for name in np.unique(part):
        own = part == name
        back = centres[own, 1] > np.median(centres[own, 1])
        band = np.floor(centres[own, 2] / TRUNK_BAND_M).astype(int) if name == "trunk" else np.zeros(len(back), int)
        piece[own] = [f"{name} {number} {behind}" for number, behind in zip(band, back, strict=True)]
    return piece.astype(str)


def _parts(bone_names: tuple[str, ...]) -> np.ndarray:
    """The part of each bone, by name and side."""

    def part(name: str) -> str:
        side = name[-2:] if name[-2:] in (".L", ".R") else ""
        if name.startswith(TRUNK):
            return "trunk"
        stem = next((stem for stem in PARTS if name.startswith(stem)), None)
        return "head" if stem is None else JOINED.get(stem, stem) + side

    return np.array([part(name) for name in bone_names])
