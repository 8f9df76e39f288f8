"""A captured motion on this body: every limb points where the performer's did.

Only joint positions are trusted, because files differ in what their joint frames and zero poses mean. Elbows and knees
give the limbs' twist where they are bent; the head's turn comes from its rotation since the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.synthesis.bvh import Capture
from dancedepth.pipeline.synthesis.motion import WorldMotion
from dancedepth.pipeline.synthesis.rotations import about, about_axis, swing
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
TWIST_WINDOW_S = 0.3
"""Twist is averaged over about this time: it is ill-defined while a limb is straight."""
STRAIGHT = 0.25
"""Sine of the bend below which a limb's own plane counts for little."""


@dataclass(frozen=True)
class _Joints:
    """Joint positions and the head's rotation, in a world with z up; rows are frames."""

    at: dict[str, Float[Tensor, "n 3"]]
    head: Float[Tensor, "n 3 3"]
    """World from the body's head, on the assumption that the recording began with a level gaze."""


def retarget(
    capture: Capture, body: BodyModel, rest: RestBody, times_s: Float[Tensor, "n"], sole_m: float = 0.0
) -> WorldMotion:
    """The motion at the given times of the recording (held at its last frame), feet on the floor, scaled to the legs.

    Raises:
        StorageError: the skeleton lacks a joint that is needed.
    """
    joints = _resampled(capture, times_s)
    heads = rest.bone_poses[:, :3, 3].double()
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(times_s), len(heads), 1, 1)
    step_s = float(times_s[1] - times_s[0]) if len(times_s) > 1 else 1.0
    pelvis, chest = _pelvis(joints, body, heads), _chest(joints, body, heads)
    rotations[:, 0] = pelvis
    _spread(body, rotations, pelvis.mT @ chest, ("spine05", "spine04", "spine03", "spine02", "spine01"))
    _spread(body, rotations, chest.mT @ joints.head, ("neck01", "neck02", "neck03", "head"))
    for side in "LR":
        _limb(joints, body, heads, rotations, chest, _ARM, side, step_s)
        _limb(joints, body, heads, rotations, pelvis, _LEG, side, step_s)
    root = _root(joints, heads, body, pelvis)
    return _grounded(body, rest, rotations.float(), root.float(), sole_m)


def _resampled(capture: Capture, times_s: Float[Tensor, "n"]) -> _Joints:
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
    return _Joints(joints, _facing_camera(joints, between))


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


