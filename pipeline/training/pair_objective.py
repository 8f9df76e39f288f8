"""What pairs of unlabelled frames teach in one batch."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from dancedepth.models import losses, pair_losses
from dancedepth.models.hdnet import Prediction, person_mask
from dancedepth.models.inputs import NetworkInput
from dancedepth.models.rigid_parts import PartMotions
from dancedepth.pipeline.training.body_parts import PARTS
from dancedepth.pipeline.training.config import PairLossConfig
from dancedepth.pipeline.training.pair_batches import PairBatch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

BODY_REACH = 33
"""Pixels over which differences from the body are averaged: clothes differ from it, the whole does not."""


@dataclass(frozen=True)
class PairLosses:
    """Means over a batch, before their weights."""

    warp: Tensor
    photometric: Tensor
    turned_normals: Tensor
    agreement: Tensor
    smoothness: Tensor
    anchor: Tensor
    anchor_normals: Tensor

    def values(self) -> dict[str, float]:
        """Each by its name."""
        return {f.name: float(getattr(self, f.name).detach()) for f in fields(self)}

    def total(self, weights: PairLossConfig) -> Float[Tensor, ""]:
        """What the optimiser makes small."""
        return torch.stack([getattr(weights, f.name) * getattr(self, f.name) for f in fields(self)]).sum()


def pair_losses_of(
    said: Prediction, batch: PairBatch, weights: PairLossConfig, still: Prediction | None = None
) -> PairLosses:
    """Every loss of the predictions of a pair batch.

    Args:
        still: what a network that stands still says of it; None: the body is the anchor, and normals have none.
    """
    given, matches, pairs = batch.given, batch.matches, len(batch.matches.part)
    away, person = said.depth + given.root_depth, person_mask(given)
    source = pair_losses.lift(away[:pairs], given.rays[:pairs], matches.source_px)
    target = pair_losses.lift(away[pairs:], given.rays[pairs:], matches.target_px)
    normals = [
        normalize(pair_losses.sample(maps, pixels), dim=-1, eps=1e-4)
        for maps, pixels in zip(said.normals.split(pairs), (matches.source_px, matches.target_px), strict=True)
    ]
    motions = pair_losses.solve_motions(source, target, matches, len(PARTS))
    fixed = PartMotions(motions.rotation.detach(), motions.translation.detach(), motions.known)
    facing = normals[1].detach() if weights.along < 1 else None
    own, smooth = losses.surface_normals(away, given.rays, person)
    images, rays = given.image, given.rays
    return PairLosses(
        warp=pair_losses.warp(source, target, matches, motions, facing, weights.along).mean(),
        photometric=pair_losses.photometric(
            images[:pairs], images[pairs:], rays[pairs:], source, matches, motions
        ).mean(),
        turned_normals=pair_losses.turned_normals(normals[0], normals[1], matches, fixed).mean(),
        agreement=losses.normal_difference(own, said.normals.detach(), smooth).mean(),
        smoothness=pair_losses.smoothness(away, images, person).mean(),
        anchor=_anchor(said, given, still),
        anchor_normals=losses.normal_difference(said.normals, still.normals, person).mean()
        if still is not None
        else away.new_zeros(()),
    )


def rows(said: Prediction, some: slice) -> Prediction:
    """Some samples of a batch."""
    return Prediction(**{f.name: getattr(said, f.name)[some] for f in fields(Prediction)})


def _anchor(said: Prediction, given: NetworkInput, still: Prediction | None) -> Float[Tensor, ""]:
    person = person_mask(given)
    if still is not None:
        return pair_losses.anchoring(said.depth, still.depth, person).mean()
    return pair_losses.anchoring(said.depth, given.body_offset, person, BODY_REACH).mean()
