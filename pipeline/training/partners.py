"""Which frames of a clip make pairs: those that share much of the dancer's surface and show it from another side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from dancedepth.pipeline.training.seen_body import SeenBody
from jaxtyping import Float, Int
from torch import Tensor

PARTNERS = 4
"""Of each frame, as in the paper."""
LEAST_SHARED = 0.35
"""Of the lesser of the two visible surfaces."""
TURNED_DEG = (6.0, 60.0)
"""By how much the shared surface is turned to the camera between the frames: with less nothing is learned, with more
pictures are too different to be matched."""


def pair_up(
    frames: Sequence[SeenBody], faces: Int[Tensor, "f 3"], apart: int, generator: torch.Generator
) -> list[tuple[int, int]]:
    """Pairs of positions in the list, the smaller first; about `PARTNERS` of each frame, of all kinds of turning.

    Partners are at most `apart` positions from one another.
    """
    if len(frames) < 2:
        return []
    shared, turned = overlap(frames, faces)
    chosen: set[tuple[int, int]] = set()
    for i in range(len(frames)):
        fits = (shared[i] >= LEAST_SHARED) & (turned[i] >= TURNED_DEG[0]) & (turned[i] <= TURNED_DEG[1])
        fits[i] = False
        fits[: max(0, i - apart)] = False
        fits[i + apart + 1 :] = False
        others = torch.nonzero(fits)[:, 0]
        ranked = others[turned[i][others].argsort()]
        for bin in torch.tensor_split(ranked, PARTNERS):
            if len(bin):
                j = int(bin[torch.randint(len(bin), (1,), generator=generator)])
                chosen.add((min(i, j), max(i, j)))
    return sorted(chosen)


def overlap(frames: Sequence[SeenBody], faces: Int[Tensor, "f 3"]) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n n"]]:
    """Share of the visible surface that two frames have in common, and the mean angle in degrees by which it turned."""
    area = _vertex_areas(frames[0], faces)
    used = torch.nonzero(area > 0)[:, 0]
    weight = area[used].sqrt()
    seen = torch.stack([frame.visible[used] * weight for frame in frames])
    normals = torch.stack([(frame.visible[used] * weight)[:, None] * frame.normals[used] for frame in frames]).flatten(
        1
    )
    common = seen @ seen.T
    own = common.diagonal()
    cosine = (normals @ normals.T) / common.clamp_min(1e-12)
    turned = cosine.clamp(-1, 1).acos() * 180 / math.pi
    return common / torch.minimum(own[:, None], own[None]).clamp_min(1e-12), turned


def _vertex_areas(frame: SeenBody, faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v"]:
    """A third of the area of each vertex's triangles: hands and face have many small ones."""
    a, b, c = (frame.vertices_cam[faces[:, i]] for i in range(3))
    area = torch.linalg.cross(b - a, c - a).norm(dim=1) / 6
    return torch.zeros(len(frame.vertices_cam)).index_add_(0, faces.flatten(), area.repeat_interleave(3))
