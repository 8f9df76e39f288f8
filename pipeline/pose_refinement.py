"""Each frame's pose, refined against the fused surface: projective ICP on the body's joints.

As in DoubleFusion (Yu et al., CVPR 2018): the canonical surface, posed as fitted, is rendered into the frame; every
pixel pairs a point of it with the depth there, and damped Gauss-Newton steps turn the joints that a fit moves, and
shift the root, so that the points come to lie in the planes of the depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from dancedepth.models.body import BodyModel, skin_points
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.frame_view import NORMAL, POINT, WEIGHT, BodyProxy, FrameImages, FrameView, make_view
from dancedepth.pipeline.records import BodyMotion, Surface
from dancedepth.pipeline.surface import vertex_normals, welded
from jaxtyping import Float, Int
from torch import Tensor

STEPS = 6
MOST_PAIRS = 6000
NEAR_M = (0.2, 0.12, 0.1, 0.08, 0.06, 0.05)
"""Pairs farther apart than this are none; the gate closes step by step."""
ALIKE_COS = 0.6
"""Pairs that face more different ways are none."""
ROBUST_M = 0.03
"""Geman and McClure's scale: pairs this far from their plane count a quarter."""
ERROR_M = 0.01
"""Of a pixel's depth."""
INDEPENDENT = 400
"""Errors of neighbouring pixels go together: a frame tells as much as so many pixels would."""
TURN_RAD = 0.1
"""How far fitted joints are usually off, about each axis."""
SHIFT_M = (0.02, 0.02, 0.06)
"""The same for the root's place, camera axes."""
DRIFT_SHARE = 0.5
"""From a frame to the next, the fit's error changes by about this share of itself."""


