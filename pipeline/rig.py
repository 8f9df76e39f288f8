"""The rig: the fitted body's skeleton, upright in a world with a floor, moving smoothly and on firm feet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.config import RigConfig
from dancedepth.pipeline.footing import find_footing
from dancedepth.pipeline.ground import sole_points, up_direction, world_from_cam
from dancedepth.pipeline.motion_filter import same_side, smoothed, smoothed_rotations
from dancedepth.pipeline.records import BodyMotion, Rig, Surface
from dancedepth.pipeline.skeleton import SkeletonMotion, turns_of
from dancedepth.pipeline.standing import stand_firm
from dancedepth.pipeline.stands import find_stands, sliding_m_s
from dancedepth.pipeline.storage import gltf_axes
from dancedepth.pipeline.surface import pose_surface
from jaxtyping import Bool, Float

DISTANCE_CUTOFF_SHARE = 0.4
"""The distance from the camera is what a fit knows least: it is smoothed with this share of the cutoff."""
FOOTING_ROUNDS = 2
"""The second one makes up for legs that did not reach in the first."""
MOVING_RAD = 1e-3
"""Bones that turn less than this over the clip do not move: toes, for example, are not fitted."""
GLTF_FROM_BODY = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""From the body's axes (x left, y back, z up) to glTF's (x left, y up, z front)."""


def rig_dancer(motion: BodyMotion, body: BodyModel, camera_still: bool, config: RigConfig) -> Rig:
    """The dancer's skeleton and its motion in the world.

    1. Every moving bone's turns and the root's path are smoothed over time without lag (`motion_filter`).
    2. Up is where the dancer stands upright on average, and the floor where the feet are (`ground`).
    3. If the camera stands still, sole points that stand still in the picture (`stands`) are kept on one place on the
       floor, by moving feet mostly along the line of sight, which the picture hardly shows (`footing`); hips, knees and
       ankles follow (`standing`).

    Args:
        motion: the fitted body.
        body: whose skeleton it is.
        camera_still: otherwise nothing is known of where feet stand, and none is held.
        config: how smooth, and whether feet are held.
    """
    rest = motion.rest(body)
    soles = sole_points(body, rest)
    fitted = SkeletonMotion.from_bones(motion.bone_poses, body.bone_parents)
    smooth = _smoothed(fitted, motion, config.smoothing_hz)
    place = world_from_cam(up_direction(motion), soles.posed(smooth.bones()), smooth.root)
    moving = smooth.moved(place)
    before = after = None
    if camera_still:
        points, times_s = soles.posed(moving.bones()), motion.times_s
        stands = find_stands(points, place[:3, 3], times_s)
        before = sliding_m_s(soles.posed(fitted.moved(place).bones()), stands, times_s)
        if stands and config.hold_feet:
            for _ in range(FOOTING_ROUNDS):
                footing = find_footing(soles.posed(moving.bones()), stands, place[:3, 3], moving.root, times_s)
                moving = stand_firm(moving, motion.bone_names, soles, footing)
        after = sliding_m_s(soles.posed(moving.bones()), stands, times_s)
    rest_bones = GLTF_FROM_BODY @ motion.rest_bone_poses
    lift_m = -float(soles.posed(rest_bones[None])[..., 1].min())
    rest_bones[:, 1, 3] += lift_m
    return Rig(
        bone_names=motion.bone_names,
        bone_parents=body.bone_parents,
        rest_bones=rest_bones,
        rest_lift_m=lift_m,
        times_s=motion.times_s,
        turns=same_side(moving.quaternions()).astype(np.float32),
        root=moving.root.astype(np.float32),
        camera=motion.camera,
        world_from_cam=place,
        foot_sliding_m_s=after,
        foot_sliding_fitted_m_s=before,
    )


def rest_surface(surface: Surface, rig: Rig) -> Float[np.ndarray, "v 3"]:
    """The surface's vertices at rest, standing in the world's axes."""
    return gltf_axes(surface.vertices) + np.array([0, rig.rest_lift_m, 0], np.float32)


def posed_surface(surface: Surface, rig: Rig, frame: int) -> Float[np.ndarray, "v 3"]:
    """The surface's vertices in the world in one frame."""
    world_from_rest = skeleton_of(rig, frame).bones()[0] @ np.linalg.inv(rig.rest_bones)
    raise_ = np.eye(4)
    raise_[1, 3] = rig.rest_lift_m
    return pose_surface(surface, world_from_rest @ raise_ @ GLTF_FROM_BODY)


def skeleton_of(rig: Rig, frame: int | None = None) -> SkeletonMotion:
    """The rig's motion as a skeleton's, of the whole clip or one frame of it."""
    frames = slice(None) if frame is None else slice(frame, frame + 1)
    rest = SkeletonMotion.from_bones(rig.rest_bones[None], rig.bone_parents)
    return replace(rest, turns=turns_of(rig.turns[frames]), root=rig.root[frames].astype(np.float64))


def moving_bones(rig: Rig) -> Bool[np.ndarray, "j"]:
    """Bones that turn in their parents over the clip."""
    farthest: np.ndarray = 2 * np.linalg.norm(rig.turns - rig.turns[:1], axis=-1).max(axis=0)
    return farthest > MOVING_RAD


def _smoothed(fitted: SkeletonMotion, motion: BodyMotion, cutoff_hz: float) -> SkeletonMotion:
    """The fitted motion without what is faster than the cutoff; frames that were not fitted are bridged."""
    weights, times_s = motion.fitted.astype(np.float64), motion.times_s
    turns = fitted.turns.copy()
    quaternions = fitted.quaternions()
    for bone in range(turns.shape[1]):
        path = quaternions[:, bone]
        if np.abs(same_side(path) - path[0]).max() > MOVING_RAD / 2:
            turns[:, bone] = turns_of(smoothed_rotations(path, times_s, cutoff_hz, weights))
    distance = np.linalg.norm(fitted.root, axis=1, keepdims=True)
    direction = smoothed(fitted.root / distance, times_s, cutoff_hz, weights)
    depth = smoothed(np.log(distance), times_s, cutoff_hz * DISTANCE_CUTOFF_SHARE, weights)
    root = direction / np.linalg.norm(direction, axis=1, keepdims=True) * np.exp(depth)
    return replace(fitted, turns=turns, root=root)
