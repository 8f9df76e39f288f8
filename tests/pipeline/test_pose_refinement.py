"""Poses held against a surface that is known, under depth that is exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.frame_view import BodyProxy, FrameImages, FrameView, make_view
from dancedepth.pipeline.pose_refinement import CanonicalShape, PoseRefiner
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.synthesis.character import dress

from tests.scenes import Scene, dressed_dancer, rest_body, turning

FRAMES = 4
TURN_RAD, SHIFT_M = 0.03, 0.01


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    clothed = dress(body, rest_body(body), seed=1, detail=1)
    return dressed_dancer(body, clothed, FRAMES, turning(24), Camera.centred(500.0, 300, 400))


@pytest.fixture(scope="module")
def proxy(body: BodyModel) -> BodyProxy:
    return BodyProxy(BodyField(body, rest_body(body)), torch.device("cpu"))


def refiner(scene: Scene, body: BodyModel) -> PoseRefiner:
    parts = (torch.from_numpy(p) for p in (scene.vertices, scene.faces, scene.skin_weights, scene.skin_bones))
    return PoseRefiner(body, scene.motion, CanonicalShape(*parts))


def view_of(scene: Scene, frame: int, pose: torch.Tensor, proxy: BodyProxy) -> FrameView:
    images = FrameImages(scene.frames.images[frame], scene.mattes.load(frame), scene.geometry.depth.load(frame))
    view = make_view(images, scene.motion.camera, pose, proxy, 0.008)
    assert view is not None
    return view


def disturbed(motion: BodyMotion, body: BodyModel) -> BodyMotion:
    """The same error in every frame: joints turned by a few degrees, the whole body shifted."""
    random = np.random.default_rng(0)
    poses = torch.from_numpy(motion.cam_from_rest.copy())
    heads = torch.from_numpy(motion.rest_bone_poses[:, :3, 3])
    for joint in FIT_JOINTS:
        bone = body.bone(joint.bone)
        below = [i for i in range(len(body.bone_names)) if _hangs_on(body, i, bone)]
        vector = torch.from_numpy(random.normal(0, TURN_RAD, 3)).float()
        x, y, z = vector.tolist()
        turn = torch.eye(4)
        turn[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
        turn[:3, 3] = heads[bone] - turn[:3, :3] @ heads[bone]
        world = poses[:, bone] @ turn @ torch.linalg.inv(poses[:, bone])
        poses[:, below] = world[:, None] @ poses[:, below]
    poses[:, :, :3, 3] += torch.tensor([SHIFT_M, -SHIFT_M, 2 * SHIFT_M])
    return replace(motion, cam_from_rest=poses.numpy())


def _hangs_on(body: BodyModel, bone: int, above: int) -> bool:
    while bone >= 0 and bone != above:
        bone = body.bone_parents[bone]
    return bone == above


def error_mm(poses: np.ndarray, motion: BodyMotion, body: BodyModel) -> float:
    """Mean distance of the moving joints from the true ones."""
    bones = [body.bone(joint.bone) for joint in FIT_JOINTS]
    off = (poses @ motion.rest_bone_poses)[:, bones, :3, 3] - motion.bone_poses[:, bones, :3, 3]
    return float(1000 * np.linalg.norm(off, axis=-1).mean())


def test_joints_go_back_to_where_the_surface_fits_the_depth(scene: Scene, body: BodyModel, proxy: BodyProxy) -> None:
    wrong, own = disturbed(scene.motion, body), refiner(scene, body)
    found = []
    for frame in range(FRAMES):
        fitted = torch.from_numpy(wrong.cam_from_rest[frame])
        found.append(own.refined(view_of(scene, frame, fitted, proxy), fitted).numpy())
    before = error_mm(wrong.cam_from_rest, scene.motion, body)
    assert before > 20
    assert error_mm(np.stack(found), scene.motion, body) < 0.3 * before
    turns = np.stack(found)[:, :, :3, :3]
    np.testing.assert_allclose(turns.swapaxes(-1, -2) @ turns, np.broadcast_to(np.eye(3), turns.shape), atol=1e-4)


def test_a_pose_that_fits_stays(scene: Scene, body: BodyModel, proxy: BodyProxy) -> None:
    fitted = torch.from_numpy(scene.motion.cam_from_rest[0])
    found = refiner(scene, body).refined(view_of(scene, 0, fitted, proxy), fitted).numpy()
    first = replace(scene.motion, cam_from_rest=scene.motion.cam_from_rest[:1])
    assert error_mm(found[None], first, body) < 4


def test_a_frame_that_shows_too_little_is_left_as_fitted(scene: Scene, body: BodyModel, proxy: BodyProxy) -> None:
    fitted = torch.from_numpy(scene.motion.cam_from_rest[0])
    view = view_of(scene, 0, fitted, proxy)
    blind = replace(view, rows=torch.zeros_like(view.rows))
    np.testing.assert_array_equal(refiner(scene, body).refined(blind, fitted).numpy(), fitted.numpy())
