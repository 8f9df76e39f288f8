"""A frame as fusion reads it, on exact scenes."""

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.frame_view import (
    CANONICAL,
    NORMAL,
    POINT,
    WEIGHT,
    BodyProxy,
    FrameImages,
    FrameView,
    make_view,
)

from tests.scenes import Scene, dancer, plane_depth, rest_body, sphere_depth, still

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def proxy(body: BodyModel) -> BodyProxy:
    return BodyProxy(BodyField(body, rest_body(body)), CPU)


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    return dancer(body, 1, still({}), Camera.centred(1600.0, 720, 1080))


def view_of(depth: torch.Tensor, scene: Scene, proxy: BodyProxy, voxel_m: float) -> FrameView:
    depth_m = depth.numpy()
    rgb = np.full((*depth_m.shape, 3), 128, np.uint8)
    alpha = ((depth_m > 0) * 255).astype(np.uint8)
    transforms = torch.from_numpy(scene.motion.cam_from_rest[0])
    view = make_view(FrameImages(rgb, alpha, depth_m), scene.motion.camera, transforms, proxy, voxel_m)
    assert view is not None
    return view


@pytest.mark.parametrize("voxel_m", [0.002, 0.005, 0.008])
def test_a_sphere_stays_on_its_surface_however_much_the_image_is_reduced(
    scene: Scene, proxy: BodyProxy, voxel_m: float
) -> None:
    centre, radius = (0.02, 0.1, 2.7), 0.3
    view = view_of(sphere_depth(scene.motion.camera, centre, radius), scene, proxy, voxel_m)
    used = view.rows[view.rows[:, WEIGHT] > 0]
    assert len(used) > 500
    outwards = used[:, POINT] - torch.tensor(centre)
    assert (outwards.norm(dim=1) - radius).abs().max() < 2e-4
    cosine = (torch.nn.functional.normalize(outwards, dim=1) * used[:, NORMAL]).sum(dim=1)
    assert cosine.min() > 0.999


def test_a_sloping_plane_weighs_less_than_a_frontal_one(scene: Scene, proxy: BodyProxy) -> None:
    camera = scene.motion.camera
    frontal = view_of(plane_depth(camera, (0.0, 0.0, -1.0), 2.6), scene, proxy, 0.006)
    sloping = view_of(plane_depth(camera, (0.8, 0.0, -0.6), 1.56), scene, proxy, 0.006)
    middle = frontal.camera.height // 2 * frontal.camera.width + frontal.camera.width // 2
    assert frontal.rows[middle, WEIGHT] == pytest.approx(1, abs=0.01)
    middle = sloping.camera.height // 2 * sloping.camera.width + sloping.camera.width // 2
    assert sloping.rows[middle, WEIGHT] == pytest.approx(((0.6 - 0.2) / 0.8) ** 2, abs=0.02)


def test_nothing_is_used_at_depth_steps_and_edges(scene: Scene, proxy: BodyProxy) -> None:
    camera = scene.motion.camera
    wall = plane_depth(camera, (0.0, 0.0, -1.0), 2.75)  # too far behind to be a face
    front = sphere_depth(camera, (0.0, 0.0, 2.4), 0.1)
    view = view_of(torch.where(front > 0, front, wall), scene, proxy, 0.006)
    used = view.rows[view.rows[:, WEIGHT] > 0]
    on_wall = (used[:, 2] - 2.75).abs() < 1e-4
    on_ball = ((used[:, POINT] - torch.tensor([0.0, 0.0, 2.4])).norm(dim=1) - 0.1).abs() < 1e-3
    assert on_ball.sum() > 100 and on_wall.sum() > 100
    assert (on_wall | on_ball).all(), "no point hangs between the two"


def test_every_pixel_of_a_posed_body_finds_its_place_in_the_rest_pose(body: BodyModel, proxy: BodyProxy) -> None:
    bent = {"upperarm01.L": (-0.5, 0.6, 0.0), "lowerleg01.R": (-0.8, 0.0, 0.0), "root": (0.0, 0.0, 0.7)}
    posed = dancer(body, 1, still(bent), Camera.centred(800.0, 480, 640))
    view = view_of(torch.from_numpy(posed.geometry.depth.load(0)), posed, proxy, 0.006)
    used = view.rows[view.rows[:, WEIGHT] > 0.1][:, CANONICAL].numpy()
    distance = np.abs(BodyField(body, rest_body(body)).signed_distance(used))
    assert np.median(distance) < 0.001
    assert np.percentile(distance, 99) < 0.01


def weights(sure: np.ndarray, scene: Scene, proxy: BodyProxy) -> torch.Tensor:
    """Of all pixels of a frontal wall that the networks are so sure of."""
    wall = plane_depth(scene.motion.camera, (0.0, 0.0, -1.0), 2.6).numpy()
    images = FrameImages(np.full((*wall.shape, 3), 128, np.uint8), np.full(wall.shape, 255, np.uint8), wall, sure)
    view = make_view(images, scene.motion.camera, torch.from_numpy(scene.motion.cam_from_rest[0]), proxy, 0.006)
    assert view is not None
    return view.rows[:, WEIGHT].view(view.camera.height, view.camera.width)


def test_confidence_counts_against_the_frames_usual_one(scene: Scene, proxy: BodyProxy) -> None:
    size = scene.motion.camera.height, scene.motion.camera.width
    doubtful = weights(np.full(size, 0.1, np.float32), scene, proxy)
    confident = weights(np.full(size, 0.9, np.float32), scene, proxy)
    torch.testing.assert_close(doubtful, confident)
    sure = np.full(size, 0.5, np.float32)
    sure[:, : size[1] // 4] = 0.1
    mixed = weights(sure, scene, proxy)
    row, width = mixed[mixed.shape[0] // 2], mixed.shape[1]
    assert row[width // 2] == pytest.approx(float(confident[confident.shape[0] // 2, width // 2]), abs=1e-5)
    assert 0 < row[width // 8] < 0.3 * row[width // 2], "nine times the usual squared error"


def test_a_frame_without_depth_is_no_view(scene: Scene, proxy: BodyProxy) -> None:
    blank = np.zeros((1080, 720), np.float32)
    transforms = torch.from_numpy(scene.motion.cam_from_rest[0])
    rgb, alpha = np.zeros((1080, 720, 3), np.uint8), np.zeros((1080, 720), np.uint8)
    assert make_view(FrameImages(rgb, alpha, blank), scene.motion.camera, transforms, proxy, 0.006) is None
