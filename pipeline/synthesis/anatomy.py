"""Where a point of the average adult lies: along the arm, above the neckline, how far up. Garments are cut by this.

Every function takes points of the average adult (metres, Anny's axes: x left, y back, z up; the pelvis is near the
origin, the soles at -0.82, the crown at 0.94) and answers in metres along or across the body.
"""

from __future__ import annotations

from functools import cache

import torch
from dancedepth.models.body import ADULT, BodyModel
from jaxtyping import Float
from torch import Tensor

CROTCH_Z = 0.01
"""Height of the crotch of the average adult."""
ANKLE_Z = -0.742
WAIST_Z = 0.19


@cache
def average_adult(body: BodyModel) -> Float[Tensor, "v 3"]:
    """The average adult's base vertices at rest."""
    return body.rest(torch.tensor(ADULT).to(body.template_vertices)).vertices


@cache
def dense_weights(body: BodyModel) -> Float[Tensor, "v j"]:
    """Skinning weights of the base vertices over all bones."""
    dense = body.skin_weights.new_zeros(len(body.skin_weights), len(body.bone_names))
    return dense.scatter_add_(1, body.skin_bones, body.skin_weights)


def weight_of(body: BodyModel, weights: Float[Tensor, "v j"], *prefixes: str) -> Float[Tensor, "v"]:
    """How much of each vertex's skinning belongs to the bones whose names begin so."""
    bones = [j for j, name in enumerate(body.bone_names) if name.startswith(prefixes)]
    return weights[:, bones].sum(dim=1)


def arm_weight(body: BodyModel, weights: Float[Tensor, "v j"]) -> Float[Tensor, "v"]:
    """How much of each vertex belongs to the arms."""
    return weight_of(body, weights, "upperarm", "lowerarm", "wrist", "finger", "metacarpal")


def leg_weight(body: BodyModel, weights: Float[Tensor, "v j"]) -> Float[Tensor, "v"]:
    """How much of each vertex belongs to the legs."""
    return weight_of(body, weights, "upperleg", "lowerleg", "foot", "toe")


def along_arm(body: BodyModel, template: Float[Tensor, "v 3"]) -> Float[Tensor, "v"]:
    """How far down the arm, metres from the shoulder joint; the elbow lies at 0.28, the wrist at 0.50."""
    heads = _heads(body)
    points = torch.cat((template[:, :1].abs(), template[:, 1:]), dim=1)
    shoulder, elbow, wrist = (heads[body.bone(name)] for name in ("upperarm01.L", "lowerarm01.L", "wrist.L"))
    upper, lower = elbow - shoulder, wrist - elbow
    on_upper = ((points - shoulder) @ upper) / upper.norm()
    on_lower = ((points - elbow) @ lower) / lower.norm()
    blend = ((on_upper / upper.norm() - 0.8) / 0.4).clamp(0, 1)
    return on_upper.clamp(max=upper.norm()) * (1 - blend) + (upper.norm() + on_lower) * blend


def below_neckline(template: Float[Tensor, "v 3"], depth_m: float, vee_m: float) -> Float[Tensor, "v"]:
    """How far below a neckline; `depth_m` lowers it in front, `vee_m` cuts a V into it."""
    x, y, z = template.unbind(dim=1)
    front = ((0.02 - y) / 0.12).clamp(0, 1)
    line = 0.685 - front * (0.055 + depth_m) - vee_m * front * (1 - x.abs() / 0.085).clamp_min(0)
    return line - z


@cache
def arms_down_poses(body: BodyModel) -> Float[Tensor, "j 4 4"]:
    """Skinning transforms that let the average adult's arms hang: the space in which patterns are printed on cloth."""
    heads = _heads(body)
    rotations = torch.eye(3).to(heads).repeat(1, len(heads), 1, 1)
    for side in "LR":
        names = [f"{name}.{side}" for name in ("upperarm01", "lowerarm01", "wrist")]
        shoulder, elbow, wrist = (heads[body.bone(name)] for name in names)
        down = heads.new_tensor([0.0, 0.0, -1.0])
        upper = _swing(elbow - shoulder, down)
        lower = _swing(upper @ (wrist - elbow), down)
        rotations[0, body.bone(names[0])] = upper
        rotations[0, body.bone(names[1])] = upper.T @ lower @ upper
    return body.pose(heads[None], rotations, heads[None, 0])[0]


def _heads(body: BodyModel) -> Float[Tensor, "j 3"]:
    return body.rest_heads(torch.tensor([ADULT]).to(body.template_vertices))[0]


def _swing(a: Float[Tensor, "3"], b: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that turns direction a to direction b; they must not be opposite."""
    a, b = a / a.norm(), b / b.norm()
    axis = torch.linalg.cross(a, b)
    x, y, z = axis.unbind()
    zero = torch.zeros_like(x)
    K = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero)).view(3, 3)
    return torch.eye(3).to(a) + K + K @ K / (1 + a @ b)
