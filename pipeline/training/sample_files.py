"""Samples on disk: one safetensors file a person, read by memory mapping, view by view.

Lengths are kept as 16-bit steps of 0.03 thousandths of a body height (0.05 mm), normals as 8-bit, colours as 8-bit.
"""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import torch
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.training.views import Sample
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

LENGTH_STEPS = 32000.0
"""A body height."""
UNKNOWN = -32768
NORMAL_STEPS = 127.0


def write_samples(path: Path, samples: list[Sample]) -> None:
    """Write one person's samples, whole or not at all."""
    tensors = {
        f.name: torch.stack([_packed(f.name, getattr(s, f.name)) for s in samples]).contiguous() for f in fields(Sample)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part)
        part.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write samples ({error.strerror})", str(path), "Free some space.") from error


def read_sample(path: Path, index: int) -> Sample:
    """One view of a person."""
    try:
        with safe_open(path, framework="pt") as file:
            packed = {f.name: file.get_slice(f.name)[index] for f in fields(Sample)}
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot read samples ({error})", str(path), "Delete the file; it is made anew.") from error
    return Sample(**{name: _unpacked(name, tensor) for name, tensor in packed.items()})


def _packed(name: str, values: Tensor) -> Tensor:
    if name in ("body_offset", "depth", "canonical"):
        steps = (values * LENGTH_STEPS).round().clamp(UNKNOWN + 1, -UNKNOWN - 1)
        return torch.where(values.isnan(), UNKNOWN, steps.nan_to_num()).to(torch.int16)
    if name in ("body_normals", "normals"):
        return (values * NORMAL_STEPS).round().to(torch.int8)
    return values


def _unpacked(name: str, packed: Tensor) -> Tensor:
    if name in ("body_offset", "depth", "canonical"):
        return torch.where(packed == UNKNOWN, torch.nan, packed / LENGTH_STEPS)
    if name in ("body_normals", "normals"):
        return torch.nn.functional.normalize(packed.float(), dim=0)
    return packed
