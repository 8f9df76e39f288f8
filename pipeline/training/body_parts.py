"""The body cut into parts that move nearly rigidly: every vertex belongs to the group of bones that hold it most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.body import BodyModel
from jaxtyping import Float, Int
from torch import Tensor

PARTS = (
    "pelvis", "waist", "chest", "head",
    "upperarm.L", "lowerarm.L", "hand.L", "thigh.L", "shin.L", "foot.L",
    "upperarm.R", "lowerarm.R", "hand.R", "thigh.R", "shin.R", "foot.R",
)  # fmt: skip
_STARTS = {
    "root": "pelvis", "pelvis": "pelvis", "spine05": "pelvis", "spine04": "waist", "spine03": "waist",
    "spine02": "chest", "clavicle": "chest", "neck01": "chest", "neck02": "head",
    "upperarm01": "upperarm", "lowerarm01": "lowerarm", "wrist": "hand", "upperleg01": "thigh",
    "lowerleg01": "shin", "foot": "foot",
}  # fmt: skip
"""Bones at which a part starts; the bones below belong to it until the next part starts."""


@dataclass(frozen=True)
class BodyParts:
    """Of every vertex of the body."""

    part: Int[Tensor, "v"]
    """Index into `PARTS`."""
    hold: Float[Tensor, "v"]
    """Share of its skinning weight that lies on the part's bones: 1 inside a limb, about 0.5 at a joint."""


def body_parts(body: BodyModel) -> BodyParts:
    """The parts of the body's vertices."""
    shares = body.skin_weights.new_zeros(len(body.skin_weights), len(PARTS))
    shares.scatter_add_(1, bone_parts(body).to(body.device)[body.skin_bones], body.skin_weights)
    hold, part = shares.max(dim=1)
    return BodyParts(part, hold)


def bone_parts(body: BodyModel) -> Int[Tensor, "j"]:
    """The part of every bone."""
    parts: list[int] = []
    for name, parent in zip(body.bone_names, body.bone_parents, strict=True):
        stem, _, side = name.partition(".")
        start = _STARTS.get(stem)
        if start is None:
            parts.append(parts[parent])
        else:
            parts.append(PARTS.index(f"{start}.{side}" if f"{start}.{side}" in PARTS else start))
    return torch.tensor(parts)
