"""MakeHuman's file formats: how a garment is bound to the base mesh (`.mhclo`), and its triangles (`.obj`).

Binding: a garment vertex is a weighted mean of three base vertices plus an offset in MakeHuman's axes (decimetres,
y up, z forward), scaled by how far apart two named base vertices are on this body.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from dancedepth.pipeline.errors import StorageError
from jaxtyping import Float, Int
from torch import Tensor

BASE_VERTICES = 19158
"""Of MakeHuman's base mesh with its helpers."""


@dataclass(frozen=True)
class Binding:
    """How a garment follows the base mesh; rows are garment vertices."""

    corners: Int[Tensor, "g 3"]
    shares: Float[Tensor, "g 3"]
    offsets: Float[Tensor, "g 3"]
    """MakeHuman axes."""
    scale_from: Int[Tensor, "3 2"]
    """Base vertices whose distance along x, y, z scales the offsets."""
    scale_over: Float[Tensor, "3"]
    """Those distances on MakeHuman's own base, decimetres."""
    hides: Int[Tensor, "h"]
    """Base vertices that the garment covers."""


def read_binding(path: Path) -> Binding:
    """The geometry lines of a `.mhclo` file."""
    try:
        return _binding(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise StorageError(
            f"this is no MakeHuman binding ({error})", str(path), "Take it out of the folder."
        ) from error


def bind(binding: Binding, base: Float[Tensor, "v 3"]) -> Float[Tensor, "g 3"]:
    """Garment vertices of a body with the given base vertices."""
    spans = (base[binding.scale_from[:, 0]] - base[binding.scale_from[:, 1]]).abs() * 10
    span = torch.stack((spans[0, 0], spans[1, 2], spans[2, 1]))  # MakeHuman's y is Anny's z, its z Anny's -y
    offsets = binding.offsets.to(base) * span / binding.scale_over.to(base)
    turned = torch.stack((offsets[:, 0], -offsets[:, 2], offsets[:, 1]), dim=1) / 10
    return (base[binding.corners] * binding.shares.to(base)[..., None]).sum(dim=1) + turned


def read_obj(path: Path) -> tuple[Int[Tensor, "f 3"], Float[Tensor, "f 3 2"]]:
    """Triangles and their corners' texture coordinates."""
    uvs, faces, corners = [[0.0, 0.0]], [], []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["vt"]:
            uvs.append([float(words[1]), float(words[2])])
        elif words[:1] == ["f"]:
            split = [(word + "//").split("/")[:2] for word in words[1:]]
            points = [(int(v) - 1, int(t or 0)) for v, t in split]
            for k in range(1, len(points) - 1):
                triangle = (points[0], points[k], points[k + 1])
                faces.append([v for v, _ in triangle])
                corners.append([t for _, t in triangle])
    if not faces:
        raise StorageError("the mesh has no faces", str(path), "Take the asset out of the folder.")
    return torch.tensor(faces), torch.tensor(uvs)[torch.tensor(corners)]


def _binding(lines: list[str]) -> Binding:
    rows: list[list[float]] = []
    scales: dict[str, tuple[int, int, float]] = {}
    hides: list[str] = []
    section = ""
    for words in (line.split() for line in lines):
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("x_scale", "y_scale", "z_scale"):
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif section == "verts" and words[0].isdigit():
            rows.append([float(word) for word in words])
        elif section and words[0].isdigit():
            hides += words
    return _bound(rows, scales, hides)


def _bound(rows: list[list[float]], scales: dict[str, tuple[int, int, float]], hides: list[str]) -> Binding:
    full = [row if len(row) >= 9 else [row[0]] * 3 + [1.0, 0, 0, 0, 0, 0] for row in rows]
    table = torch.tensor(full)
    corners = table[:, :3].long()
    if len(corners) == 0 or int(corners.max()) >= BASE_VERTICES:
        raise ValueError("no vertices, or vertices that the base mesh does not have")
    ordered = [scales[axis] for axis in "xyz"]
    return Binding(
        corners=corners,
        shares=table[:, 3:6],
        offsets=table[:, 6:9],
        scale_from=torch.tensor([[a, b] for a, b, _ in ordered]),
        scale_over=torch.tensor([d for _, _, d in ordered]),
        hides=torch.tensor(_ranges(hides), dtype=torch.long),
    )


def _ranges(words: list[str]) -> list[int]:
    """`3 5 - 7` is 3, 5, 6, 7."""
    out: list[int] = []
    open_range = False
    for word in words:
        if word == "-":
            open_range = True
        elif open_range:
            out.extend(range(out[-1] + 1, int(word) + 1))
            open_range = False
        else:
            out.append(int(word))
    return out
