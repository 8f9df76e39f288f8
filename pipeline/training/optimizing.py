"""How the optimiser is driven: the learning rate's course, which weights decay, and the average over the steps."""

from __future__ import annotations

import math

import torch
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.muon import Muon
from torch import Tensor, nn

LEAST_RATE = 0.02
"""Share of the learning rate that the cosine ends at."""
EMA_START = 10.0
"""The average follows quickly at first: after n steps it keeps n / (n + this)."""


def rate(step: int, config: TrainConfig) -> float:
    """Linear rise, then a cosine."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))


def optimizer_for(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The config's optimiser, at its highest rates; norms and biases do not decay."""
    if config.optimizer == "muon":
        return Muon(net, config.learning_rate, config.adam_rate, config.weight_decay)
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, ema: float, step: int) -> None:
    """The average after a step."""
    keep = min(ema, step / (step + EMA_START))
    old: list[Tensor] = list(average.parameters())
    torch._foreach_lerp_(old, [p.detach() for p in net.parameters()], 1 - keep)
