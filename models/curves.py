"""Values over a clip that change mostly together with their neighbours' in time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

KNOT_SPACINGS = (1, 3, 9)
"""Frames from one knot to the next, of each of the curves."""


class Curves:
    """Values in every frame of a clip, as a start and a sum of curves that are straight between their knots.

    Attributes:
        knots: what to take steps in, one leaf (k *v) for each spacing; all 0, which is the start.
    """

    def __init__(self, start: Float[Tensor, "n *v"]) -> None:
        self._start = start
        frames = torch.arange(len(start), device=start.device)
        self._before = [frames // spacing for spacing in KNOT_SPACINGS]
        self._share = [
            (frames % spacing / spacing).view(-1, *[1] * (start.dim() - 1)).to(start) for spacing in KNOT_SPACINGS
        ]
        self.knots = [start.new_zeros((int(before[-1]) + 2, *start.shape[1:])) for before in self._before]
        for knots in self.knots:
            knots.requires_grad_()

    def values(self) -> Float[Tensor, "n *v"]:
        """In every frame; differentiable by the knots."""
        total = self._start
        for knots, before, share in zip(self.knots, self._before, self._share, strict=True):
            total = total + torch.lerp(knots.index_select(0, before), knots.index_select(0, before + 1), share)
        return total
