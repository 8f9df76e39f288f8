"""Landmarks as the fit takes them, on bodies whose places in space are known."""

import pytest
import roma
import torch
from dancedepth.models.articulated import ArticulatedBody, Pose, moved
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.body_fit import ClipFit, fit_clip
from dancedepth.models.evidence import (
    BONES,
    LANDMARK_POINTS,
    SCALE_BONES,
    ClipLandmarks,
    Evidence,
    from_keypoints,
    landmark_points,
    with_landmarks,
)
from dancedepth.models.geometry import Camera, project
from dancedepth.models.headings import CAM_FROM_FACING_BODY
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.pose_energy import Energy, FitWeights

CAMERA = Camera.centred(1000, 720, 1280)
FRAMES = 4


@pytest.fixture(scope="module")
def model(body: BodyModel) -> ArticulatedBody:
    return ArticulatedBody(body, 1.7, torch.arange(4))


@pytest.fixture(scope="module")
def pose(model: ArticulatedBody) -> Pose:
    """Somebody far to the side of the picture, with a forearm that points at the camera."""
    angles = 0.15 * torch.randn(FRAMES, len(FIT_JOINTS), 3, generator=torch.Generator().manual_seed(3))
    angles[:, [joint.bone for joint in FIT_JOINTS].index("lowerarm01.L"), 0] += 1.3
    facing = torch.tensor(CAM_FROM_FACING_BODY) @ roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, 0.4]))
    angles[:, 0] = roma.rotmat_to_rotvec(facing)
    return Pose(angles, torch.tensor([0.9, 0.2, 3.2]).expand(FRAMES, 3))


def _points(model: ArticulatedBody, pose: Pose, shape: torch.Tensor | None = None) -> torch.Tensor:
    moments = model.moments(torch.tensor(ADULT) if shape is None else shape)
    return moved(moments.points, model.transforms(moments, pose))


def _landmarks(model: ArticulatedBody, points_cam: torch.Tensor, scale: float) -> ClipLandmarks:
    """What a perfect network would see: pixels, and places along the ray through the hips, too large by `scale`."""
    marks = list(LANDMARK_POINTS)
    mine = points_cam[:, [model.point_names.index(name) for name, _ in LANDMARK_POINTS.values()]]
    pixels, places, visibility = torch.zeros(FRAMES, 33, 2), torch.zeros(FRAMES, 33, 3), torch.zeros(FRAMES, 33)
    pixels[:, marks], visibility[:, marks] = project(mine, CAMERA), 1.0
    hips_px = pixels[:, 23:25].mean(dim=1)
    focus = torch.tensor([CAMERA.cx, CAMERA.cy])
    ray = torch.nn.functional.normalize(torch.cat(((hips_px - focus) / CAMERA.focal_px, torch.ones(FRAMES, 1)), 1))
    axis = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]).expand_as(ray), ray)
    angle = ray[:, 2:].acos()
    cam_from_ray = roma.rotvec_to_rotmat(torch.nn.functional.normalize(axis) * angle)
    hips = mine[:, [marks.index(23), marks.index(24)]].mean(dim=1, keepdim=True)
    places[:, marks] = scale * torch.einsum("nij,nki->nkj", cam_from_ray, mine - hips)
    standing = _points(model, Pose(torch.zeros(1, len(FIT_JOINTS), 3), torch.zeros(1, 3)))[0]
    ends = standing[landmark_points(model.point_names, SCALE_BONES)]
    return ClipLandmarks(model.point_names, pixels, places, visibility, (ends[:, 0] - ends[:, 1]).norm(dim=-1))


def _seen(model: ArticulatedBody, points_cam: torch.Tensor, scale: float = 1.0) -> Evidence:
    pixels = project(points_cam[:, :17], CAMERA)
    keypoints = from_keypoints(pixels, torch.full((FRAMES, 17), 0.9), torch.arange(FRAMES) / 12)
    return with_landmarks(keypoints, _landmarks(model, points_cam, scale), CAMERA)


