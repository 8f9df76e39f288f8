"""The rig of an exact dancer: upright, on the floor, smooth, with feet that stand; and its file."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera, project
from dancedepth.pipeline.config import RigConfig
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.ground import sole_points, up_direction
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.rig import moving_bones, posed_surface, rest_surface, rig_dancer, skeleton_of
from dancedepth.pipeline.rig_file import read_rig, write_rig
from dancedepth.pipeline.skeleton import SkeletonMotion
from dancedepth.pipeline.surface import pose_surface

from tests.rigged import light_surface, rig_of
from tests.scenes import Scene, dancer, rest_body, turning

CAMERA = Camera.centred(100.0, 60, 80)
FRAMES = 30


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    """Arms and trunk move; the legs stand."""
    moves = turning(FRAMES, 0.0)

    def at(frame: int) -> dict[str, tuple[float, float, float]]:
        return {name: turn for name, turn in moves(frame).items() if "leg" not in name}

    return dancer(body, FRAMES, at, CAMERA)


def tilted(motion: BodyMotion, pitch_rad: float) -> BodyMotion:
    """The same motion before a camera that looks down."""
    turn = np.eye(4, dtype=np.float32)
    turn[1:3, 1:3] = [[math.cos(pitch_rad), -math.sin(pitch_rad)], [math.sin(pitch_rad), math.cos(pitch_rad)]]
    return replace(motion, cam_from_rest=(turn @ motion.cam_from_rest).astype(np.float32))


def swaying(motion: BodyMotion) -> BodyMotion:
    """The same motion, with a distance from the camera that wavers, as a monocular fit's does."""
    root = motion.bone_poses[:, 0, :3, 3]
    sway = 1 + 0.03 * np.sin(2 * np.pi * 0.8 * motion.times_s)
    moved = motion.cam_from_rest.copy()
    moved[:, :, :3, 3] += (root * (sway - 1)[:, None])[:, None]
    return replace(motion, cam_from_rest=moved)


def test_a_smooth_motion_is_rigged_as_it_is(scene: Scene, body: BodyModel) -> None:
    rig, surface = rig_of(scene, body, hold_feet=False), light_surface(scene)
    for frame in (0, 11, 29):
        world = posed_surface(surface, rig, frame)
        cam = pose_surface(surface, scene.motion.cam_from_rest[frame])
        expected = cam @ rig.world_from_cam[:3, :3].T + rig.world_from_cam[:3, 3]
        assert np.linalg.norm(world - expected, axis=1).max() < 0.012, "smoothing takes a little of the arms' swing"


def test_it_stands_on_the_floor_facing_the_camera(scene: Scene, body: BodyModel) -> None:
    rig, surface = rig_of(scene, body), light_surface(scene, 0.004)
    for vertices in (rest_surface(surface, rig), posed_surface(surface, rig, 5)):
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        assert low[1] == pytest.approx(0, abs=0.012)
        assert 1.65 < high[1] < 1.75
        assert abs(low[0] + high[0]) < 0.3 and abs(low[2] + high[2]) < 0.4
    eye = rig.world_from_cam[:3, 3]
    assert eye[2] == pytest.approx(2.6, abs=0.1) and abs(eye[0]) < 0.05
    toes, heels = (posed_surface(surface, rig, 5)[:, 2][posed_surface(surface, rig, 5)[:, 1] < 0.06] for _ in "ab")
    assert toes.max() > -heels.min() > 0, "toes towards the camera"


@pytest.mark.parametrize("pitch_deg", [-15.0, 10.0])
def test_up_is_found_through_a_tilted_camera(scene: Scene, pitch_deg: float) -> None:
    up = up_direction(tilted(scene.motion, math.radians(pitch_deg)))
    true = np.array([0.0, -math.cos(math.radians(pitch_deg)), -math.sin(math.radians(pitch_deg))])
    assert math.degrees(math.acos(min(1.0, float(up @ true)))) < 2.5


def test_feet_that_slid_towards_the_camera_stand(scene: Scene, body: BodyModel) -> None:
    motion = swaying(scene.motion)
    rig = rig_dancer(motion, body, True, RigConfig())
    assert rig.foot_sliding_fitted_m_s is not None and rig.foot_sliding_m_s is not None
    assert rig.foot_sliding_fitted_m_s > 0.1
    assert rig.foot_sliding_m_s < 0.1 * rig.foot_sliding_fitted_m_s
    soles = sole_points(body, rest_body(body)).posed(skeleton_of(rig).bones())
    assert np.ptp(soles[..., [0, 2]], axis=0).max() < 0.03, "they stay where they are for the whole clip"
    cam = np.linalg.inv(rig.world_from_cam) @ skeleton_of(rig).bones()
    seen, before = (
        project(torch.from_numpy(bones[..., :3, 3].astype(np.float64)), CAMERA).numpy()
        for bones in (cam, motion.bone_poses)
    )
    off_m = np.linalg.norm(seen - before, axis=-1) * 2.6 / CAMERA.focal_px
    assert off_m.mean() < 0.012, "the picture hardly changes"


def test_nothing_is_held_or_told_if_the_camera_moves(scene: Scene, body: BodyModel) -> None:
    rig = rig_dancer(swaying(scene.motion), body, False, RigConfig())
    free = rig_dancer(swaying(scene.motion), body, True, RigConfig(hold_feet=False))
    assert rig.foot_sliding_m_s is None and rig.foot_sliding_fitted_m_s is None
    assert np.array_equal(rig.turns, free.turns) and np.array_equal(rig.root, free.root)
    assert free.foot_sliding_m_s is not None and free.foot_sliding_m_s > 0.1


def test_bones_that_move(scene: Scene, body: BodyModel) -> None:
    rig = rig_of(scene, body)
    moving = {name for name, moves in zip(rig.bone_names, moving_bones(rig), strict=True) if moves}
    assert {"upperarm01.L", "upperarm01.R", "spine03", "lowerarm01.L"} <= moving
    assert not any("finger" in name or "toe" in name for name in moving)


def test_a_skeleton_gives_back_its_bones(scene: Scene, body: BodyModel) -> None:
    bones = SkeletonMotion.from_bones(scene.motion.bone_poses, body.bone_parents).bones()
    assert np.allclose(bones, scene.motion.bone_poses, atol=1e-5)


def test_the_file_keeps_everything(scene: Scene, body: BodyModel, tmp_path: Path) -> None:
    rig = rig_dancer(scene.motion, body, False, RigConfig())
    write_rig(tmp_path / "rig.npz", rig)
    read = read_rig(tmp_path / "rig.npz")
    for name, value in vars(rig).items():
        assert np.array_equal(getattr(read, name), value) if isinstance(value, np.ndarray) else True
    assert (read.bone_names, read.bone_parents, read.camera) == (rig.bone_names, rig.bone_parents, rig.camera)
    assert read.foot_sliding_m_s is None
    np.savez(tmp_path / "other.npz", turns=rig.turns)
    with pytest.raises(StorageError, match="no rig"):
        read_rig(tmp_path / "other.npz")
