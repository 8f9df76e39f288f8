"""The training's loss and validation's scores of one batch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from dancedepth.models import losses
from dancedepth.models.hdnet import OFFSET_UNIT, Prediction
from dancedepth.pipeline.training.config import LossConfig
from dancedepth.pipeline.training.dataset import Batch
from jaxtyping import Float
from torch import Tensor

HEIGHT_MM = 1700.0
"""Scores in millimetres are those of a person this tall."""


@dataclass(frozen=True)
class Losses:
    """Means over a batch, before their weights."""

    normals: Tensor
    depth_l1: Tensor
    depth_l2: Tensor
    scale_invariant: Tensor
    depth_normals: Tensor
    agreement: Tensor
    normal_changes: Tensor
    likelihood: Tensor

    def values(self) -> dict[str, float]:
        """Each by its name."""
        return {f.name: float(getattr(self, f.name).detach()) for f in fields(self)}

    def total(self, weights: LossConfig) -> Float[Tensor, ""]:
        """What the optimiser makes small."""
        return torch.stack([getattr(weights, f.name) * getattr(self, f.name) for f in fields(self)]).sum()


@dataclass(frozen=True)
class Scores:
    """One batch's means, `body_` those of the given body, on the pixels where the body is seen and the truth known."""

    normals_deg: float
    body_normals_deg: float
    depth_mm: float
    body_depth_mm: float
    scaled_depth_mm: float
    """After the one factor that fits the picture best (the median of the ratios)."""
    body_scaled_depth_mm: float
    depth_normals_deg: float
    """Of the predicted depth's own normals."""
    everywhere_normals_deg: float
    """On every pixel of the person, loose clothes and hair included."""
    everywhere_depth_mm: float


def losses_of(said: Prediction, batch: Batch) -> Losses:
    """Every loss, averaged over the samples."""
    mask, unit = batch.mask, 1 / OFFSET_UNIT
    away = said.depth + batch.given.root_depth
    own, smooth = losses.surface_normals(away, batch.given.rays, mask)
    turned_off = (said.normals.detach() - batch.normals).norm(dim=1, keepdim=True)
    misplaced = unit * (said.depth.detach() - batch.depth).abs()
    likelihood = losses.error_likelihood(turned_off, said.normal_scale, mask) + losses.error_likelihood(
        misplaced, said.depth_scale, mask
    )
    return Losses(
        normals=losses.normal_difference(said.normals, batch.normals, mask).mean(),
        depth_l1=losses.depth_l1(unit * said.depth, unit * batch.depth, mask).mean(),
        depth_l2=losses.depth_l2(unit * said.depth, unit * batch.depth, mask).mean(),
        scale_invariant=1000 * losses.scale_invariant_depth(away, batch.depth + batch.given.root_depth, mask).mean(),
        depth_normals=losses.normal_difference(own, batch.normals, smooth).mean(),
        agreement=losses.normal_difference(own, said.normals.detach(), smooth).mean(),
        normal_changes=losses.normal_changes(said.normals, batch.normals, mask).mean(),
        likelihood=likelihood.mean(),
    )


def scores_of(said: Prediction, batch: Batch) -> Scores:
    """Every score, averaged over the samples."""
    given = batch.given
    seen = batch.mask & (given.coverage > 0)
    body_normals = torch.nn.functional.normalize(given.body_normals, dim=1)
    own, smooth = losses.surface_normals(said.depth + given.root_depth, given.rays, batch.mask)
    values = {
        "normals_deg": losses.normal_angle_deg(said.normals, batch.normals, seen),
        "body_normals_deg": losses.normal_angle_deg(body_normals, batch.normals, seen),
        "depth_mm": HEIGHT_MM * losses.depth_l1(said.depth, batch.depth, seen),
        "body_depth_mm": HEIGHT_MM * losses.depth_l1(given.body_offset, batch.depth, seen),
        "scaled_depth_mm": _scaled_mm(said.depth, batch, seen),
        "body_scaled_depth_mm": _scaled_mm(given.body_offset, batch, seen),
        "depth_normals_deg": losses.normal_angle_deg(own, batch.normals, smooth),
        "everywhere_normals_deg": losses.normal_angle_deg(said.normals, batch.normals, batch.mask),
        "everywhere_depth_mm": HEIGHT_MM * losses.depth_l1(said.depth, batch.depth, batch.mask),
    }
    return Scores(**{name: float(value.mean()) for name, value in values.items()})


def mean_scores(scores: list[Scores]) -> Scores:
    """Over batches of one size."""
    return Scores(**{f.name: sum(getattr(s, f.name) for s in scores) / len(scores) for f in fields(Scores)})


def _scaled_mm(depth: Float[Tensor, "b 1 h w"], batch: Batch, mask: Tensor) -> Float[Tensor, "b"]:
    away, truth = depth + batch.given.root_depth, batch.depth + batch.given.root_depth
    ratio = torch.where(mask, truth / away, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num(1.0)
    return HEIGHT_MM * losses.depth_l1(away * ratio[:, None, None, None], truth, mask)
