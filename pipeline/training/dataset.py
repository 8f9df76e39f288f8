"""Batches for the training: which person and view every sample of every step is, and its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.inputs import NetworkInput, camera_rays, from_maps, stack_inputs
from dancedepth.pipeline.training.augment import augmented
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.people import VALIDATION_SEED
from dancedepth.pipeline.training.people_folder import PeopleFolder
from dancedepth.pipeline.training.sample_files import read_sample
from dancedepth.pipeline.training.views import Sample
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.data import Dataset, Sampler

PEOPLE_PER_SEED = 1_000_000
SEED_STEP = 100_000_007
"""Between the samples of trainings with neighbouring seeds; a generator knows 32 bits of its seed."""


@dataclass(frozen=True)
class Batch:
    """Inputs and truth in network space."""

    given: NetworkInput
    depth: Float[Tensor, "b 1 h w"]
    """From the given body's root, in body heights; 0 where unknown."""
    normals: Float[Tensor, "b 3 h w"]
    mask: Bool[Tensor, "b 1 h w"]
    """Where the truth is known."""

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(self.given.to(device), self.depth.to(device), self.normals.to(device), self.mask.to(device))


@dataclass(frozen=True)
class Schedule:
    """Which samples a step uses: a window of people that moves on, and random views of random people in it."""

    config: TrainConfig
    ranks: int = 1

    def window(self, step: int, people: int | None = None) -> range:
        """Seeds of the people who are at hand in a step: as many as the config says, or `people`."""
        first = int(step * self.config.data.fresh_people)
        base = self.config.seed * PEOPLE_PER_SEED + first
        return range(base, base + (people or self.config.data.people))

    def pick(self, number: int) -> tuple[int, int, int]:
        """Person, view, and seed of the augmentation of the training's sample `number`."""
        generator = torch.Generator().manual_seed((self.config.seed * SEED_STEP + number) % 2**32)
        window = self.window(number // (self.config.batch * self.ranks))
        person = window[int(torch.randint(len(window), (1,), generator=generator))]
        view = int(torch.randint(self.config.data.views, (1,), generator=generator))
        return person, view, int(torch.randint(2**31, (1,), generator=generator))


class TrainingSet(Dataset[Sample]):
    """Samples by number, without end."""

    def __init__(self, people: PeopleFolder, schedule: Schedule) -> None:
        self._people, self._schedule = people, schedule

    def __getitem__(self, number: int) -> Sample:
        """The sample, augmented."""
        person, view, seed = self._schedule.pick(number)
        sample = read_sample(self._people.ready(person), view)
        return augmented(sample, torch.Generator().manual_seed(seed))


class Steps(Sampler[list[int]]):
    """Sample numbers of one rank's batches, from a step on."""

    def __init__(self, config: TrainConfig, start: int, rank: int = 0, ranks: int = 1) -> None:
        self._config, self._start, self._rank, self._ranks = config, start, rank, ranks

    def __iter__(self) -> Iterator[list[int]]:
        batch = self._config.batch
        for step in range(self._start, self._config.steps):
            first = (step * self._ranks + self._rank) * batch
            yield list(range(first, first + batch))

    def __len__(self) -> int:
        return max(0, self._config.steps - self._start)


def validation_batches(people: PeopleFolder, config: TrainConfig) -> Iterator[Batch]:
    """Every view of the held-out people, one person a batch, as rendered."""
    for seed in validation_seeds(config):
        path = people.ready(seed)
        yield collate([read_sample(path, view) for view in range(config.data.views)])


def validation_seeds(config: TrainConfig) -> list[int]:
    """The held-out people."""
    return list(range(VALIDATION_SEED, VALIDATION_SEED + config.data.validation_people))


def collate(samples: list[Sample]) -> Batch:
    """Samples to a batch."""
    mask = torch.stack([~sample.depth.isnan() & (sample.alpha >= 128) for sample in samples])
    return Batch(
        stack_inputs([_given(sample) for sample in samples]),
        torch.stack([sample.depth for sample in samples]).nan_to_num(),
        torch.stack([sample.normals for sample in samples]),
        mask,
    )


def _given(sample: Sample) -> NetworkInput:
    height, width = sample.rgb.shape[-2:]
    focal, cx, cy, root = sample.camera.tolist()
    alpha = sample.alpha[None].float() / 255
    return from_maps(
        image=sample.rgb[None].float() / 255 * alpha,
        alpha=alpha,
        offset=sample.body_offset[None].nan_to_num(),
        seen=~sample.body_offset[None].isnan(),
        body_normals=sample.body_normals[None],
        canonical=sample.canonical[None].nan_to_num(),
        rays=camera_rays(Camera(focal, cx, cy, width, height)),
        root_depth=torch.full((1, 1, 1, 1), root),
    )
