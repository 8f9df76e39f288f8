"""The body as a fit needs it: twenty moving joints, and every keypoint as a short sum over them.

A keypoint is a fixed blend of skinned vertices, a skinned vertex a blend of rigidly moved rest points, and a rest point
linear in the shape's coefficients; so a keypoint is `sum_a T_a m_ka` with one homogeneous 4-vector m_ka for each moving
joint a. Only the few thousand vertices that carry keypoints or silhouette points are ever computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import roma
import torch
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel
from dancedepth.models.body_maps import vertex_normals
from dancedepth.models.joints import FIT_JOINTS
from jaxtyping import Float, Int
from torch import Tensor

HEAD = [joint.bone for joint in FIT_JOINTS].index("head")
KNUCKLES = {
    "left_index_knuckle": "finger2-1.L",
    "right_index_knuckle": "finger2-1.R",
    "left_little_knuckle": "finger5-1.L",
    "right_little_knuckle": "finger5-1.R",
}
"""Points at bones' heads, which no regressor of keypoints covers."""
FACE_VERTICES = {
    "left_eye_corner": 11472,
    "right_eye_corner": 4854,
    "left_tear_duct": 11486,
    "right_tear_duct": 4868,
    "nose_tip": 297,
    "left_mouth_corner": 7184,
    "right_mouth_corner": 424,
}
"""Vertices of the face, which is rigid with the head. Where MediaPipe Face Mesh sees its landmarks: 1-2 mm off on 39
synthesised people whose faces look at the camera (medians)."""
CROWN_AND_SOLE_VERTICES = 60
"""Vertices at either end of the body among which its height is measured, whatever its shape."""


@dataclass(frozen=True)
class Pose:
    """Rotation vectors of the moving joints in rest axes (the root's is camera-from-body) and the root's place."""

    angles: Float[Tensor, "b a 3"]
    root_cam: Float[Tensor, "b 3"]


@dataclass(frozen=True)
class Moments:
    """One shape, as the sums over moving joints need it; metres."""

    heads: Float[Tensor, "a 3"]
    points: Float[Tensor, "k a 4"]
    """Of `ArticulatedBody.point_names`."""
    surface: Float[Tensor, "s a 4"]


