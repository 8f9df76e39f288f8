"""The processes of a training: one, several on this machine, or several on many machines, by Lightning Fabric."""

from __future__ import annotations

import os
from typing import Any

import torch
from dancedepth.pipeline.errors import DanceDepthError, UsageError
from dancedepth.pipeline.training.config import TrainConfig
from lightning.fabric import Fabric
from torch import nn


class RanksError(DanceDepthError):
    """The processes of a training cannot work together."""


def launched(config: TrainConfig, device: str, devices: int | None, nodes: int) -> Fabric:
    """A Fabric whose processes run; on return, this is one of them.

    Whoever starts processes themselves (torchrun, SLURM) has said how many; else each node's first process starts the
    others of its node. Nodes find each other by MASTER_ADDR, MASTER_PORT and NODE_RANK.

    Args:
        config: of the training.
        device: `auto`, `cpu` or `cuda`.
        devices: processes on each node; None: one a CUDA device, or one.
        nodes: machines that take part.

    Raises:
        UsageError: there are not so many devices.
        RanksError: the processes do not find each other.
    """
    here, there = _asked(device, devices, nodes)
    try:
        fabric = Fabric(accelerator=device, devices=here, num_nodes=there, precision=_precision(config, device))
        fabric.launch()
    except torch.distributed.DistError as error:
        said = " ".join(str(error).split())
        remedy = "Are MASTER_ADDR and MASTER_PORT those of the first node, and reachable?"
        raise RanksError(f"the processes do not find each other ({said})", "--nodes", remedy) from error
    except (ValueError, RuntimeError) as error:
        what = f"the training cannot be spread so ({' '.join(str(error).split())})"
        raise UsageError(what, "--devices, --nodes", "Ask for what is there") from error
    if config.threads:
        torch.set_num_threads(config.threads)
    return fabric


def require_same_weights(fabric: Fabric, net: nn.Module, step: int) -> None:
    """Every process must hold the same numbers: a checkpoint of one is a checkpoint of all.

    Raises:
        RanksError: they have drifted apart.
    """
    if fabric.world_size == 1:
        return
    with torch.no_grad():
        sums = torch.stack([total for p in net.parameters() for total in (p.double().sum(), p.double().abs().sum())])
    most = torch.stack((sums, -sums))
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    if not torch.equal(most[0], -most[1]):
        remedy = "Do all nodes have the same versions and devices?"
        raise RanksError(f"the processes' weights differ at step {step}", "", remedy)


def node_share(fabric: Fabric, seeds: list[int]) -> list[int]:
    """What of a shared list of work this process starts: nodes share it, the first process of each does its part."""
    nodes = getattr(fabric.strategy, "num_nodes", 1)
    return seeds[fabric.node_rank :: nodes] if fabric.local_rank == 0 else []


def _asked(device: str, devices: int | None, nodes: int) -> tuple[Any, int]:
    if torch.distributed.is_torchelastic_launched():
        on_each = int(os.environ["LOCAL_WORLD_SIZE"])
        return on_each, int(os.environ["WORLD_SIZE"]) // on_each
    return devices or ("auto" if device != "cpu" else 1), nodes


def _precision(config: TrainConfig, device: str) -> Any:
    if config.precision != "auto":
        return config.precision
    return "bf16-mixed" if device != "cpu" and torch.cuda.is_available() else "32-true"