def _frame(across: Float[Tensor, "n 3"], up: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Axes whose first is `across` and whose third leans to `up`."""
    first = torch.nn.functional.normalize(across, dim=-1)
    third = torch.nn.functional.normalize(up - (up * first).sum(dim=-1, keepdim=True) * first, dim=-1)
    return torch.stack((first, torch.linalg.cross(third, first, dim=-1), third), dim=-1)


def _pelvis(joints: _Joints, body: BodyModel, heads: Float[Tensor, "j 3"]) -> Float[Tensor, "n 3 3"]:
    """World from the body's pelvis: the line of the hips, and the lower back's direction."""
    at = joints.at
    middle = (at["hip.L"] + at["hip.R"]) / 2
    waist = torch.lerp(middle, (at["shoulder.L"] + at["shoulder.R"]) / 2, 0.5)
    true = _frame(at["hip.L"] - at["hip.R"], waist - middle)
    hips = [heads[body.bone(f"upperleg01.{s}")] for s in "LR"]
    shoulders = [heads[body.bone(f"upperarm01.{s}")] for s in "LR"]
    up = (shoulders[0] + shoulders[1]) / 2 - (hips[0] + hips[1]) / 2
    return true @ _frame((hips[0] - hips[1])[None], up[None])[0].T


def _chest(joints: _Joints, body: BodyModel, heads: Float[Tensor, "j 3"]) -> Float[Tensor, "n 3 3"]:
    """World from the body's chest: the line of the shoulders, and the spine's direction."""
    at = joints.at
    true = _frame(at["shoulder.L"] - at["shoulder.R"], at["neck"] - (at["hip.L"] + at["hip.R"]) / 2)
    shoulders = [heads[body.bone(f"upperarm01.{s}")] for s in "LR"]
    hips = [heads[body.bone(f"upperleg01.{s}")] for s in "LR"]
    up = heads[body.bone("neck01")] - (hips[0] + hips[1]) / 2
    return true @ _frame((shoulders[0] - shoulders[1])[None], up[None])[0].T


def _spread(body: BodyModel, rotations: Tensor, total: Float[Tensor, "n 3 3"], bones: tuple[str, ...]) -> None:
    """Share a rotation equally among a chain of bones."""
    part = roma.rotvec_to_rotmat(roma.rotmat_to_rotvec(total) / len(bones))
    for name in bones:
        rotations[:, body.bone(name)] = part


@dataclass(frozen=True)
class _Limb:
    joints: tuple[str, str, str]
    bones: tuple[str, str, str]
    pole: tuple[float, float, float]
    """Where the middle joint points when the limb is straight and untwisted, rest axes."""


_ARM = _Limb(("shoulder", "elbow", "wrist"), ("upperarm", "lowerarm", "wrist"), (0.0, 0.6, -0.4))
_LEG = _Limb(("hip", "knee", "ankle"), ("upperleg", "lowerleg", "foot"), (0.0, -1.0, 0.0))


def _limb(
    joints: _Joints,
    body: BodyModel,
    heads: Float[Tensor, "j 3"],
    rotations: Float[Tensor, "n j 3 3"],
    trunk: Float[Tensor, "n 3 3"],
    limb: _Limb,
    side: str,
    step_s: float,
) -> None:
    """Both bones along the performer's, twisted so that the joint between them bends the right way."""
    first, middle, last = (joints.at[f"{name}.{side}"] for name in limb.joints)
    upper = (trunk.mT @ (middle - first)[..., None])[..., 0]
    lower = (trunk.mT @ (last - middle)[..., None])[..., 0]
    names = [f"{limb.bones[0]}01.{side}", f"{limb.bones[1]}01.{side}", f"{limb.bones[2]}.{side}"]
    start, bend, end = (heads[body.bone(name)] for name in names)
    rest_upper, rest_lower = bend - start, end - bend
    swung = swing(rest_upper, upper)
    hinge = torch.linalg.cross(rest_upper, rest_lower, dim=0)
    if (
        limb is _LEG
    ):  # a leg is nearly straight at rest: its hinge is where the knee points, not where it happens to lean
        hinge = torch.linalg.cross(torch.tensor(limb.pole, dtype=torch.float64), rest_upper, dim=0)
    twist = _twist(swung, rest_upper, hinge, upper, lower, step_s)
    turned = swung @ about_axis(rest_upper, twist)
    below = swing(rest_lower, (turned.mT @ lower[..., None])[..., 0])
    half = about_axis(rest_upper, twist / 2)
    if limb is _ARM:
        rotations[:, body.bone(names[0])] = swung @ half
        rotations[:, body.bone(f"{limb.bones[0]}02.{side}")] = half
        rotations[:, body.bone(names[1])] = below
        return
    rotations[:, body.bone(names[0])] = turned
    rotations[:, body.bone(names[1])] = below
    _foot(joints, body, heads, rotations, trunk @ turned @ below, side)


def _twist(
    swung: Float[Tensor, "n 3 3"],
    axis: Float[Tensor, "3"],
    hinge: Float[Tensor, "3"],
    upper: Float[Tensor, "n 3"],
    lower: Float[Tensor, "n 3"],
    step_s: float,
) -> Float[Tensor, "n"]:
    """Turn about the upper bone that brings the joint's hinge to the performer's, averaged where it is bent."""
    normalize = torch.nn.functional.normalize
    across = (swung.mT @ torch.linalg.cross(normalize(upper, dim=1), normalize(lower, dim=1), dim=1)[..., None])[..., 0]
    along = normalize(axis, dim=0)
    zero = normalize(hinge - (hinge @ along) * along, dim=0)
    ninety = torch.linalg.cross(along, zero, dim=0)
    plane = torch.stack((across @ zero, across @ ninety), dim=1)
    plane = plane + torch.tensor([STRAIGHT**2, 0.0], dtype=plane.dtype)
    radius = max(1, round(TWIST_WINDOW_S / step_s))
    kernel = torch.hann_window(2 * radius + 3, periodic=False, dtype=plane.dtype)[1:-1]
    padded = torch.cat((plane[:1].expand(radius, 2), plane, plane[-1:].expand(radius, 2)))
    smooth = (padded.unfold(0, 2 * radius + 1, 1) * kernel).sum(dim=-1)
    return torch.atan2(smooth[:, 1], smooth[:, 0])


def _foot(
    joints: _Joints, body: BodyModel, heads: Tensor, rotations: Tensor, shin: Float[Tensor, "n 3 3"], side: str
) -> None:
    """The foot along ankle and toe; its roll stays the shin's."""
    toe = joints.at[f"toe.{side}"] - joints.at[f"ankle.{side}"]
    rest_toe = heads[body.bone(f"toe3-1.{side}")] - heads[body.bone(f"foot.{side}")]
    rotations[:, body.bone(f"foot.{side}")] = swing(rest_toe, (shin.mT @ toe[..., None])[..., 0])


def _root(joints: _Joints, heads: Tensor, body: BodyModel, pelvis: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
    """The middle of the hips where the performer's was, scaled by the length of the legs."""
    at = joints.at
    legs = [
        (at[f"hip.{s}"] - at[f"knee.{s}"]).norm(dim=1) + (at[f"knee.{s}"] - at[f"ankle.{s}"]).norm(dim=1) for s in "LR"
    ]
    chain = [heads[body.bone(name)] for name in ("upperleg01.L", "lowerleg01.L", "foot.L")]
    own = (chain[0] - chain[1]).norm() + (chain[1] - chain[2]).norm()
    scale = own / torch.stack(legs).mean()
    middle = (heads[body.bone("upperleg01.L")] + heads[body.bone("upperleg01.R")]) / 2
    return (at["hip.L"] + at["hip.R"]) / 2 * scale - pelvis @ (middle - heads[0])


def _grounded(
    body: BodyModel, rest: RestBody, rotations: Float[Tensor, "n j 3 3"], root: Float[Tensor, "n 3"], sole_m: float
) -> WorldMotion:
    """Lift or lower the whole motion so that its lowest soles stand on the floor."""
    low = torch.arange(SKIN_VERTICES)[::11]
    poses = body.pose(rest.bone_poses[None, :, :3, 3], rotations, root)
    points = body.skin(rest.vertices[low], poses, body.skin_weights[low], body.skin_bones[low])
    floor = points[..., 2].amin(dim=1).quantile(0.05) - sole_m
    return WorldMotion(rotations, root - root.new_tensor([0, 0, 1.0]) * floor)
