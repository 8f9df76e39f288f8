from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.ranks import RanksError, launched, node_share, require_same_weights
from torch import nn


@dataclass
class Rank:
    """What is asked of a Fabric, for one process of two nodes with two processes each."""

    node_rank: int
    local_rank: int
    world_size: int = 4
    strategy: Any = field(default_factory=lambda: SimpleNamespace(num_nodes=2))


def test_nodes_share_the_work() -> None:
    shares = [node_share(Rank(node, local), list(range(5))) for node in range(2) for local in range(2)]  # type: ignore[arg-type]
    assert shares == [[0, 2, 4], [], [1, 3], []]


@pytest.mark.parametrize("off", [1e-6, -1e-6])
def test_drifting_apart_is_noticed(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(net.state_dict())

    def largest(mine: torch.Tensor, operation: object) -> None:
        sums = torch.stack([total for p in other.parameters() for total in (p.double().sum(), p.double().abs().sum())])
        mine.copy_(torch.maximum(mine, torch.stack((sums, -sums))))

    monkeypatch.setattr(torch.distributed, "all_reduce", largest)
    require_same_weights(Rank(0, 0), net, 7)  # type: ignore[arg-type]
    with torch.no_grad():
        other.bias[1] += off
    with pytest.raises(RanksError, match="differ at step 7"):
        require_same_weights(Rank(0, 0), net, 7)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA devices that are not there")
def test_devices_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="cannot be spread"):
        launched(TrainConfig(), "cuda", 2, 1)