class ArticulatedBody:
    """The moving skeleton of `FIT_JOINTS` with the points that detectors see, and a few surface points.

    `point_names` are the body's keypoints, COCO's first, the knuckles and points of the face; `surface_normals` (s a 4)
    move as `Moments` do, by `moved`.
    """

    def __init__(self, body: BodyModel, height_m: float, surface_points: Int[Tensor, "s"]) -> None:
        self.body, self.height_m = body, height_m
        self.bone_index = [body.bone(joint.bone) for joint in FIT_JOINTS]
        names = [joint.bone for joint in FIT_JOINTS]
        self._parents = [names.index(joint.parent) if joint.parent else -1 for joint in FIT_JOINTS]
        levels = _levels(self._parents)
        self._sizes = [len(level) for level in levels]
        order = [a for level in levels for a in level]
        self._by_level = torch.tensor(order, device=body.device)
        self._places = self._by_level.argsort()
        self._above = [
            torch.tensor([higher.index(self._parents[a]) for a in level], device=body.device)
            for higher, level in pairwise(levels)
        ]
        height_order = body.template_vertices[:SKIN_VERTICES, 2].argsort()
        ends = torch.cat((height_order[:CROWN_AND_SOLE_VERTICES], height_order[-CROWN_AND_SOLE_VERTICES:]))
        points = _Affine(body.template_vertices, body.vertex_shapes)
        nearest = self._nearest_joint()
        self._ends = points.of(ends)
        self._heads = _Affine(body.template_heads, body.head_shapes)
        self.point_names = (*body.keypoint_names, *KNUCKLES, *FACE_VERTICES)
        carriers = torch.nonzero(body.keypoint_weights.abs().sum(dim=0) > 0)[:, 0]
        carried = body.keypoint_weights[:, carriers, None] * _shares(body, nearest, carriers)
        self._keypoints, self._keypoint_shares = points.of(carriers).summed(carried), carried.sum(dim=1)
        self._knuckles = [body.bone(bone) for bone in KNUCKLES.values()]
        self._knuckle_joints = nearest[self._knuckles]
        self._face = points.of(torch.tensor(list(FACE_VERTICES.values()), device=body.device))
        self._surface, self._surface_shares = points.of(surface_points), _shares(body, nearest, surface_points)
        adult = body.rest(torch.tensor(ADULT, device=body.device)).vertices
        normals = vertex_normals(adult, body.faces)[surface_points]
        directions = torch.cat((normals, torch.zeros_like(normals[:, :1])), dim=1)
        self.surface_normals: Float[Tensor, "s a 4"] = self._surface_shares[..., None] * directions[:, None]

    def _nearest_joint(self) -> Int[Tensor, "j"]:
        """For every bone, the nearest moving joint among itself and its ancestors."""
        nearest: list[int] = []
        for bone, parent in enumerate(self.body.bone_parents):
            nearest.append(self.bone_index.index(bone) if bone in self.bone_index else nearest[parent])
        return torch.tensor(nearest, device=self.body.device)

    def moments(self, phenotype: Float[Tensor, "6"], head_scale: float = 1.0) -> Moments:
        """The moments of a shape with a head so many times as large, scaled to the body's height; differentiable."""
        coefficients = self.body.shape_coefficients(phenotype[None])[0]
        heads = self._heads.at(coefficients)
        ends_z = self._ends.at(coefficients)[:, 2]
        soles_z, crown_z = ends_z.chunk(2)
        middle = heads[self.bone_index[HEAD]]
        ends_z = torch.cat((soles_z, middle[2] + head_scale * (crown_z - middle[2])))
        scale = self.height_m / (ends_z.max() - ends_z.min())
        keypoints = torch.cat((self._keypoints.at(coefficients) * scale, self._keypoint_shares[..., None]), dim=-1)
        knuckles = torch.cat((heads[self._knuckles] * scale, torch.ones_like(heads[: len(KNUCKLES), :1])), dim=1)
        carried = torch.nn.functional.one_hot(self._knuckle_joints, len(FIT_JOINTS)).to(knuckles)
        face = self._face.at(coefficients) * scale
        rigid = torch.zeros_like(face[:, :1]).expand(-1, len(FIT_JOINTS)).clone()
        rigid[:, HEAD] = 1
        face = rigid[..., None] * torch.cat((face, torch.ones_like(face[:, :1])), dim=1)[:, None]
        seen = torch.cat((keypoints, carried[..., None] * knuckles[:, None], face))
        points = self._surface.at(coefficients) * scale
        points = torch.cat((points, torch.ones_like(points[:, :1])), dim=1)
        surface = self._surface_shares[..., None] * points[:, None]
        seen, surface = (_head_scaled(points, head_scale, scale * middle) for points in (seen, surface))
        return Moments(heads[self.bone_index] * scale, seen, surface)

    def adult_points(self) -> Float[Tensor, "k 3"]:
        """The average adult's points of `point_names`, at rest."""
        moments = self.moments(torch.tensor(ADULT, device=self.body.device))
        points: Tensor = moments.points.sum(dim=1)[:, :3]
        return points

    def transforms(self, moments: Moments, pose: Pose) -> Float[Tensor, "b a 3 4"]:
        """`cam_from_rest` of every moving joint; forward kinematics, level after level of the tree."""
        local = roma.rotvec_to_rotmat(pose.angles.index_select(1, self._by_level)).split(self._sizes, dim=1)
        heads = moments.heads[self._by_level, :, None].split(self._sizes)
        rotations = [local[0]]
        offsets = [pose.root_cam[:, None, :, None] - local[0] @ heads[0]]
        for turn, head, above in zip(local[1:], heads[1:], self._above, strict=True):
            higher = rotations[-1].index_select(1, above)
            turned = higher @ turn
            offsets.append((higher - turned) @ head + offsets[-1].index_select(1, above))
            rotations.append(turned)
        together = torch.cat((torch.cat(rotations, dim=1), torch.cat(offsets, dim=1)), dim=-1)
        return together.index_select(1, self._places)

    def full_rotations(self, angles: Float[Tensor, "b a 3"]) -> Float[Tensor, "b j 3 3"]:
        """Rotations of all the body's bones for `BodyModel.pose`; bones that do not move keep the identity."""
        rotations = torch.eye(3).to(angles).repeat(len(angles), len(self.body.bone_names), 1, 1)
        rotations[:, self.bone_index] = roma.rotvec_to_rotmat(angles)
        for side in "LR":
            self._share_twist(rotations, *(self.body.bone(f"{name}.{side}") for name in ("lowerarm02", "wrist")))
        return rotations

    def _share_twist(self, rotations: Float[Tensor, "b j 3 3"], forearm: int, wrist: int) -> None:
        """Half of a hand's turn about the forearm is the forearm's: skin would wring at the wrist."""
        axis = torch.nn.functional.normalize(self.body.template_heads[wrist] - self.body.template_heads[forearm], dim=0)
        turn = roma.rotmat_to_unitquat(rotations[:, wrist])
        half = torch.atan2(turn[:, :3] @ axis, turn[:, 3])
        half = torch.remainder(half + torch.pi / 2, torch.pi) - torch.pi / 2
        shared = roma.rotvec_to_rotmat(half[:, None] * axis)
        rotations[:, forearm] = shared
        rotations[:, wrist] = shared.mT @ rotations[:, wrist]


