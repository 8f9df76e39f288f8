"""A captured motion on this body: every limb points where the performer's did.

Only joint positions are trusted, because files differ in what their joint frames and zero poses mean. Elbows and knees
give the limbs' twist where they are bent; the head's turn comes from its rotation since the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.pipeline.synthesis.bvh import Capture
from dancedepth.pipeline.synthesis.motion import WorldMotion
from dancedepth.pipeline.synthesis.performer import Joints, joints_at
from dancedepth.pipeline.synthesis.rotations import about_axis, swing
from jaxtyping import Float
from torch import Tensor

TWIST_WINDOW_S = 0.3
"""Twist is averaged over about this time: it is ill-defined while a limb is straight."""
STRAIGHT = 0.25
"""Sine of the bend below which a limb's own plane counts for little."""


def retarget(
    capture: Capture, body: BodyModel, rest: RestBody, times_s: Float[Tensor, "n"], sole_m: float = 0.0
) -> WorldMotion:
    """The motion at the given times of the recording (held at its last frame), feet on the floor, scaled to the legs.

    Raises:
        StorageError: the skeleton lacks a joint that is needed.
    """
    joints = joints_at(capture, times_s)
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


def _frame(across: Float[Tensor, "n 3"], up: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Axes whose first is `across` and whose third leans to `up`."""
    first = torch.nn.functional.normalize(across, dim=-1)
    third = torch.nn.functional.normalize(up - (up * first).sum(dim=-1, keepdim=True) * first, dim=-1)
    return torch.stack((first, torch.linalg.cross(third, first, dim=-1), third), dim=-1)


def _pelvis(joints: Joints, body: BodyModel, heads: Float[Tensor, "j 3"]) -> Float[Tensor, "n 3 3"]:
    """World from the body's pelvis: the line of the hips, and the lower back's direction."""
    at = joints.at
    middle = (at["hip.L"] + at["hip.R"]) / 2
    waist = torch.lerp(middle, (at["shoulder.L"] + at["shoulder.R"]) / 2, 0.5)
    true = _frame(at["hip.L"] - at["hip.R"], waist - middle)
    hips = [heads[body.bone(f"upperleg01.{s}")] for s in "LR"]
    shoulders = [heads[body.bone(f"upperarm01.{s}")] for s in "LR"]
    up = (shoulders[0] + shoulders[1]) / 2 - (hips[0] + hips[1]) / 2
    return true @ _frame((hips[0] - hips[1])[None], up[None])[0].T


def _chest(joints: Joints, body: BodyModel, heads: Float[Tensor, "j 3"]) -> Float[Tensor, "n 3 3"]:
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
    joints: Joints,
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
    joints: Joints, body: BodyModel, heads: Tensor, rotations: Tensor, shin: Float[Tensor, "n 3 3"], side: str
) -> None:
    """The foot along ankle and toe; its roll stays the shin's."""
    toe = joints.at[f"toe.{side}"] - joints.at[f"ankle.{side}"]
    rest_toe = heads[body.bone(f"toe3-1.{side}")] - heads[body.bone(f"foot.{side}")]
    rotations[:, body.bone(f"foot.{side}")] = swing(rest_toe, (shin.mT @ toe[..., None])[..., 0])


def _root(joints: Joints, heads: Tensor, body: BodyModel, pelvis: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
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
