"""Where up is, where the floor lies, and what of the body stands on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.pipeline.records import BodyMotion
from jaxtyping import Float

IMAGE_DIRECTIONS = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Camera-frame directions along the image's sides: up in a level picture, and in one that lies on a side."""
ROLL_DEG, PITCH_DEG = 2.0, 12.0
"""How far cameras are usually tilted sideways, and up or down."""
LEAN_DEG = 4.0
"""How far a dancer leans to one side on average over a clip."""
SOLE_THICKNESS_M = 0.015
"""The foot's vertices this near to its lowest one are its sole."""
HEEL, BALL = (0.0, 0.25), (0.6, 0.8)
"""Parts of the sole from the back to the front, over its length."""
FEET = ("L", "R")


@dataclass(frozen=True)
class SolePoints:
    """Points under the feet that bear the dancer: left heel, left ball, right heel, right ball."""

    local: Float[np.ndarray, "4 3"]
    """In the axes of the foot's bone, metres."""
    bones: tuple[int, int, int, int]
    """The foot's bone that each moves with."""

    def posed(self, bones: Float[np.ndarray, "n j 4 4"]) -> Float[np.ndarray, "n 4 3"]:
        """Where they are, in the frame of the bones' poses."""
        feet = bones[:, list(self.bones)]
        points: np.ndarray = (feet[..., :3, :3] @ self.local[..., None])[..., 0] + feet[..., :3, 3]
        return points


def sole_points(body: BodyModel, rest: RestBody) -> SolePoints:
    """The middle of the heel and of the ball under each bare foot."""
    local, bones = [], []
    vertices, weights = rest.vertices[:SKIN_VERTICES].cpu(), body.skin_weights[:SKIN_VERTICES].cpu()
    for side in FEET:
        names = [i for i, name in enumerate(body.bone_names) if name.startswith(("foot", "toe")) and name[-1] == side]
        share = (weights * torch.isin(body.skin_bones[:SKIN_VERTICES].cpu(), torch.tensor(names))).sum(dim=1)
        foot = vertices[share > 0.5].numpy().astype(np.float64)
        sole = foot[foot[:, 2] < foot[:, 2].min() + SOLE_THICKNESS_M]
        along = (sole[:, 1].max() - sole[:, 1]) / np.ptp(sole[:, 1])
        bone = body.bone(f"foot.{side}")
        pose = rest.bone_poses[bone].cpu().numpy().astype(np.float64)
        for low, high in (HEEL, BALL):
            point = sole[(along >= low) & (along <= high)].mean(axis=0)
            point[2] = sole[:, 2].min()
            local.append(pose[:3, :3].T @ (point - pose[:3, 3]))
            bones.append(bone)
    return SolePoints(np.stack(local), (bones[0], bones[1], bones[2], bones[3]))


def up_direction(motion: BodyMotion) -> Float[np.ndarray, "3"]:
    """Unit vector in the camera's frame.

    On average over a clip dancers stand upright, so their mean axis, from between the ankles to the neck, shows how the
    camera is tilted. A level picture is a prior on that: strong sideways, weak up and down (Gaussian shrinkage).
    """
    joints = motion.bone_poses[..., :3, 3]
    feet = joints[:, [motion.bone_names.index(f"foot.{side}") for side in FEET]].mean(axis=1)
    axis = joints[:, motion.bone_names.index("neck01")] - feet
    axis = axis[motion.fitted] if motion.fitted.any() else axis
    mean = _unit((axis / np.linalg.norm(axis, axis=1, keepdims=True)).mean(axis=0))
    level = IMAGE_DIRECTIONS[int(np.argmax(IMAGE_DIRECTIONS @ mean))]
    forward = np.array([0.0, 0.0, 1.0])
    sideways = np.cross(level, forward)
    up = level + forward * (mean @ forward) * _kept(PITCH_DEG) + sideways * (mean @ sideways) * _kept(ROLL_DEG)
    return _unit(up)


def world_from_cam(
    up_cam: Float[np.ndarray, "3"], soles_cam: Float[np.ndarray, "n 4 3"], root_cam: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "4 4"]:
    """The camera to glTF's axes: x right, y up, z towards the camera; the floor is y = 0, the dancer around its origin.

    The floor is the median height of the lowest sole point: in most frames some part of a foot stands on it.
    """
    towards = np.array([0.0, 0.0, -1.0])
    z = _unit(towards - up_cam * (up_cam @ towards))
    rotation = np.stack((np.cross(up_cam, z), up_cam, z))
    floor_m = float(np.median((soles_cam @ up_cam).min(axis=1)))
    middle = rotation @ np.median(root_cam, axis=0)
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, (-middle[0], -floor_m, -middle[2])
    return transform


def _kept(usual_deg: float) -> float:
    return usual_deg**2 / (usual_deg**2 + LEAN_DEG**2)


def _unit(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    result: np.ndarray = vector / np.linalg.norm(vector)
    return result
