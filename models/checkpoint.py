"""The depth networks' weights as one safetensors file that says how they were made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from dancedepth.models.errors import WeightsError
from dancedepth.models.hdnet import PRESETS, HDNet
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

FORMAT = "dancedepth-hdnet-1"
"""Grows when a file of an older program could no longer be read."""

SHIPPED_WEIGHTS = Path(__file__).with_name("trained") / "small.safetensors"
"""The weights that the package brings; the model card lies beside them."""


@dataclass(frozen=True)
class Provenance:
    """How weights were made."""

    preset: str
    steps: int
    seed: int
    data: str
    """What they saw, in a sentence."""
    config: dict[str, Any] = field(default_factory=dict)
    """Of the training, as JSON has it."""
    scores: dict[str, float] = field(default_factory=dict)
    """On validation."""


def save_weights(path: Path, net: HDNet, provenance: Provenance) -> None:
    """Write weights whole or not at all."""
    tensors = {name: tensor.detach().float().cpu().contiguous() for name, tensor in net.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata={"format": FORMAT, "provenance": json.dumps(asdict(provenance))})
    part.replace(path)


def load_weights(path: Path, device: torch.device | str = "cpu") -> tuple[HDNet, Provenance]:
    """The networks, ready for inference, and how they were made.

    Raises:
        WeightsError: the file cannot be read, or is of another program.
    """
    remedy = "Name weights that `dancedepth train` wrote."
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"these weights cannot be read ({error})", str(path), remedy) from error
    if said.get("format") != FORMAT:
        raise WeightsError("this file does not hold the depth networks of this version", str(path), remedy)
    provenance = Provenance(**json.loads(said["provenance"]))
    if provenance.preset not in PRESETS:
        raise WeightsError(f"there is no network of preset {provenance.preset!r}", str(path), remedy)
    net = HDNet(provenance.preset, head=any(name.startswith("head_net.") for name in tensors))
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError("the weights do not fit the network of this version", str(path), remedy) from error
    return net.to(device).to(memory_format=torch.channels_last).eval(), provenance
