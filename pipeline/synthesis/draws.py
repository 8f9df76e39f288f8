"""Random draws, from a generator that is handed in."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Generator

T = TypeVar("T")


def between(generator: Generator, low: float, high: float) -> float:
    """A number, evenly from `low` to `high`."""
    return low + (high - low) * float(torch.rand(1, generator=generator))


def chance(generator: Generator, share: float) -> bool:
    """True in so many of all cases."""
    return between(generator, 0, 1) < share


def pick(generator: Generator, options: tuple[T, ...]) -> T:
    """One of the options."""
    return options[int(torch.randint(len(options), (1,), generator=generator))]
