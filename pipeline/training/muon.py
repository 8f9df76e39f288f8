"""Muon (Jordan et al. 2024, "An optimizer for hidden layers in neural networks"), and AdamW for what it is not for.

The momentum of a weight matrix is replaced by the nearest orthogonal one before it is applied, so that directions in
which gradients are always small are learned as fast as the others. Untaught networks learn about twice as fast with it
as with AdamW; what they come to in the end is measured in `docs/experiments/depth-models.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ROUNDS = 5
"""Of Newton and Schulz's iteration; singular values come out between 0.7 and 1.2, which does."""
POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""The coefficients of it that grow small singular values fastest (the source's)."""
ADAM_BETAS, ADAM_EPS = (0.9, 0.98), 1e-8


class Muon(torch.optim.Optimizer):
    """For convolutional networks: kernels between hidden layers are matrices of (out) x (in * height * width).

    Args:
        net: its first and last layers are AdamW's, as are all vectors.
        rate: of the matrices; the spectral norm of each step, about.
        adam_rate: of all else.
        decay: share of the weights, but vectors, that a step at rate 1 takes away.
    """

    def __init__(self, net: nn.Module, rate: float, adam_rate: float, decay: float) -> None:
        outer = {id(p) for name, p in net.named_parameters() if ".stem." in name or ".head." in name}
        hidden = [p for p in net.parameters() if p.ndim > 1 and id(p) not in outer]
        edges = [p for p in net.parameters() if p.ndim > 1 and id(p) in outer]
        vectors = [p for p in net.parameters() if p.ndim <= 1]
        groups = [
            {"params": hidden, "lr": rate, "weight_decay": decay, "orthogonal": True},
            {"params": edges, "lr": adam_rate, "weight_decay": decay, "orthogonal": False},
            {"params": vectors, "lr": adam_rate, "weight_decay": 0.0, "orthogonal": False},
        ]
        super().__init__(groups, {})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._orthogonal if group["orthogonal"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(group["lr"] * update(parameter.grad, self.state[parameter]))
        return loss

    def _orthogonal(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(state["momentum"], MOMENTUM).flatten(1)
        tall = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        return orthogonalized(matrix).view_as(gradient) * tall

    def _adam(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        if not state:
            state["steps"] = 0
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
        state["steps"] += 1
        state["mean"].lerp_(gradient, 1 - ADAM_BETAS[0])
        state["square"].lerp_(gradient**2, 1 - ADAM_BETAS[1])
        mean, square = (
            state[name] / (1 - beta ** state["steps"])
            for name, beta in zip(("mean", "square"), ADAM_BETAS, strict=True)
        )
        return mean / (square.sqrt() + ADAM_EPS)


def orthogonalized(matrix: Tensor) -> Tensor:
    """The (m n) matrix with singular values near 1, by Newton and Schulz's iteration."""
    a, b, c = POLYNOMIAL
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(ROUNDS):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * square @ square) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