def moved(moments: Float[Tensor, "k a 4"], transforms: Float[Tensor, "b a 3 4"]) -> Float[Tensor, "b k 3"]:
    """Camera-space positions of keypoints or surface points."""
    joints = moments.shape[1]
    flat = transforms.permute(0, 2, 1, 3).reshape(len(transforms) * 3, joints * 4)
    return (flat @ moments.reshape(-1, joints * 4).T).view(len(transforms), 3, -1).transpose(1, 2)


def joint_frames(body: BodyModel, phenotype: Float[Tensor, "6"]) -> Float[Tensor, "a 3 3"]:
    """Columns are each joint's three axes in rest axes; a hinge's first axis bends the limb there."""
    frames = torch.eye(3, device=body.device).repeat(len(FIT_JOINTS), 1, 1)
    heads = body.rest_heads(phenotype[None])[0]
    for a, joint in enumerate(FIT_JOINTS):
        if joint.hinge:
            side = joint.bone[-1]
            elbow = heads[body.bone(f"lowerarm01.{side}")]
            upper = elbow - heads[body.bone(f"upperarm01.{side}")]
            lower = heads[body.bone(f"wrist.{side}")] - elbow
            bend = torch.nn.functional.normalize(torch.linalg.cross(upper, lower), dim=0)
            along = torch.nn.functional.normalize(lower, dim=0)
            frames[a] = torch.stack((bend, along, torch.linalg.cross(bend, along)), dim=1)
    return frames


@dataclass(frozen=True)
class _Affine:
    """Points that are affine in the shape's coefficients."""

    base: Float[Tensor, "*q 3"]
    slopes: Float[Tensor, "c *q 3"]

    def at(self, coefficients: Float[Tensor, "c"]) -> Float[Tensor, "*q 3"]:
        """Those of a shape."""
        return self.base + torch.tensordot(coefficients, self.slopes, dims=1)

    def of(self, some: Int[Tensor, "s"]) -> _Affine:
        """Some of them."""
        return _Affine(self.base[some], self.slopes[:, some])

    def summed(self, weights: Float[Tensor, "k q a"]) -> _Affine:
        """Weighted sums over them, (k a 3)."""
        bases = torch.einsum("kqa,qd->kad", weights, self.base)
        return _Affine(bases, torch.einsum("kqa,cqd->ckad", weights, self.slopes).contiguous())


def _shares(body: BodyModel, nearest: Int[Tensor, "j"], vertices: Int[Tensor, "v"]) -> Float[Tensor, "v a"]:
    """How far each vertex moves with each moving joint."""
    share = torch.zeros(len(vertices), len(FIT_JOINTS), device=body.device)
    return share.scatter_add_(1, nearest[body.skin_bones[vertices]], body.skin_weights[vertices])


def _head_scaled(
    points: Float[Tensor, "k a 4"], head_scale: float, middle: Float[Tensor, "3"]
) -> Float[Tensor, "k a 4"]:
    """What moves with the head grows about where that turns."""
    own = points[:, HEAD]
    grown = torch.cat((head_scale * own[:, :3] + (1 - head_scale) * middle * own[:, 3:], own[:, 3:]), dim=1)
    return torch.cat((points[:, :HEAD], grown[:, None], points[:, HEAD + 1 :]), dim=1)


def _levels(parents: list[int]) -> list[list[int]]:
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [[a for a, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
