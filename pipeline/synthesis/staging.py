"""Where the camera stands, and the dancer's motion as that camera sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.models.geometry import DEFAULT_FOCAL_PER_LONG_SIDE, Camera, project
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.synthesis.motion import WorldMotion
from dancedepth.pipeline.synthesis.rotations import about
from jaxtyping import Float
from torch import Tensor

MARGIN_PX_SHARE = 0.03
"""Free border around everything the dancer does, as a share of each image side."""
NEAREST_M = 1.2


@dataclass(frozen=True)
class View:
    """A camera in the world (z up, floor at z = 0)."""

    camera: Camera
    cam_from_world: Float[Tensor, "4 4"]

    @property
    def position(self) -> Float[Tensor, "3"]:
        """Of the camera in the world, metres."""
        return -self.cam_from_world[:3, :3].T @ self.cam_from_world[:3, 3]


def world_poses(body: BodyModel, rest: RestBody, motion: WorldMotion) -> Float[Tensor, "n j 4 4"]:
    """World-from-rest of every bone in every frame."""
    return body.pose(rest.bone_poses[None, :, :3, 3], motion.rotations, motion.root)


def frame_dancer(
    body: BodyModel, rest: RestBody, poses: Float[Tensor, "n j 4 4"], size: tuple[int, int], seed: int
) -> View:
    """A camera at chest height that keeps the whole dance in the picture; `size` is width and height."""
    generator = torch.Generator().manual_seed(seed + 104729)
    points = _sampled(body, rest, poses)
    camera = Camera.centred(DEFAULT_FOCAL_PER_LONG_SIDE * max(size), *size)
    low, high = points.amin(dim=0), points.amax(dim=0)
    height = 0.9 + 0.5 * float(torch.rand(1, generator=generator))
    target = (low + high) / 2
    near, far = NEAREST_M, 60.0
    for _ in range(40):
        distance = (near + far) / 2
        view = _looking(camera, target, distance, height)
        near, far = (near, distance) if _fits(points, view) else (distance, far)
    return _looking(camera, target, far, height)


def body_motion(
    body: BodyModel,
    rest: RestBody,
    phenotype: Float[Tensor, "6"],
    poses: Float[Tensor, "n j 4 4"],
    view: View,
    times_s: Float[np.ndarray, "n"],
) -> BodyMotion:
    """The motion record of world poses seen by a camera; every frame counts as fitted, without error."""
    return BodyMotion(
        times_s=times_s,
        fitted=np.ones(len(poses), dtype=bool),
        phenotype=phenotype.numpy(),
        height_m=rest.height_m,
        rest_bone_poses=rest.bone_poses.numpy(),
        cam_from_rest=(view.cam_from_world @ poses).numpy(),
        bone_names=body.bone_names,
        camera=view.camera,
        reprojection_error_px=np.zeros(len(poses)),
    )


def _sampled(body: BodyModel, rest: RestBody, poses: Float[Tensor, "n j 4 4"]) -> Float[Tensor, "p 3"]:
    """Enough of the skin in enough of the frames to know where the dancer gets to."""
    step = max(1, len(poses) // 120)
    rows = torch.arange(0, SKIN_VERTICES, 23)
    skinned = body.skin(rest.vertices[rows], poses[::step], body.skin_weights[rows], body.skin_bones[rows])
    return skinned.reshape(-1, 3)


def _looking(camera: Camera, target: Float[Tensor, "3"], distance_m: float, height_m: float) -> View:
    upright = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pitch = torch.atan2(torch.as_tensor(height_m) - target[2], torch.as_tensor(distance_m))
    rotation = about("x", pitch[None])[0] @ upright
    position = torch.stack((target[0], target[1] - distance_m, torch.as_tensor(height_m)))
    cam_from_world = torch.eye(4)
    cam_from_world[:3, :3] = rotation
    cam_from_world[:3, 3] = -rotation @ position
    return View(camera, cam_from_world)


def _fits(points: Float[Tensor, "p 3"], view: View) -> bool:
    in_camera = points @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    if float(in_camera[:, 2].min()) < 0.4:
        return False
    camera = view.camera
    pixels = project(in_camera, camera)
    size = pixels.new_tensor([camera.width, camera.height])
    border = MARGIN_PX_SHARE * size
    return bool(((pixels > border) & (pixels < size - border)).all())