@dataclass(frozen=True)
class CanonicalShape:
    """The surface that poses are held against, at rest."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    skin_weights: Float[Tensor, "v k"]
    skin_bones: Int[Tensor, "v k"]


@dataclass(frozen=True)
class _Pairs:
    """Points of the posed surface, and the planes of the depth they should lie in."""

    points: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    off_m: Float[Tensor, "n"]
    weight: Float[Tensor, "n"]
    moved: Float[Tensor, "n m"]
    """How far each moving joint takes each point along."""


def refined_motion(
    frames: Iterable[tuple[int, FrameImages]],
    motion: BodyMotion,
    body: BodyModel,
    surface: Surface,
    config: FusionConfig,
) -> BodyMotion:
    """The motion with the poses of `frames` (index, images; in order) held against the surface they were fused to."""
    rest = motion.rest(body)
    proxy, whole = BodyProxy(BodyField(body, rest), torch.device("cpu")), welded(surface)
    parts = (torch.from_numpy(part) for part in (whole.vertices, whole.faces, whole.skin_weights, whole.skin_bones))
    refiner, poses = PoseRefiner(body, motion, CanonicalShape(*parts)), motion.cam_from_rest.copy()
    for index, images in frames:
        fitted = torch.as_tensor(motion.cam_from_rest[index], dtype=torch.float32)
        view = make_view(images, motion.camera, fitted, proxy, config.voxel_m)
        if view is not None:
            poses[index] = refiner.refined(view, fitted).numpy()
    return replace(motion, cam_from_rest=poses)


class PoseRefiner:
    """Holds frames, one after the other, against one surface."""

    def __init__(self, body: BodyModel, motion: BodyMotion, shape: CanonicalShape) -> None:
        self._body, self._shape = body, shape
        self._heads = torch.as_tensor(motion.rest_bone_poses[:, :3, 3], dtype=torch.float32)
        self._moving = torch.tensor([body.bone(joint.bone) for joint in FIT_JOINTS])
        self._along = _taken_along(body, self._moving, shape)
        self._normals = torch.from_numpy(vertex_normals(shape.vertices.numpy(), shape.faces.numpy()))
        count = 3 * len(self._moving)
        sigma = torch.cat((torch.full((count,), TURN_RAD), torch.tensor(SHIFT_M))).double()
        sigma[:3] = TURN_RAD / 2
        self._prior = sigma**-2
        self._before: Float[Tensor, "p"] | None = None

    def refined(self, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"]) -> Float[Tensor, "j 4 4"]:
        """The frame's skinning transforms; frames come in their order, since a fit's errors last."""
        fitted = _turns(self._body, cam_from_rest)
        root = cam_from_rest[0, :3, :3] @ self._heads[0] + cam_from_rest[0, :3, 3]
        found = torch.zeros(len(self._prior), dtype=torch.float64)
        posed = cam_from_rest
        for step in range(STEPS):
            pairs = self._pairs(view, posed, NEAR_M[step])
            if len(pairs.weight) < INDEPENDENT:
                break
            found = found + self._step(pairs, posed, found)
            posed = self._posed(fitted, root, found.float())
        self._before = found
        return posed

    def _posed(
        self, turns: Float[Tensor, "j 3 3"], root: Float[Tensor, "3"], found: Float[Tensor, "p"]
    ) -> Float[Tensor, "j 4 4"]:
        rotations = turns.clone()
        extra = torch.linalg.matrix_exp(_cross_matrices(found[:-3].view(-1, 3)))
        rotations[self._moving] = rotations[self._moving] @ extra
        return self._body.pose(self._heads[None], rotations[None], (root + found[-3:])[None])[0]

    def _step(
        self, pairs: _Pairs, cam_from_rest: Float[Tensor, "j 4 4"], found: Float[Tensor, "p"]
    ) -> Float[Tensor, "p"]:
        """The change of the turns (rest axes, about each joint's head) and of the root's place."""
        linear = cam_from_rest[self._moving, :3, :3]
        heads = (linear @ self._heads[self._moving, :, None])[..., 0] + cam_from_rest[self._moving, :3, 3]
        lever = torch.linalg.cross(pairs.points[:, None] - heads, pairs.normals[:, None].expand(-1, len(heads), -1))
        local = torch.einsum("nmd,mde->nme", lever, linear) * pairs.moved[..., None]
        jacobian = torch.cat((local.flatten(1), pairs.normals), dim=1).double()
        weight = pairs.weight.double() * (INDEPENDENT / len(pairs.weight) / ERROR_M**2)
        normal = jacobian.T @ (weight[:, None] * jacobian)
        slope = jacobian.T @ (weight * pairs.off_m.double()) + self._prior * found
        prior = self._prior
        if self._before is not None:
            lasting = self._prior / DRIFT_SHARE**2
            prior, slope = prior + lasting, slope + lasting * (found - self._before)
        return -torch.linalg.solve(normal + torch.diag(prior), slope)

    def _pairs(self, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"], near_m: float) -> _Pairs:
        shape = self._shape
        posed = skin_points(shape.vertices, shape.skin_weights, shape.skin_bones, cam_from_rest[None])[0]
        raster = rasterize(posed, shape.faces, view.camera, front_only=True)
        seen = torch.nonzero((raster.face_index.view(-1) >= 0) & (view.rows[:, WEIGHT] > 0))[:, 0]
        seen = seen[:: max(1, len(seen) // MOST_PAIRS)]
        corners = shape.faces[raster.face_index.view(-1)[seen]]
        shares = raster.barycentric.view(-1, 3)[seen]
        normals = torch.from_numpy(vertex_normals(posed.numpy(), shape.faces.numpy()))
        table = torch.cat((posed, normals, self._along), dim=1)
        values = torch.stack([table[corners[:, k]] * shares[:, k : k + 1] for k in range(3)]).sum(dim=0)
        own, rows = values[:, :3], view.rows[seen]
        gap = own - rows[:, POINT]
        alike = (values[:, 3:6] * rows[:, NORMAL]).sum(dim=1)
        off = (gap * rows[:, NORMAL]).sum(dim=1)
        weight = rows[:, WEIGHT] / (1 + (off / ROBUST_M) ** 2) ** 2
        kept = (gap.norm(dim=1) < near_m) & (alike > ALIKE_COS)
        return _Pairs(own[kept], rows[kept][:, NORMAL], off[kept], weight[kept], values[kept][:, 6:])


def _turns(body: BodyModel, cam_from_rest: Float[Tensor, "j 4 4"]) -> Float[Tensor, "j 3 3"]:
    """Each bone's rotation relative to its parent, as `BodyModel.pose` takes them."""
    linear = cam_from_rest[:, :3, :3]
    parents = torch.tensor([max(parent, 0) for parent in body.bone_parents])
    turns = linear[parents].transpose(1, 2) @ linear
    turns[0] = linear[0]
    return turns


def _taken_along(body: BodyModel, moving: Int[Tensor, "m"], shape: CanonicalShape) -> Float[Tensor, "v m"]:
    """Sum of each point's weights of a joint's bone and all below it."""
    below = np.eye(len(body.bone_parents), dtype=np.float32)
    for bone in reversed(range(1, len(body.bone_parents))):
        below[body.bone_parents[bone]] += below[bone]
    member = torch.from_numpy(below)[moving].T
    return (member[shape.skin_bones] * shape.skin_weights[..., None]).sum(dim=1)


def _cross_matrices(vectors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    x, y, z = vectors.unbind(dim=1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=1).view(-1, 3, 3)
