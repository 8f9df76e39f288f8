import math

import pytest
import torch
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel, RestBody
from dancedepth.pipeline.synthesis.motion import WorldMotion, dance
from dancedepth.pipeline.synthesis.staging import frame_dancer, world_poses

FPS = 24.0


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> RestBody:
    return body.rest(torch.tensor(ADULT))


@pytest.fixture(scope="module", params=(0, 1, 2))
def moved(request: pytest.FixtureRequest, body: BodyModel, rest: RestBody) -> WorldMotion:
    return dance(body, rest, 96, FPS, request.param)


def turned(rotations: torch.Tensor) -> torch.Tensor:
    """Angle of each rotation."""
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return ((trace - 1) / 2).clamp(-1, 1).acos()


def test_rotations_are_rotations_and_change_smoothly(moved: WorldMotion) -> None:
    R = moved.rotations
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-5, rtol=0)
    assert float(turned(R[:-1].mT @ R[1:]).max()) < 0.75


def test_the_dancer_turns_once_around(moved: WorldMotion) -> None:
    forward = -moved.rotations[:, 0, :, 1]
    heading = torch.atan2(forward[:, 0], -forward[:, 1])
    steps = (heading.diff() + math.pi) % (2 * math.pi) - math.pi
    assert abs(abs(float(steps.sum())) - 2 * math.pi) < 0.7


def test_soles_reach_the_floor_and_not_below(moved: WorldMotion, body: BodyModel, rest: RestBody) -> None:
    feet = torch.nonzero(rest.vertices[:SKIN_VERTICES, 2] < rest.vertices[:SKIN_VERTICES, 2].min() + 0.08)[:, 0]
    weights, bones = body.skin_weights[feet], body.skin_bones[feet]
    skin = body.skin(rest.vertices[feet], world_poses(body, rest, moved), weights, bones)
    lowest = skin[..., 2].amin(dim=1)
    assert float(lowest.min()) > -0.012
    assert float(lowest.max()) < 0.012


def test_a_planted_foot_does_not_slide(moved: WorldMotion, body: BodyModel, rest: RestBody) -> None:
    poses = world_poses(body, rest, moved)
    for side in "LR":
        bone = body.bone(f"foot.{side}")
        ankle = (poses @ rest.bone_poses)[:, bone, :3, 3]
        low = ankle[:, 2] < ankle[:, 2].min() + 1e-3
        still = low[1:] & low[:-1]
        assert int(still.sum()) > 20
        assert float((ankle.diff(dim=0).norm(dim=1) * FPS)[still].max()) < 0.08


def test_knees_bend_backwards_never(moved: WorldMotion, body: BodyModel, rest: RestBody) -> None:
    at = (world_poses(body, rest, moved) @ rest.bone_poses)[..., :3, 3]
    for side in "LR":
        hip, knee, ankle = (at[:, body.bone(f"{n}.{side}")] for n in ("upperleg01", "lowerleg01", "foot"))
        toe = at[:, body.bone(f"toe3-1.{side}")] - ankle
        forward = toe * toe.new_tensor([1.0, 1, 0])
        assert float(((knee - (hip + ankle) / 2) * forward).sum(dim=1).min()) > 0


def test_the_camera_sees_all_of_it(moved: WorldMotion, body: BodyModel, rest: RestBody) -> None:
    poses = world_poses(body, rest, moved)
    view = frame_dancer(body, rest, poses, (180, 320), 0)
    some = torch.arange(0, SKIN_VERTICES, 7)
    weights, bones = body.skin_weights[some], body.skin_bones[some]
    points = body.skin(rest.vertices[some], view.cam_from_world @ poses, weights, bones)
    pixels = points[..., :2] / points[..., 2:] * view.camera.focal_px + points.new_tensor([90.0, 160.0])
    assert float(pixels.amin()) > 0
    assert float(pixels[..., 0].amax()) < 180
    assert float(pixels[..., 1].amax()) < 320
    tall = pixels[..., 1].amax(dim=1) - pixels[..., 1].amin(dim=1)
    assert float(tall.mean()) > 130
