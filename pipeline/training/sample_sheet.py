"""A picture of training samples: what the networks are given and what they shall say."""

from __future__ import annotations

from pathlib import Path

import torch
from dancedepth.pipeline.training.dataset import Batch, collate
from dancedepth.pipeline.training.diary import grey, shaded
from dancedepth.pipeline.training.people_folder import PeopleFolder
from dancedepth.pipeline.training.sample_files import read_sample
from jaxtyping import UInt8
from torch import Tensor

COLUMNS = 12
"""Samples in a row of the picture."""


def sample_sheet(people: PeopleFolder, seeds: list[int], views: int) -> UInt8[Tensor, "h w 3"]:
    """One sample a person; rows: picture, true normals, true depth, the given body's normals and depth."""
    samples = [read_sample(people.ready(seed), number % views) for number, seed in enumerate(seeds)]
    rows = [_strip(collate(samples[first : first + COLUMNS])) for first in range(0, len(samples), COLUMNS)]
    width = max(row.shape[2] for row in rows)
    padded = [torch.nn.functional.pad(row, (0, width - row.shape[2])) for row in rows]
    return (torch.cat(padded, dim=1).clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def _strip(batch: Batch) -> Tensor:
    given, mask = batch.given, batch.mask
    seen = given.coverage > 0
    rows = [
        given.image,
        shaded(batch.normals) * mask,
        grey(batch.depth) * mask,
        shaded(given.body_normals) * seen,
        grey(given.body_offset) * seen,
    ]
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)


def write_sheet(path: Path, sheet: UInt8[Tensor, "h w 3"]) -> None:
    """As PNG or JPEG, by the name's ending."""
    from PIL import Image

    Image.fromarray(sheet.numpy()).save(path, quality=88)
