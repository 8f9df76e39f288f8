"""The canonical surface, posed by its skinning weights, and its normals."""

from __future__ import annotations

import numpy as np
import torch
from dancedepth.models.body import blended_bones
from dancedepth.pipeline.records import Surface
from jaxtyping import Float, Int


def pose_surface(surface: Surface, cam_from_rest: Float[np.ndarray, "j 4 4"]) -> Float[np.ndarray, "v 3"]:
    """The surface's vertices in the camera, by linear blend skinning."""
    return moved(surface.vertices, skin_moves(surface.skin_weights, surface.skin_bones, cam_from_rest))


def skin_moves(
    weights: Float[np.ndarray, "v 4"], bones: Int[np.ndarray, "v 4"], cam_from_rest: Float[np.ndarray, "j 4 4"]
) -> Float[np.ndarray, "v 3 4"]:
    """What linear blend skinning does with each rest point: rotation (a little less where bones differ) and offset."""
    pose = torch.as_tensor(cam_from_rest, dtype=torch.float32)[None]
    moves: np.ndarray = blended_bones(torch.from_numpy(weights), torch.from_numpy(bones), pose)[0].numpy()
    return moves


def moved(points: Float[np.ndarray, "v 3"], moves: Float[np.ndarray, "v 3 4"]) -> Float[np.ndarray, "v 3"]:
    """Rest points in the camera."""
    result: np.ndarray = (moves[..., :3] * points[:, None]).sum(axis=-1) + moves[..., 3]
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
    corner = faces.ravel()
    total = np.stack([np.bincount(corner, np.repeat(part, 3), len(vertices)) for part in _crossed(vertices, faces)])
    length = np.sqrt(np.einsum("kv,kv->v", total, total))
    return np.ascontiguousarray((total / np.maximum(length, 1e-20)).T, dtype=np.float32)


def face_normals(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "f 3"]:
    """Outward normals, twice as long as the triangle's area."""
    return np.stack(_crossed(vertices, faces), axis=1)


def _crossed(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> tuple[Float[np.ndarray, "f"], ...]:
    """x, y and z of the triangles' cross products; apart they take a third of `np.cross`' time."""
    a, b, c = (vertices.take(corner, axis=0).T for corner in faces.T)
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


def seamless_normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], places: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "v 3"]:
    """Unit normals; vertices that share a place, as along a texture's seams, share one. (0, 1, 0) without any triangle.

    Args:
        places: of the vertices in any pose, exactly alike where they are one.
    """
    same = np.unique(np.ascontiguousarray(places, np.float32).view("V12").ravel(), return_inverse=True)[1]
    first = np.zeros(same.max() + 1, int)
    first[same[::-1]] = np.arange(len(same))[::-1]
    normals = vertex_normals(vertices[first], same[faces])[same]
    normals[~normals.any(axis=1)] = (0, 1, 0)
    return normals
