"""The canonical surface: made from the volume, cleaned, coloured, skinned, and posed."""

from __future__ import annotations

import numpy as np
import torch
from dancedepth.models.body import skin_points
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.neighbours import nearest
from dancedepth.pipeline.records import Surface
from dancedepth.pipeline.volume_sampling import sample
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import cKDTree

SEEN_WEIGHT = 1.0
"""Integrated weight (one sharp frontal look gives about one) at which `observed` reaches 1 - 1/e."""
COLORED_WEIGHT = 1e-3
"""Vertices with less colour weight than this borrow their colour from the nearest that have more."""
BORROWED_FROM = 12
SKIN_BONES = 4
"""As many as glTF takes per vertex."""


def surface_from(volume: CanonicalVolume, tsdf: Float[np.ndarray, "b n"], field: BodyField) -> Surface:
    """Extract the zero surface as one component, with colour, `observed` and skinning weights."""
    vertices, faces = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
    if not len(faces):
        raise PersonError("no surface came out of the frames", "fusion", "Check masks/ and depth/ of the run.")
    vertices, faces = largest_component(vertices, faces)
    looks = sample(volume, vertices)
    weights, bones = field.top_bones(vertices, SKIN_BONES)
    return Surface(
        vertices=vertices.astype(np.float32),
        faces=faces,
        normals=vertex_normals(vertices, faces),
        colors=_filled_colors(vertices, looks.color, looks.color_weight > COLORED_WEIGHT),
        observed=(1 - np.exp(-looks.weight / SEEN_WEIGHT)).astype(np.float32),
        skin_weights=weights,
        skin_bones=bones,
    )


def pose_surface(surface: Surface, cam_from_rest: Float[np.ndarray, "j 4 4"]) -> Float[np.ndarray, "v 3"]:
    """The surface's vertices in the camera, by linear blend skinning."""
    posed = skin_points(
        torch.from_numpy(surface.vertices),
        torch.from_numpy(surface.skin_weights),
        torch.from_numpy(surface.skin_bones),
        torch.as_tensor(cam_from_rest, dtype=torch.float32)[None],
    )
    result: np.ndarray = posed[0].numpy()
    return result


def largest_component(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    """The connected piece with the most triangles, without degenerate ones; floaters and inner shells go."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    first, second = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    graph = coo_matrix((np.ones(len(first), np.int8), (first, second)), (len(vertices),) * 2)
    _, label = connected_components(graph, directed=False)
    kept = faces[label[faces[:, 0]] == np.bincount(label[faces[:, 0]]).argmax()]
    used, compact = np.unique(kept, return_inverse=True)
    return vertices[used], compact.reshape(-1, 3)


def vertex_normals(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "v 3"]:
    """Unit normals, the area-weighted mean of the triangles around each vertex; they point outwards."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack([np.bincount(faces.ravel(), np.repeat(cross[:, k], 3), len(vertices)) for k in range(3)], axis=1)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)).astype(np.float32)


def _filled_colors(
    vertices: Float[np.ndarray, "v 3"], color: Float[np.ndarray, "v 3"], known: Bool[np.ndarray, "v"]
) -> UInt8[np.ndarray, "v 3"]:
    if known.any() and not known.all():
        count = min(BORROWED_FROM, int(known.sum()))
        distance, index = nearest(cKDTree(vertices[known]), vertices[~known], count)
        distance, index = distance.reshape(-1, count), index.reshape(-1, count)
        share = 1 / (distance + 1e-4)
        share /= share.sum(axis=1, keepdims=True)
        color[~known] = (color[known][index] * share[..., None]).sum(axis=1)
    return np.rint(color.clip(0, 1) * 255).astype(np.uint8)
