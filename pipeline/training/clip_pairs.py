"""Pairs of frames of one clip with their correspondences: found, and kept in files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.training.body_parts import body_parts
from dancedepth.pipeline.training.clip_frames import ClipFrame
from dancedepth.pipeline.training.correspondences import Correspondences, correspond
from dancedepth.pipeline.training.flow_chains import LONGEST, FlowChains
from dancedepth.pipeline.training.partners import pair_up
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

LEAST_SHARE = 0.003
"""Pairs with fewer correspondences than this share of the network's pixels (200 of 208x320) are left out."""
STEPS_PER_PX = 64.0
"""Image positions are kept in 16 bits."""


@dataclass(frozen=True)
class FramePair:
    """Positions in the clip's list of usable frames, and what corresponds."""

    first: int
    second: int
    points: Correspondences

    def turned_about(self) -> FramePair:
        """The same from the second frame's side."""
        points = self.points
        swapped = Correspondences(points.target_px, points.source_px, points.part, points.weight)
        return FramePair(self.second, self.first, swapped)


def find_pairs(frames: tuple[ClipFrame, ...], body: BodyModel, seed: int = 0) -> list[FramePair]:
    """Partners of every frame, and their correspondences; the same seed finds the same."""
    generator = torch.Generator().manual_seed(seed)
    parts, faces = body_parts(body), body.faces
    found = []
    bodies = [frame.body for frame in frames]
    chains = FlowChains(bodies, faces)
    for i, j in pair_up(bodies, faces, LONGEST, generator):
        points = chains.confirmed(i, j, correspond(bodies[i], bodies[j], faces, parts, generator))
        if len(points.part) >= LEAST_SHARE * frames[i].body.grey.numel():
            found.append(FramePair(i, j, points))
    return found


def write_pairs(path: Path, pairs: list[FramePair]) -> None:
    """Write a clip's pairs, whole or not at all."""
    ends = torch.tensor([0, *(len(pair.points.part) for pair in pairs)]).cumsum(0)
    tensors = {
        "frames": torch.tensor([[pair.first, pair.second] for pair in pairs]).view(-1, 2),
        "ends": ends,
        "source_px": _joined([pair.points.source_px for pair in pairs], 2),
        "target_px": _joined([pair.points.target_px for pair in pairs], 2),
        "part": torch.cat([torch.zeros(0), *(pair.points.part for pair in pairs)]).to(torch.uint8),
        "weight": (torch.cat([torch.zeros(0), *(pair.points.weight for pair in pairs)]) * 255).round().to(torch.uint8),
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part)
        part.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write pairs ({error.strerror})", str(path), "Free some space.") from error


def read_pair(path: Path, number: int) -> FramePair:
    """One pair of a clip's file."""
    try:
        with safe_open(path, framework="pt") as file:
            first, second = file.get_slice("frames")[number].tolist()
            start, end = file.get_slice("ends")[number : number + 2].tolist()
            source, target, part, weight = (
                file.get_slice(name)[start:end] for name in ("source_px", "target_px", "part", "weight")
            )
    except (OSError, SafetensorError) as error:
        remedy = "Delete the clip's folder; it is made anew."
        raise StorageError(f"cannot read pairs ({error})", str(path), remedy) from error
    points = Correspondences(source / STEPS_PER_PX, target / STEPS_PER_PX, part.long(), weight.float() / 255)
    return FramePair(first, second, points)


def _joined(positions: list[torch.Tensor], width: int) -> torch.Tensor:
    joined = torch.cat([torch.zeros(0, width), *positions])
    return (joined * STEPS_PER_PX).round().clamp(0, 32767).to(torch.int16)