@pytest.mark.parametrize("scale", [1.0, 1.2, 0.4])
def test_steps_in_depth_are_the_true_ones(model: ArticulatedBody, pose: Pose, scale: float) -> None:
    """Whatever the landmarks' scale, and although the ray to the person is not the camera's axis."""
    points = _points(model, pose)
    seen = _seen(model, points, scale)
    true = points[:, seen.bones[:, 1], 2] - points[:, seen.bones[:, 0], 2]
    assert true.abs().max() > 0.15
    torch.testing.assert_close(seen.bone_depth_m, true, atol=0.012, rtol=0.04)


def test_a_perfect_body_costs_nothing(model: ArticulatedBody, pose: Pose) -> None:
    points = _points(model, pose)
    energy = Energy(model, CAMERA, FitWeights())
    assert energy.evidence(points, _seen(model, points)).max() < 0.5
    nearer = points.clone()
    nearer[:, model.point_names.index("left_wrist"), 2] -= 0.15
    assert (energy.evidence(nearer, _seen(model, points)) > 2).all()


def test_an_arm_that_begins_far_off_finds_back(model: ArticulatedBody, pose: Pose) -> None:
    """It starts farther from what is seen of it than a robust error without far sight pulls."""
    points = _points(model, pose)
    turned = pose.angles.clone()
    names = [joint.bone for joint in FIT_JOINTS]
    turned[:, names.index("upperarm01.R")] += torch.tensor([0.0, 2.3, 0.0])
    start = Pose(turned, pose.root_cam)
    wrist = model.point_names.index("right_wrist")
    assert (_points(model, start) - points)[:, wrist].norm(dim=-1).mean() > 0.4
    fit = fit_clip(
        Energy(model, CAMERA, FitWeights()), _seen(model, points), ClipFit(start, torch.tensor(ADULT)), steps=100
    )
    found = _points(model, fit.pose, fit.phenotype)
    assert (found - points)[:, wrist].norm(dim=-1).mean() < 0.1


def test_landmarks_straighten_what_keypoints_cannot_see(model: ArticulatedBody, pose: Pose) -> None:
    """A forearm that starts turned to the wrong side of the image plane: only steps in depth bring it back."""
    points = _points(model, pose)
    turned = pose.angles.clone()
    turned[:, [joint.bone for joint in FIT_JOINTS].index("lowerarm01.L"), 0] -= 0.7
    start = ClipFit(Pose(turned, pose.root_cam), torch.tensor(ADULT))
    energy = Energy(model, CAMERA, FitWeights())
    full = _seen(model, points)
    keypoints = from_keypoints(full.pixels[:, :17], torch.full((FRAMES, 17), 0.9), full.times_s)
    wrist = model.point_names.index("left_wrist")

    def off_m(seen: Evidence) -> torch.Tensor:
        fit = fit_clip(energy, seen, start, steps=120)
        found = _points(model, fit.pose, fit.phenotype)
        relative = found - found[:, 11:13].mean(dim=1, keepdim=True)
        truth = points - points[:, 11:13].mean(dim=1, keepdim=True)
        return (relative - truth)[:, wrist].norm(dim=-1).mean()

    assert off_m(full) < 0.06
    assert off_m(full) < 0.7 * off_m(keypoints)


def test_unseen_landmarks_leave_the_keypoints_their_say(model: ArticulatedBody, pose: Pose) -> None:
    points = _points(model, pose)
    blind = _landmarks(model, points, 1.0)
    blind.visibility[1] = 0
    keypoints = from_keypoints(
        project(points[:, :17], CAMERA), torch.full((FRAMES, 17), 0.9), torch.arange(FRAMES) / 12
    )
    seen = with_landmarks(keypoints, blind, CAMERA)
    assert torch.equal(seen.confidence[1, :17], keypoints.confidence[1])
    assert (seen.confidence[0, 5:17] < keypoints.confidence[0, 5:]).all()
    assert torch.equal(seen.confidence[0, :5], keypoints.confidence[0, :5]), "faces are left to the keypoints"
    assert not seen.bone_confidence[1].any() and seen.bone_confidence.shape == (FRAMES, len(BONES))
