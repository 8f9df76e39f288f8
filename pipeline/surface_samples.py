"""Points spread evenly over a skin, with what moves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class SurfaceSamples:
    """Points spread evenly over the rest skin."""

    points: Float[np.ndarray, "s 3"]
    normals: Float[np.ndarray, "s 3"]
    skin: Float[np.ndarray, "s j"]
    tree: cKDTree

    def kept(self, keep: Bool[np.ndarray, "s"]) -> SurfaceSamples:
        """Some of them."""
        points = self.points[keep]
        return SurfaceSamples(points, self.normals[keep], self.skin[keep], cKDTree(points))

    def joined(self, other: SurfaceSamples) -> SurfaceSamples:
        """These and others."""
        points = np.concatenate((self.points, other.points))
        normals, skin = np.concatenate((self.normals, other.normals)), np.concatenate((self.skin, other.skin))
        return SurfaceSamples(points, normals, skin, cKDTree(points))


def spread_samples(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    skin: Float[np.ndarray, "v j"],
    spacing_m: float,
) -> SurfaceSamples:
    """One random surface point in every cell of `spacing_m` that the surface crosses; the same for the same body."""
    random = np.random.default_rng(0)
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1) / 2
    count = int(4 * area.sum() / spacing_m**2)
    face = random.choice(len(faces), count, p=area / area.sum())
    u, v = random.random((2, count))
    root = np.sqrt(u)
    barycentric = np.stack((1 - root, root * (1 - v), root * v), axis=1).astype(np.float32)
    points = np.einsum("sc,scd->sd", barycentric, corners[face])
    _, kept = np.unique(np.floor(points / spacing_m).astype(np.int64), axis=0, return_index=True)
    face, barycentric, points = face[kept], barycentric[kept], points[kept]
    normals = cross[face] / (2 * area[face, None])
    blended = np.einsum("sc,scj->sj", barycentric, skin[faces[face]])
    return SurfaceSamples(points, normals.astype(np.float32), blended.astype(np.float32), cKDTree(points))
