"""Binary PLY files: meshes and point clouds with whatever properties they have."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

KINDS = {"float32": "float", "uint8": "uchar"}
"""Types of properties, as numpy and PLY name them."""


def ply_bytes(
    points: Float[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    colors: UInt8[np.ndarray, "v 3"],
    extra: dict[str, Float[np.ndarray, "v"]],
    faces: Int[np.ndarray, "f 3"] | None = None,
    comment: str = "",
) -> bytes:
    """A file with x y z, nx ny nz, red green blue, a float property for each of `extra`, and faces if given."""
    kinds = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    kinds += [(name, "u1") for name in ("red", "green", "blue")] + [(name, "<f4") for name in extra]
    vertices = np.empty(len(points), dtype=kinds)
    for (name, _), column in zip(kinds, (*points.T, *normals.T, *colors.T, *extra.values()), strict=True):
        vertices[name] = column
    header = ["ply", "format binary_little_endian 1.0", *([f"comment {comment}"] if comment else [])]
    header += [f"element vertex {len(vertices)}"]
    header += [f"property {KINDS[np.dtype(kind).name]} {name}" for name, kind in kinds]
    if faces is None:
        return "\n".join([*header, "end_header", ""]).encode() + vertices.tobytes()
    corners = np.empty(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    corners["count"], corners["corners"] = 3, faces
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + vertices.tobytes() + corners.tobytes()
