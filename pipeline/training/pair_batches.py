"""Batches of frame pairs from unlabelled clips: which pair every sample of every step is, and its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from dancedepth.models.inputs import NetworkInput
from dancedepth.models.pair_losses import Matches
from dancedepth.pipeline.training.clip_pairs import FramePair, read_pair
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.correspondences import Correspondences
from dancedepth.pipeline.training.dataset import collate
from dancedepth.pipeline.training.sample_files import read_sample
from dancedepth.pipeline.training.views import Sample
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.utils.data import Dataset

SEEDS = 1000
"""Trainings have seeds below this; a generator's seed counts to 2^32 only."""


@dataclass(frozen=True)
class PairSample:
    """Two frames of one dancer, and what corresponds."""

    first: Sample
    second: Sample
    points: Correspondences


@dataclass(frozen=True)
class PairBatch:
    """The first frames of all pairs, then the second ones, as one input."""

    given: NetworkInput
    matches: Matches

    def to(self, device: torch.device | str) -> PairBatch:
        """The same on another device."""
        m = self.matches
        moved = Matches(m.source_px.to(device), m.target_px.to(device), m.part.to(device), m.weight.to(device))
        return PairBatch(self.given.to(device), moved)


@dataclass(frozen=True)
class ClipFiles:
    """Where a prepared clip's frames and pairs lie."""

    frames: Path
    pairs: Path
    pair_count: int


class PairSet(Dataset[PairSample]):
    """Pairs by number, without end: any clip alike, any pair of it alike."""

    def __init__(self, clips: Sequence[ClipFiles], config: TrainConfig) -> None:
        self._clips, self._config = [clip for clip in clips if clip.pair_count], config

    def __getitem__(self, number: int) -> PairSample:
        """The training's pair sample `number`."""
        generator = torch.Generator().manual_seed((number * SEEDS + self._config.seed) % 2**32)
        clip = self._clips[int(torch.randint(len(self._clips), (1,), generator=generator))]
        pair = read_pair(clip.pairs, int(torch.randint(clip.pair_count, (1,), generator=generator)))
        pair = either_side(pair, generator)
        first, second = read_sample(clip.frames, pair.first), read_sample(clip.frames, pair.second)
        return PairSample(first, second, some_points(pair.points, self._config.videos.points, generator))


def either_side(pair: FramePair, generator: Generator) -> FramePair:
    """Every other time the second frame comes first."""
    return pair.turned_about() if float(torch.rand(1, generator=generator)) < 0.5 else pair


def some_points(points: Correspondences, count: int, generator: Generator) -> Correspondences:
    """At most so many of them."""
    some = torch.randperm(len(points.part), generator=generator)[:count]
    return Correspondences(points.source_px[some], points.target_px[some], points.part[some], points.weight[some])


def collate_pairs(pairs: Sequence[PairSample]) -> PairBatch:
    """Pairs to a batch; the shorter lists of points are padded with weight 0."""
    given = collate([*(pair.first for pair in pairs), *(pair.second for pair in pairs)]).given
    longest = max(len(pair.points.part) for pair in pairs)
    return PairBatch(
        given,
        Matches(
            source_px=_padded([pair.points.source_px for pair in pairs], longest),
            target_px=_padded([pair.points.target_px for pair in pairs], longest),
            part=_padded([pair.points.part for pair in pairs], longest),
            weight=_padded([pair.points.weight for pair in pairs], longest),
        ),
    )


def _padded(rows: list[Tensor], longest: int) -> Float[Tensor, "b n *c"] | Int[Tensor, "b n"]:
    out = rows[0].new_zeros(len(rows), longest, *rows[0].shape[1:])
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out
