"""The performer of a recording: the joints that every skeleton has, upright, facing the camera."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.synthesis.bvh import Capture
from dancedepth.pipeline.synthesis.rotations import about
from jaxtyping import Float
from torch import Tensor

NAMES = {
    "hips": ("Hips", "Hip", "pelvis", "mixamorig:Hips"),
    "neck": ("Neck", "neck", "mixamorig:Neck"),
    "head": ("Head", "head", "mixamorig:Head"),
    "shoulder": ("Arm", "Shoulder", "UpperArm"),
    "elbow": ("ForeArm", "Elbow", "LowerArm"),
    "wrist": ("Hand", "Wrist"),
    "hip": ("UpLeg", "Hip", "UpperLeg", "Thigh"),
    "knee": ("Leg", "Knee", "LowerLeg", "Shin"),
    "ankle": ("Foot", "Ankle"),
    "toe": ("ToeBase", "Toe", "Toe_End"),
}
"""Names of each joint in the files that are about; limbs' have Left or Right before them. `Arm` comes before
`Shoulder`, which is the collar bone where both occur."""


@dataclass(frozen=True)
class Joints:
    """Joint positions and the head's rotation, in a world with z up; rows are frames."""

    at: dict[str, Float[Tensor, "n 3"]]
    head: Float[Tensor, "n 3 3"]
    """World from the body's head, on the assumption that the recording began with a level gaze."""


def joints_at(capture: Capture, times_s: Float[Tensor, "n"]) -> Joints:
    """The performer at the given times of the recording; held at its last frame.

    Raises:
        StorageError: the skeleton lacks a joint that is needed.
    """
    index = _find_joints(capture)
    start = 1 if len(capture.positions) > 2 and _jumps(capture) else 0
    at = (times_s.double() / capture.frame_s + start).clamp(0, len(capture.positions) - 1)
    before = at.floor().long().clamp(max=max(len(capture.positions) - 2, 0))
    after = (before + 1).clamp(max=len(capture.positions) - 1)
    share = (at - before)[:, None, None]
    positions = torch.lerp(capture.positions[before], capture.positions[after], share)
    world = _upright(capture, index)
    positions = positions @ world.T
    turned = world @ capture.rotations[:, index["head"]] @ capture.rotations[:1, index["head"]].mT @ world.T
    across = world @ (capture.positions[0, index["shoulder.L"]] - capture.positions[0, index["shoulder.R"]])
    turned = turned @ about("z", torch.atan2(across[1], across[0])[None])
    step = roma.rotmat_to_rotvec(turned[before].mT @ turned[after])
    between = turned[before] @ roma.rotvec_to_rotmat(step * share[..., 0])
    joints = {name: positions[:, j] for name, j in index.items()}
    return Joints(joints, _facing_camera(joints, between))


def _find_joints(capture: Capture) -> dict[str, int]:
    names = {name.split(":")[-1].lower(): j for j, name in reversed(list(enumerate(capture.names)))}
    found: dict[str, int] = {}
    for key in ("hips", "neck", "head"):
        found[key] = _first(names, NAMES[key], key)
    for side, prefix in (("L", "Left"), ("R", "Right")):
        for key in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe"):
            found[f"{key}.{side}"] = _first(names, tuple(prefix + n for n in NAMES[key]), prefix + " " + key)
    return found


def _first(names: dict[str, int], options: tuple[str, ...], what: str) -> int:
    for option in options:
        if option.lower() in names:
            return names[option.lower()]
    raise StorageError(
        f"the skeleton has no joint for {what.lower()}", "--motion", f"Name it one of: {', '.join(options)}."
    )


def _jumps(capture: Capture) -> bool:
    """Whether the first frame is a T-pose set before the motion, as in files converted from CMU's."""
    moved = capture.positions.diff(dim=0)
    relative = (moved - moved[:, :1]).norm(dim=-1).mean(dim=1)
    return bool(relative[0] > 4 * relative[1:].median() + 1e-9)


def _upright(capture: Capture, index: dict[str, int]) -> Float[Tensor, "3 3"]:
    """World (z up) from the file's axes: the axis along which heads are above ankles most of the time is up."""
    feet = (capture.positions[:, index["ankle.L"]] + capture.positions[:, index["ankle.R"]]) / 2
    up = (capture.positions[:, index["head"]] - feet).mean(dim=0)
    if up.abs().argmax() == 1:
        return torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64)


def _facing_camera(joints: dict[str, Float[Tensor, "n 3"]], head: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3 3"]:
    """Turn everything so that the dancer starts facing -y, on a path about the origin; the head turns with it."""
    left = (joints["hip.L"] - joints["hip.R"])[0]
    yaw = -torch.atan2(left[1], left[0])
    turn = about("z", yaw[None])[0]
    path = joints["hips"][:, :2]
    centre = torch.cat(((path.amin(dim=0) + path.amax(dim=0)) / 2, path.new_zeros(1)))
    for name, points in joints.items():
        joints[name] = (points - centre) @ turn.T
    return turn @ head
