"""Motion capture files in the Biovision format: a skeleton and its joint angles, as positions and rotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from dancedepth.pipeline.errors import StorageError, UsageError
from jaxtyping import Float
from torch import Tensor

MOST_FRAMES = 200_000


@dataclass(frozen=True)
class Capture:
    """A recorded motion in the file's own axes and units; rows of the motion are frames."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Float[Tensor, "n j 3"]
    rotations: Float[Tensor, "n j 3 3"]
    """World from joint."""
    frame_s: float

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return (len(self.positions) - 1) * self.frame_s


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float]
    channels: list[str]


def read_bvh(path: Path) -> Capture:
    """Read a BVH file.

    Raises:
        UsageError: there is no such file.
        StorageError: it is no BVH file.
    """
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError as error:
        raise UsageError(f"cannot read the motion ({error.strerror})", str(path), "Give a BVH file.") from error
    try:
        joints, at = _hierarchy(words)
        values, frame_s = _frames(words, at, sum(len(joint.channels) for joint in joints))
    except (ValueError, IndexError) as error:
        raise StorageError(f"this is no BVH motion ({error})", str(path), "Give a BVH file.") from error
    return _played(joints, values, frame_s)


def _hierarchy(words: list[str]) -> tuple[list[_Joint], int]:
    """The joints, parents first, end sites included, and where the motion starts."""
    if words[:1] != ["HIERARCHY"]:
        raise ValueError("it does not begin with HIERARCHY")
    joints: list[_Joint] = []
    stack: list[int] = []
    at = 1
    while words[at] != "MOTION":
        word = words[at]
        if word in ("ROOT", "JOINT", "End"):
            name = words[at + 1] if word != "End" else joints[stack[-1]].name + "_tip"
            joints.append(_Joint(name, stack[-1] if stack else -1, [0.0, 0.0, 0.0], []))
            at += 2
        elif word == "{":
            stack.append(len(joints) - 1)
            at += 1
        elif word == "}":
            stack.pop()
            at += 1
        elif word == "OFFSET":
            joints[stack[-1]].offset = [float(value) for value in words[at + 1 : at + 4]]
            at += 4
        elif word == "CHANNELS":
            count = int(words[at + 1])
            joints[stack[-1]].channels = words[at + 2 : at + 2 + count]
            at += 2 + count
        else:
            raise ValueError(f"unexpected word {word[:20]!r}")
    if not joints:
        raise ValueError("it has no joints")
    return joints, at + 1


def _frames(words: list[str], at: int, channels: int) -> tuple[Float[np.ndarray, "n c"], float]:
    if words[at] != "Frames:" or words[at + 2 : at + 4] != ["Frame", "Time:"]:
        raise ValueError("the number of frames or their time is missing")
    count, frame_s = int(words[at + 1]), float(words[at + 4])
    if not 0 < count <= MOST_FRAMES or not frame_s > 0:
        raise ValueError(f"{count} frames of {frame_s} s")
    values = np.array(words[at + 5 : at + 5 + count * channels], dtype=np.float64)
    if len(values) != count * channels or not np.isfinite(values).all():
        raise ValueError("it ends before its last frame, or holds values that are no numbers")
    return values.reshape(count, channels), frame_s


def _played(joints: list[_Joint], values: Float[np.ndarray, "n c"], frame_s: float) -> Capture:
    table = torch.from_numpy(values)
    positions: list[Tensor] = []
    rotations: list[Tensor] = []
    column = 0
    for joint in joints:
        local = torch.eye(3, dtype=torch.float64).expand(len(table), 3, 3)
        offset = torch.tensor(joint.offset, dtype=torch.float64).repeat(len(table), 1)
        moved = torch.zeros_like(offset)
        for channel in joint.channels:
            axis = "XYZ".index(channel[0])
            if channel.endswith("rotation"):
                local = local @ _turn(axis, torch.deg2rad(table[:, column]))
            else:
                moved[:, axis] = table[:, column]
            column += 1
        if joint.parent < 0:
            positions.append(offset + moved if any(c.endswith("position") for c in joint.channels) else offset)
            rotations.append(local)
        else:
            above = rotations[joint.parent]
            positions.append(positions[joint.parent] + (above @ (offset + moved)[..., None])[..., 0])
            rotations.append(above @ local)
    return Capture(
        tuple(joint.name for joint in joints),
        tuple(joint.parent for joint in joints),
        torch.stack(positions, dim=1),
        torch.stack(rotations, dim=1),
        frame_s,
    )


def _turn(axis: int, angle: Float[Tensor, "n"]) -> Float[Tensor, "n 3 3"]:
    matrix = torch.zeros(len(angle), 3, 3, dtype=angle.dtype)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, a, a] = matrix[:, b, b] = angle.cos()
    matrix[:, b, a], matrix[:, a, b] = angle.sin(), -angle.sin()
    return matrix
