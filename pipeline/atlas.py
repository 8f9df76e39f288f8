"""A surface cut into charts and laid out flat: xatlas, body part by body part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.unwrapping import elsewhere
from jaxtyping import Float, Int

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
    clothes are cut, and the trunk a chest and a waist. It has a process of its own, since it holds Python's lock.
    """
    part = _pieces(_parts(bone_names)[strongest_bone][faces[:, 0]], vertices[faces].mean(axis=1))
    members = [np.unique(faces[part == name], return_inverse=True) for name in np.unique(part)]
    meshes = [(vertices[used].astype(np.float32), local.reshape(-1, 3).astype(np.uint32)) for used, local in members]
    source, corners, places, count = [], [], [], 0
    for (used, _), (mapping, local, uv) in zip(members, elsewhere(meshes, size_px), strict=True):
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
