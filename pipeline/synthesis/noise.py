"""Noise and soft steps that patterns are made of; the same on every machine."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor


def step(value: Float[Tensor, "p"], width: float = 0.1) -> Float[Tensor, "p"]:
    """0 below zero, 1 above, soft over `width`."""
    return (value / width + 0.5).clamp(0, 1)


def hashed(cells: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
    """White noise 0-1, constant in each unit cell; repeats after `NOISE_PERIOD` cells."""
    ix, iy, iz = (cells.floor().to(torch.int32) & (NOISE_PERIOD - 1)).unbind(dim=1)
    table = _noise_table(cells.device)[0, 0, :-1, :-1, :-1]
    return table[iz.long(), iy.long(), ix.long()]


def value_noise(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
    """Smooth noise 0-1 with features of about one unit."""
    base = points.floor()
    share = points - base
    at = base.remainder(NOISE_PERIOD) + share * share * (3 - 2 * share)
    grid = (at * (2 / NOISE_PERIOD) - 1)[None, None, None]
    table = _noise_table(points.device)
    return torch.nn.functional.grid_sample(table, grid, align_corners=True)[0, 0, 0, 0]


NOISE_PERIOD = 64
"""A power of two."""


@cache
def _noise_table(device: torch.device) -> Float[Tensor, "1 1 n n n"]:
    generator = torch.Generator().manual_seed(1)
    table = torch.rand(NOISE_PERIOD, NOISE_PERIOD, NOISE_PERIOD, generator=generator)
    for axis in range(3):  # the far side repeats the near one, so that interpolation can run across it
        table = torch.cat((table, table.narrow(axis, 0, 1)), dim=axis)
    return table[None, None].to(device)
