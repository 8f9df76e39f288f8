"""Triangle meshes as shapes: components, simplification, and the Laplacian of functions on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import open3d as o3d
from dancedepth.pipeline.surface import face_normals
from jaxtyping import Bool, Float, Int

WIDEST_HOLE_M = 0.3
"""What is wider is no hole in a surface but half of one, and flat triangles would make it up."""
LEAST_COTANGENT = 0.02
"""Obtuse triangles have negative cotangents; held above this, functions on the mesh keep their extremes at the data."""


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


def closed_up(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    """Holes filled by triangles around their middles.

    With a hole wider than `WIDEST_HOLE_M`, or edges of more than two triangles, it stays as it is.
    """
    if is_closed(faces):
        return vertices, faces
    loops = _rims(faces)
    if not loops or max(np.ptp(vertices[rim], axis=0).max() for rim in loops) > WIDEST_HOLE_M:
        return vertices, faces
    middles = np.stack([vertices[rim].mean(axis=0) for rim in loops])
    fans = [np.stack((rim, np.roll(rim, -1), np.full(len(rim), len(vertices) + k)), 1) for k, rim in enumerate(loops)]
    filled = np.concatenate((faces, *fans))
    if not is_closed(filled):
        return vertices, faces
    return np.concatenate((vertices, middles.astype(vertices.dtype))), filled


def _rims(faces: Int[np.ndarray, "f 3"]) -> list[Int[np.ndarray, "r"]]:
    """The holes' rims, in the order that triangles which fill them run."""
    directed = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    size = int(faces.max()) + 1
    open_edges = directed[~np.isin(directed[:, 0] * size + directed[:, 1], directed[:, 1] * size + directed[:, 0])]
    following: dict[int, list[int]] = {}
    for start, end in open_edges.tolist():
        following.setdefault(end, []).append(start)
    rims = []
    while following:
        rim = [next(iter(following))]
        while rim[-1] in following:
            ends = following[rim[-1]]
            rim.append(ends.pop())
            if not ends:
                del following[rim[-2]]
            if rim[-1] in rim[:-1]:  # a rim that touches itself is two
                begins = rim.index(rim[-1])
                rims.append(np.array(rim[begins:-1]))
                rim = rim[: begins + 1]
    return rims


def simplified(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], count: int
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    """About `count` triangles that keep the shape (Garland and Heckbert's quadric error); closed stays closed.

    Where collapsing edges would open the surface or glue it to itself, it is left as it is.
    """
    if len(faces) <= count:
        return vertices, faces
    for collapse in (_collapsed, _collapsed_by_vtk):
        fewer = largest_component(*collapse(vertices, faces, count))
        if is_closed(fewer[1]) or not is_closed(faces):
            return fewer
    return vertices, faces


def _collapsed(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], count: int
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    points, corners = o3d.utility.Vector3dVector(vertices.astype(np.float64)), o3d.utility.Vector3iVector(faces)
    mesh = o3d.geometry.TriangleMesh(points, corners).simplify_quadric_decimation(count)
    return np.asarray(mesh.vertices).astype(np.float32), np.asarray(mesh.triangles).astype(np.int64)


def _collapsed_by_vtk(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], count: int
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    """Faster, but more often leaves an edge with four triangles."""
    share = o3d.core.Tensor.from_numpy
    mesh = o3d.t.geometry.TriangleMesh(share(vertices.astype(np.float32)), share(faces))
    mesh = mesh.simplify_quadric_decimation(1 - count / len(faces))
    return mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy().astype(np.int64)


def subdivided(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], chosen: Bool[np.ndarray, "v"]
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, "g 3"]]:
    """Edges between chosen vertices halved: their triangles become four, those beside them two; closed stays closed."""
    ends = np.stack((faces, faces[:, [1, 2, 0]]), axis=-1)
    halved = chosen[ends].all(axis=-1)
    edges, which = np.unique(np.sort(ends[halved], axis=-1), axis=0, return_inverse=True)
    middle = np.full(faces.shape, -1)
    middle[halved] = len(vertices) + which.ravel()
    (a, b, c), (ab, bc, ca) = faces.T, middle.T
    count = halved.sum(axis=1)
    parts = [faces[count == 0]]
    for turn in range(3):
        only, two = (count == 1) & halved[:, turn], (count == 2) & ~halved[:, turn]
        x, y, z = (np.roll((a, b, c), -turn, axis=0)[k] for k in range(3))
        xy, yz, zx = (np.roll((ab, bc, ca), -turn, axis=0)[k] for k in range(3))
        parts += [np.stack(t, axis=1)[only] for t in ((x, xy, z), (xy, y, z))]
        parts += [np.stack(t, axis=1)[two] for t in ((x, y, yz), (x, yz, zx), (zx, yz, z))]
    parts += [np.stack(t, axis=1)[count == 3] for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return np.concatenate((vertices, vertices[edges].mean(axis=1))), np.concatenate(parts)


def is_closed(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Whether every edge has one triangle on either side, both wound alike."""
    directed = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    size = int(faces.max()) + 1
    forth = np.sort(directed[:, 0] * size + directed[:, 1])  # numpy's sort takes a tenth of the time of its unique
    back = np.sort(directed[:, 1] * size + directed[:, 0])
    return bool((forth[1:] > forth[:-1]).all() and np.array_equal(forth, back))


def vertex_areas(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "v"]:
    """A third of the triangles around each vertex, square metres."""
    area = np.linalg.norm(face_normals(vertices, faces), axis=1) / 2
    total: np.ndarray = np.bincount(faces.ravel(), np.repeat(area / 3, 3), len(vertices))
    return total


def laplacian(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Any:
    """The cotangent Laplacian (Pinkall and Polthier 1993), sparse, positive semi-definite, rows summing to zero."""
    from scipy.sparse import coo_matrix, diags

    rows, columns, values = [], [], []
    for k in range(3):
        i, j, opposite = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        u, v = vertices[i] - vertices[opposite], vertices[j] - vertices[opposite]
        sine = np.linalg.norm(np.cross(u, v), axis=1)
        cotangent = np.einsum("fd,fd->f", u, v) / np.maximum(sine, 1e-12)
        rows.append(i)
        columns.append(j)
        values.append(np.clip(cotangent, LEAST_COTANGENT, 1 / LEAST_COTANGENT) / 2)
    count = len(vertices)
    half = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (count, count)).tocsr()
    graph = half + half.T
    return diags(np.asarray(graph.sum(axis=1)).ravel()) - graph


def averaging(count: int, faces: Int[np.ndarray, "f 3"]) -> Any:
    """Sparse (v v): each of `count` vertices takes the mean of itself and its neighbours."""
    from scipy.sparse import coo_matrix, diags, eye

    rows, columns = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    graph = coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), (count, count)).tocsr()
    graph = ((graph + graph.T) > 0).astype(np.float32) + eye(count, dtype=np.float32, format="csr")
    return (diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph).astype(np.float32)
