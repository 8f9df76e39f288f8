"""The surface in one pose, in the formats that every modeller reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dancedepth.pipeline.export.glb import write_mesh_glb
from dancedepth.pipeline.export.usd import write_usdz
from dancedepth.pipeline.ply import ply_bytes
from dancedepth.pipeline.records import Surface
from dancedepth.pipeline.storage import write_bytes, write_image
from dancedepth.pipeline.surface import vertex_normals
from jaxtyping import Float


def write_mesh(path: Path, surface: Surface, vertices: Float[np.ndarray, "v 3"]) -> None:
    """Write the surface with its vertices at these places (y up, metres) in the format of the path's ending."""
    {".ply": _write_ply, ".obj": _write_obj, ".glb": write_mesh_glb, ".usdz": write_usdz}[path.suffix](
        path, surface, vertices
    )


def _write_ply(path: Path, surface: Surface, vertices: Float[np.ndarray, "v 3"]) -> None:
    """With vertex colours and `observed`."""
    normals = vertex_normals(vertices, surface.faces)
    shares = {"observed": surface.observed.astype(np.float32)}
    write_bytes(path, ply_bytes(vertices.astype(np.float32), normals, surface.colors, shares, surface.faces))


def _write_obj(path: Path, surface: Surface, vertices: Float[np.ndarray, "v 3"]) -> None:
    """With normals and either texture and normal map, in files beside it, or vertex colours behind the coordinates."""
    import trimesh
    from PIL import Image
    from trimesh.exchange.obj import export_obj
    from trimesh.visual.material import SimpleMaterial
    from trimesh.visual.texture import TextureVisuals

    look: dict[str, Any] = {"vertex_colors": surface.colors}
    if surface.uv is not None and surface.texture is not None:
        image = SimpleMaterial(image=Image.fromarray(surface.texture), name=path.stem)
        look = {"visual": TextureVisuals(uv=surface.uv, material=image)}
    normals = vertex_normals(vertices, surface.faces)
    mesh = trimesh.Trimesh(vertices, surface.faces, vertex_normals=normals, process=False, **look)
    if surface.texture is None:
        write_bytes(path, export_obj(mesh, include_normals=True).encode())
        return
    text, beside = export_obj(mesh, include_normals=True, return_texture=True, mtl_name=f"{path.stem}.mtl")
    if surface.normal_map is not None:
        name = f"{path.stem}_normals.png"
        write_image(path.with_name(name), surface.normal_map)
        beside[f"{path.stem}.mtl"] += f"\nnorm {name}\n".encode()
    for name, data in beside.items():
        write_bytes(path.with_name(name), data)
    write_bytes(path, text.encode())
