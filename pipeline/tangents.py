"""Tangent space: the directions along a texture at each point of a surface, as glTF and MikkTSpace have them."""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.texture import looked_up
from jaxtyping import Float, Int, UInt8


def tangents(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    normals: Float[np.ndarray, "v 3"],
    uv: Float[np.ndarray, "v 2"],
) -> Float[np.ndarray, "v 4"]:
    """Unit directions in which u grows at each vertex, at right angles to its normal; and, as in glTF, 1 where v grows
    along the cross product of normal and tangent, -1 where against it.

    Args:
        uv: v up; vertices on seams are split.
    """
    a, b, c = faces.T
    (u1, v1), (u2, v2) = (uv[b] - uv[a]).T, (uv[c] - uv[a]).T
    side = np.sign(u1 * v2 - u2 * v1)
    grows = ((vertices[b] - vertices[a]) * v2[:, None] - (vertices[c] - vertices[a]) * v1[:, None]) * side[:, None]
    corner = faces.ravel()
    total = np.stack([np.bincount(corner, np.repeat(part, 3), len(vertices)) for part in grows.T], axis=1)
    hand = np.where(np.bincount(corner, np.repeat(side, 3), len(vertices)) < 0, -1.0, 1.0)
    along = total - np.einsum("vd,vd->v", total, normals)[:, None] * normals
    lost = np.linalg.norm(along, axis=1) < 1e-12
    along[lost] = np.cross(normals[lost], np.eye(3)[np.abs(normals[lost]).argmin(axis=1)])
    return np.column_stack([unit(along), hand]).astype(np.float32)


def tangent_frame(
    normal: Float[np.ndarray, "n 3"], tangent: Float[np.ndarray, "n 4"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """The directions of u and v beside unit normals, both unit; tangents may be interpolated."""
    along = tangent[:, :3] - np.einsum("nd,nd->n", tangent[:, :3], normal)[:, None] * normal
    along = unit(along)
    return along, np.cross(normal, along) * np.sign(tangent[:, 3:])


def detailed(
    normal_map: UInt8[np.ndarray, "t t 3"],
    uv: Float[np.ndarray, "n 2"],
    normal: Float[np.ndarray, "n 3"],
    tangent: Float[np.ndarray, "n 4"],
) -> Float[np.ndarray, "n 3"]:
    """Unit normals with the map's detail, from the surface's own, interpolated ones and v upwards."""
    own = unit(normal)
    along, up = tangent_frame(own, tangent)
    x, y, z = (looked_up(normal_map, np.stack((uv[:, 0], 1 - uv[:, 1]), axis=1) * len(normal_map)) * 2 - 1).T
    return unit(x[:, None] * along + y[:, None] * up + z[:, None] * own)


def unit(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Of length 1; zeros stay."""
    scaled: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled
