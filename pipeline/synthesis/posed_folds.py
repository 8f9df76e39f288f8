"""What a garment's folds do to a posed body: heights and slopes at the pixels that see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from dancedepth.pipeline.synthesis.character import DressedBody
from dancedepth.pipeline.synthesis.folds import Folds
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

PROBE_M = 0.0015
"""Step of the heights' differences."""
STEEPEST = 1.5
"""Slopes beyond this would hide themselves."""
FLATTEST_LOOK = 0.35
"""Cosine between normal and line of sight from which on a height moves the depth by no more than at this one."""


@dataclass(frozen=True)
class Raised:
    """Some of the pixels asked for, and what folds do there."""

    rows: Int[Tensor, "r"]
    """Which of them."""
    height_m: Float[Tensor, "r"]
    """Out of the surface."""
    gradient: Float[Tensor, "r 3"]
    """Of the height, along the posed surface; normals lean against it."""

    def turned(self, normals: Float[Tensor, "r 3"]) -> Float[Tensor, "r 3"]:
        """These rows' unit normals as the folds have them; given and returned on the outside."""
        along = self.gradient - normals * (self.gradient * normals).sum(dim=1, keepdim=True)
        steep = along.norm(dim=1, keepdim=True)
        return normalize(normals - along * (STEEPEST / steep.clamp_min(STEEPEST)), dim=1)

    def nearer_m(self, normals: Float[Tensor, "r 3"], rays: Float[Tensor, "r 3"]) -> Float[Tensor, "r"]:
        """By how much the depth shrinks along rays (z = 1) that look at these unit normals."""
        facing = (normals * rays).sum(dim=1)
        least = FLATTEST_LOOK * rays.norm(dim=1)
        return self.height_m * torch.where(facing > 0, -1, 1) / facing.abs().maximum(least)


class PosedFolds:
    """The folds of one body in one pose; `posed` are its vertices in the axes that gradients are wanted in."""

    def __init__(self, dressed: DressedBody, posed: Float[Tensor, "v 3"]) -> None:
        self._dressed, self._posed = dressed, posed
        self._template = dressed.pattern[:, :3]
        self._squeezed = squeezed_along_z(self._template, dressed.vertices, posed, dressed.faces)

    def at(self, face: Int[Tensor, "p"], weights: Float[Tensor, "p 3"]) -> Raised:
        """At points given by their triangle and the weights of its corners."""
        dressed = self._dressed
        owner = dressed.face_material[face]
        found = []
        for index, folds in enumerate(dressed.folds):
            if folds is None:
                continue
            rows = torch.nonzero(owner == index)[:, 0]
            corners, shares = dressed.faces[face[rows]], weights[rows]
            squeezed = (self._squeezed[corners] * shares).sum(dim=1)

            def height_m(at: Tensor, folds: Folds = folds, squeezed: Tensor = squeezed) -> Tensor:
                return folds.height_m(at, squeezed)

            found.append((rows, *_slope(height_m, self._template[corners], self._posed[corners], shares)))
        if not found:
            none = weights.new_zeros(0)
            return Raised(face[:0], none, none.view(0, 1).expand(0, 3))
        return Raised(*(torch.cat(values) for values in zip(*found, strict=True)))


def squeezed_along_z(
    template: Float[Tensor, "v 3"],
    rest: Float[Tensor, "v 3"],
    posed: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    rounds: int = 3,
) -> Float[Tensor, "v"]:
    """Share of the length along the template's z (that of limbs and trunk) that cloth lost from rest to the pose."""
    up = _sides(template, faces)[..., 2]
    before, after = (_gram(_sides(points, faces)) for points in (rest, posed))
    # The direction within the triangle in which z grows fastest, in shares of its sides.
    shares = torch.linalg.solve(before, up[..., None])[..., 0]
    was, now = ((shares[:, None] @ gram @ shares[..., None])[:, 0, 0] for gram in (before, after))
    lost = 1 - (now / was.clamp_min(1e-12)).clamp_min(0).sqrt()
    lost = torch.where(was > 1e-6, lost, 0.0).clamp(-1, 1)
    count = torch.zeros(len(rest)).index_add_(0, faces.flatten(), torch.ones(faces.numel())).clamp_min(1)
    at_vertices = torch.zeros(len(rest))
    for _ in range(rounds):
        at_vertices = torch.zeros(len(rest)).index_add_(0, faces.flatten(), lost.repeat_interleave(3)) / count
        lost = at_vertices[faces].mean(dim=1)
    return at_vertices


def _slope(
    height_m: Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]],
    template: Float[Tensor, "p 3 3"],
    posed: Float[Tensor, "p 3 3"],
    weights: Float[Tensor, "p 3"],
) -> tuple[Float[Tensor, "p"], Float[Tensor, "p 3"]]:
    """Height at points of triangles, and its gradient within the posed triangles."""
    at = (template * weights[..., None]).sum(dim=1)
    height = height_m(at)
    here, there = (points[:, 1:] - points[:, :1] for points in (template, posed))
    rises = []
    for side in range(2):
        length = here[:, side].norm(dim=1, keepdim=True).clamp_min(1e-6)
        ahead = height_m(at + PROBE_M * here[:, side] / length)
        rises.append((ahead - height) / PROBE_M * length[:, 0])
    shares = torch.linalg.solve(_gram(there), torch.stack(rises, dim=1)[..., None])[..., 0]
    return height, (shares[..., None] * there).sum(dim=1)


def _sides(points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "f 2 3"]:
    corners = points[faces]
    return corners[:, 1:] - corners[:, :1]


def _gram(sides: Float[Tensor, "f 2 3"]) -> Float[Tensor, "f 2 2"]:
    """Inner products of two sides, kept invertible."""
    gram = sides @ sides.transpose(1, 2)
    return gram + 1e-4 * gram.diagonal(dim1=1, dim2=2).sum(dim=1).clamp_min(1e-9)[:, None, None] * torch.eye(2)
