"""Rays and distances to the rest body's mesh."""

from __future__ import annotations

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float, Int

OPEN_RAY_M = 0.15
"""A ray that meets nothing within this leads out of the body's folds."""
ENCLOSED_SHARE = 0.1
"""Points from which fewer of the rays lead out lie in a cavity: the mouth and the eye sockets, and nothing else."""


class BodyRays:
    """Open3D's ray caster on one closed mesh."""

    def __init__(self, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        self._scene = o3d.t.geometry.RaycastingScene()
        share = o3d.core.Tensor.from_numpy
        self._scene.add_triangles(share(vertices.astype(np.float32)), share(faces.astype(np.uint32)))
        around = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)], dtype=np.float32) - 1
        self._directions = around / np.linalg.norm(around, axis=1, keepdims=True)

    def signed_distance(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """Metres to the mesh, negative inside."""
        queries = o3d.core.Tensor.from_numpy(np.ascontiguousarray(points, dtype=np.float32))
        distance: np.ndarray = self._scene.compute_signed_distance(queries).numpy()
        return distance

    def outwards(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q 3"]:
        """The mesh's normals where each point is nearest to it."""
        queries = o3d.core.Tensor.from_numpy(np.ascontiguousarray(points, dtype=np.float32))
        normals: np.ndarray = self._scene.compute_closest_points(queries)["primitive_normals"].numpy()
        return normals

    def enclosed(self, points: Float[np.ndarray, "q 3"]) -> Bool[np.ndarray, "q"]:
        """Whether hardly any ray from a point leads out."""
        count = len(self._directions)
        rays = np.concatenate((np.repeat(points, count, axis=0), np.tile(self._directions, (len(points), 1))), axis=1)
        hit = self._scene.cast_rays(o3d.core.Tensor.from_numpy(rays.astype(np.float32)))["t_hit"].numpy()
        open_share = (hit.reshape(len(points), count) > OPEN_RAY_M).mean(axis=1)
        closed: np.ndarray = open_share < ENCLOSED_SHARE
        return closed
