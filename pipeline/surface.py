"""The canonical surface, posed by its skinning weights, and its normals."""

from __future__ import annotations

import numpy as np
import torch
from dancedepth.models.body import skin_points
from dancedepth.pipeline.records import Surface
from jaxtyping import Float, Int


def pose_surface(surface: Surface, cam_from_rest: Float[np.ndarray, "j 4 4"]) -> Float[np.ndarray, "v 3"]:
    """The surface's vertices in the camera, by linear blend skinning."""
    return skinned(surface.vertices, surface.skin_weights, surface.skin_bones, cam_from_rest)


def skinned(
    vertices: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v 4"],
    bones: Int[np.ndarray, "v 4"],
    cam_from_rest: Float[np.ndarray, "j 4 4"],
) -> Float[np.ndarray, "v 3"]:
    """Rest points in the camera."""
    points, shares, index = torch.from_numpy(vertices), torch.from_numpy(weights), torch.from_numpy(bones)
    posed = skin_points(points, shares, index, torch.as_tensor(cam_from_rest, dtype=torch.float32)[None])
    result: np.ndarray = posed[0].numpy()
    return result


def welded(surface: Surface) -> Surface:
    """The surface without its texture and without the splits along the texture's seams: closed again."""
    places = np.ascontiguousarray(surface.vertices, np.float32).view("V12").ravel()
    _, first, which = np.unique(places, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    kept = first[order]
    return Surface(
        vertices=surface.vertices[kept],
        faces=rank[which][surface.faces],
        normals=surface.normals[kept],
        colors=surface.colors[kept],
        observed=surface.observed[kept],
        skin_weights=surface.skin_weights[kept],
        skin_bones=surface.skin_bones[kept],
    )


def vertex_normals(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "v 3"]:
    """Unit normals, the area-weighted mean of the triangles around each vertex; they point outwards."""
    cross = face_normals(vertices, faces)
    total = np.stack([np.bincount(faces.ravel(), np.repeat(cross[:, k], 3), len(vertices)) for k in range(3)], axis=1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)).astype(np.float32)


def face_normals(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "f 3"]:
    """Outward normals, twice as long as the triangle's area."""
    corners = vertices[faces]
    cross: np.ndarray = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return cross
