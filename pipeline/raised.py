"""A surface whose triangles follow given normals: as fine as its vertices are, folds and features become shape.

As Nehab, Rusinkiewicz, Davis and Ramamoorthi (Efficiently combining positions and normals for precise 3D geometry,
SIGGRAPH 2005): edges lie across the normals at their ends, and vertices stay near where they were.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import cg

KEPT_M = 0.03
"""What is broader than this stays as it was."""
MOST_M = 0.008
"""Vertices move by less than this."""
TOLERANCE, ITERATIONS = 1e-3, 200
"""Of the conjugate gradients: a thousandth of millimetres is enough."""


def raised(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    own: Float[np.ndarray, "v 3"],
    wanted: Float[np.ndarray, "v 3"],
) -> Float[np.ndarray, "v 3"]:
    """The vertices, moved along their normals so that the surface has nearly the wanted ones; metres.

    Args:
        own: the vertices' unit normals.
        wanted: unit; where they are `own` the surface stays.
    """
    edges = np.unique(np.sort(np.concatenate((faces[:, :2], faces[:, 1:], faces[:, ::2])), axis=1), axis=0)
    first, second = edges.T
    along = vertices[second] - vertices[first]
    off = wanted - own
    rise = -0.5 * np.einsum("ed,ed->e", along, off[first] + off[second])
    square = np.einsum("ed,ed->e", along, along)
    usual = float(np.median(square))
    weight = usual / np.maximum(square, 0.01 * usual)
    row = np.arange(len(edges))
    ends = np.concatenate((first, second))
    signs = np.repeat((-1.0, 1.0), len(edges))
    steps = coo_matrix((signs, (np.concatenate((row, row)), ends)), (len(edges), len(vertices))).tocsr()
    stay = usual / KEPT_M**2 * 0.5 * np.bincount(ends, minlength=len(vertices))
    system = steps.T @ diags(weight) @ steps + diags(np.maximum(stay, 1e-6))
    height, _ = cg(system, steps.T @ (weight * rise), rtol=TOLERANCE, maxiter=ITERATIONS)
    moved: np.ndarray = vertices + (MOST_M * np.tanh(height / MOST_M))[:, None] * own
    return moved.astype(np.float32)
