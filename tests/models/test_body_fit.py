"""The fit, on dancers whose pose is known: random smooth motion, seen through the body's own keypoints with noise."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import roma
import torch
from dancedepth.models.articulated import FACE_VERTICES, ArticulatedBody, Pose, moved
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel
from dancedepth.models.body_fit import (
    ClipFit,
    Pictures,
    fit_clip,
    silhouette_points,
)
from dancedepth.models.evidence import Evidence, from_keypoints
from dancedepth.models.geometry import Camera, project
from dancedepth.models.headings import CAM_FROM_FACING_BODY, search_headings
from dancedepth.models.image_motion import ImageMotion
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.pose_energy import Energy, FitWeights
from dancedepth.models.raster import rasterize
from dancedepth.models.silhouettes import silhouette, stack

HEIGHT_M, FPS, FRAMES = 1.66, 12.0, 16
CAMERA = Camera.centred(0.85 * 1280, 720, 1280)


@dataclass(frozen=True)
class Dance:
    energy: Energy
    pose: Pose
    points_cam: torch.Tensor
    seen: Evidence


def _sway(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Smooth noise: a few slow sines of random size and phase."""
    time = (torch.arange(FRAMES) / FPS).view(-1, *[1] * len(shape))
    waves = torch.zeros(FRAMES, *shape)
    for hertz in (0.3, 0.7, 1.3):
        phase = torch.rand(shape, generator=generator) * 2 * math.pi
        waves += torch.randn(shape, generator=generator) / (1 + hertz) * torch.sin(2 * math.pi * hertz * time + phase)
    return waves


def _dance(body: BodyModel, turns: float, seed: int = 0, noise_px: float = 2.0) -> Dance:
    generator = torch.Generator().manual_seed(seed)
    points, _ = silhouette_points(body)
    model = ArticulatedBody(body, HEIGHT_M, points)
    energy = Energy(model, CAMERA, FitWeights())
    turned = energy.neutral + 0.6 * energy.spread * _sway((len(FIT_JOINTS), 3), generator)
    turned = torch.minimum(torch.maximum(turned, energy.low + 0.02), energy.high - 0.02)
    angles = torch.einsum("aij,naj->nai", energy.frames, turned)
    yaw = torch.linspace(0, 2 * math.pi * turns, FRAMES)
    facing = torch.tensor(CAM_FROM_FACING_BODY) @ roma.rotvec_to_rotmat(torch.stack((0 * yaw, 0 * yaw, yaw), dim=1))
    angles[:, 0] = roma.rotmat_to_rotvec(facing)
    root = torch.tensor([0.0, 0.1, 2.6]) + 0.1 * _sway((3,), generator)
    moments = model.moments(torch.tensor(ADULT))
    points_cam = moved(moments.points, model.transforms(moments, Pose(angles, root)))
    pixels = project(points_cam[:, :17], CAMERA)
    confidence = torch.full((FRAMES, 17), 0.95)
    confidence[facing[:, 2, 1] < -0.3, :3] = 0  # nobody sees nose and eyes from behind
    pixels = pixels + noise_px * torch.randn(pixels.shape, generator=generator)
    return Dance(energy, Pose(angles, root), points_cam, from_keypoints(pixels, confidence, torch.arange(FRAMES) / FPS))


def _fit(dance: Dance, seen: Evidence | None = None) -> ClipFit:
    seen = seen or dance.seen
    start = ClipFit(search_headings(dance.energy, seen, steps=50), torch.tensor(ADULT))
    return fit_clip(dance.energy, seen, start, steps=80)


@pytest.fixture(scope="module")
def dance(body: BodyModel) -> Dance:
    """A dancer who faces the camera."""
    return _dance(body, 0.0)


@pytest.fixture(scope="module")
def fitted(dance: Dance) -> ClipFit:
    return _fit(dance)


def _points(dance: Dance, fit: ClipFit) -> torch.Tensor:
    model = dance.energy.model
    moments = model.moments(fit.phenotype)
    return moved(moments.points, model.transforms(moments, fit.pose))[:, :17]


def _joint_error_mm(dance: Dance, fit: ClipFit) -> torch.Tensor:
    """Distance of the keypoints from the truth, both relative to the hips' middle."""
    found, truth = _points(dance, fit), dance.points_cam[:, :17]
    found = found * (truth[..., 2].mean() / found[..., 2].mean())
    found, truth = (p - p[:, 11:13].mean(dim=1, keepdim=True) for p in (found, truth))
    return (found - truth).norm(dim=-1) * 1000


def _heading_error_deg(dance: Dance, fit: ClipFit) -> torch.Tensor:
    def forward(pose: Pose) -> torch.Tensor:
        return -roma.rotvec_to_rotmat(pose.angles[:, 0])[:, :, 1]

    return (forward(dance.pose) * forward(fit.pose)).sum(dim=1).clamp(-1, 1).acos().rad2deg()


def _true_vertices(body: BodyModel, dance: Dance) -> torch.Tensor:
    rest = body.scaled_to_height(body.rest(torch.tensor(ADULT)), HEIGHT_M)
    rotations = dance.energy.model.full_rotations(dance.pose.angles)
    transforms = body.pose(rest.bone_poses[None, :, :3, 3], rotations, dance.pose.root_cam)
    return body.skin(rest.vertices, transforms)


def _no_motion() -> ImageMotion:
    return ImageMotion(torch.full((FRAMES, 2, 2, 2), torch.nan), torch.zeros(FRAMES, 2), torch.ones(FRAMES, 2))


def _true_motion(body: BodyModel, dance: Dance, cell_px: int = 10) -> ImageMotion:
    """Where the naked body moves in the image, on a grid of cells."""
    side = CAMERA.height // cell_px
    coarse = Camera(CAMERA.focal_px / cell_px, CAMERA.cx / cell_px, CAMERA.cy / cell_px, side, side)
    vertices, shift = _true_vertices(body, dance), torch.full((FRAMES, 2, side, side), torch.nan)
    pixels = [project(frame, CAMERA) for frame in vertices]
    for index in range(FRAMES - 1):
        raster = rasterize(vertices[index], body.faces, coarse, front_only=True)
        moved_px = raster.interpolate(body.faces, pixels[index + 1] - pixels[index])
        shift[index] = torch.where(raster.face_index[..., None] >= 0, moved_px, torch.nan).permute(2, 0, 1)
    return ImageMotion(shift, torch.zeros(FRAMES, 2), torch.full((FRAMES, 2), float(CAMERA.height)))


@pytest.mark.parametrize(("turns", "seed"), [(1.0, 1), (-1.0, 2)])
def test_a_dancer_is_found_through_a_whole_turn(body: BodyModel, turns: float, seed: int) -> None:
    dance = _dance(body, turns, seed)
    fit = _fit(dance)
    reprojection = (project(_points(dance, fit), CAMERA) - dance.seen.pixels).norm(dim=-1)
    assert reprojection[dance.seen.confidence > 0].mean() < 6
    assert _heading_error_deg(dance, fit).median() < 20
    assert _heading_error_deg(dance, fit).max() < 60
    assert _joint_error_mm(dance, fit).mean() < 90


def test_missing_keypoints_and_frames_are_bridged(dance: Dance) -> None:
    confidence = dance.seen.confidence.clone()
    confidence[6:9] = 0
    confidence[:, [9, 16]] = 0
    bridged = _fit(dance, from_keypoints(dance.seen.pixels, confidence, dance.seen.times_s))
    assert _joint_error_mm(dance, bridged)[6:9].mean() < 120
    assert bridged.pose.root_cam.isfinite().all()
    jump = (_points(dance, bridged).diff(dim=0).norm(dim=-1)).amax()
    assert jump < 0.35


def test_wild_keypoints_do_not_pull(dance: Dance, fitted: ClipFit) -> None:
    pixels = dance.seen.pixels.clone()
    pixels[10, 7:11] += 400
    wild = _fit(dance, from_keypoints(pixels, dance.seen.confidence, dance.seen.times_s))
    assert _joint_error_mm(dance, wild)[10].mean() < _joint_error_mm(dance, fitted)[10].mean() + 40


def test_joints_stay_in_their_range(dance: Dance, fitted: ClipFit) -> None:
    turned = torch.einsum("aji,baj->bai", dance.energy.frames, fitted.pose.angles)[:, 1:]
    assert (turned - dance.energy.high[1:]).max() < 0.15
    assert (dance.energy.low[1:] - turned).max() < 0.15


def test_mattes_bring_the_body_into_the_outline(body: BodyModel, dance: Dance, fitted: ClipFit) -> None:
    mattes = []
    for vertices in _true_vertices(body, dance):
        alpha = (rasterize(vertices, body.faces, CAMERA).face_index >= 0).numpy().astype(np.uint8) * 255
        seen = project(vertices[:SKIN_VERTICES], CAMERA)
        mattes.append(silhouette(alpha, torch.cat((seen.amin(dim=0), seen.amax(dim=0))).numpy()))
    silhouettes, (_, weight) = stack(mattes, len(mattes), "cpu"), silhouette_points(body)
    turned = fitted.pose.angles.clone()
    hands_and_feet = [a for a, joint in enumerate(FIT_JOINTS) if joint.bone.startswith(("wrist", "foot"))]
    turned[:, hands_and_feet] += 0.5  # what no keypoint sees
    before = ClipFit(Pose(turned, fitted.pose.root_cam), fitted.phenotype)
    pictures = Pictures(silhouettes, weight, _no_motion())
    after = fit_clip(dance.energy, dance.seen, before, pictures, steps=60)

    def outside_px(fit: ClipFit) -> float:
        model = dance.energy.model
        moments = model.moments(fit.phenotype)
        surface = moved(moments.surface, model.transforms(moments, fit.pose))
        return float(silhouettes.outside(project(surface, CAMERA)).mean())

    assert outside_px(after) < 0.65 * outside_px(before)
    assert outside_px(after) < 1.0


def test_flow_steadies_what_keypoints_shake(body: BodyModel) -> None:
    dance = _dance(body, 0.0, seed=3, noise_px=14.0)
    start = _fit(dance)
    _, weight = silhouette_points(body)
    unseen = stack([None] * FRAMES, FRAMES, "cpu")

    def fitted(motion: ImageMotion) -> ClipFit:
        return fit_clip(dance.energy, dance.seen, start, Pictures(unseen, weight, motion), steps=120)

    def shaken(fit: ClipFit) -> torch.Tensor:
        return (_points(dance, fit) - dance.points_cam[:, :17]).diff(dim=0).norm(dim=-1).mean()

    without, following = fitted(_no_motion()), fitted(_true_motion(body, dance))
    assert shaken(following) < 0.75 * shaken(without)
    assert _joint_error_mm(dance, following).mean() < 0.95 * _joint_error_mm(dance, without).mean()


@pytest.mark.parametrize("head_scale", [1.0, 1.15])
def test_the_short_sum_is_the_skinned_body(body: BodyModel, dance: Dance, head_scale: float) -> None:
    """The moments give the keypoints, and the face's points, that skinning all 19,158 vertices gives."""
    model = dance.energy.model
    rest = body.scaled_to_height(body.with_head_scaled(body.rest(torch.tensor(ADULT)), head_scale), HEIGHT_M)
    transforms = body.pose(
        rest.bone_poses[None, :, :3, 3], model.full_rotations(dance.pose.angles), dance.pose.root_cam
    )
    skinned = body.skin(rest.vertices, transforms)
    moments = model.moments(torch.tensor(ADULT), head_scale)
    points = moved(moments.points, model.transforms(moments, dance.pose))
    keypoints = torch.einsum("kv,bvd->bkd", body.keypoint_weights, skinned)
    torch.testing.assert_close(points[:, : len(body.keypoint_names)], keypoints, atol=1e-3, rtol=0)
    face = skinned[:, list(FACE_VERTICES.values())]
    torch.testing.assert_close(points[:, -len(FACE_VERTICES) :], face, atol=1e-3, rtol=0)


def test_the_forearm_shares_half_of_a_hands_turn(body: BodyModel, dance: Dance) -> None:
    """And the hand itself ends as the fit has it."""
    model, angles = dance.energy.model, torch.zeros(1, len(FIT_JOINTS), 3)
    wrist, forearm = body.bone("wrist.L"), body.bone("lowerarm02.L")
    axis = torch.nn.functional.normalize(body.template_heads[wrist] - body.template_heads[forearm], dim=0)
    angles[0, [joint.bone for joint in FIT_JOINTS].index("wrist.L")] = 0.8 * axis
    rotations = model.full_rotations(angles)[0]
    torch.testing.assert_close(roma.rotmat_to_rotvec(rotations[forearm]), 0.4 * axis, atol=1e-5, rtol=0)
    both = roma.rotmat_to_rotvec(rotations[forearm] @ rotations[wrist])
    torch.testing.assert_close(both, 0.8 * axis, atol=1e-5, rtol=0)


def test_a_large_head_leaves_the_rest_of_the_body_as_it_is(body: BodyModel) -> None:
    own = body.rest(torch.tensor(ADULT))
    large = body.with_head_scaled(own, 1.2)
    face = list(FACE_VERTICES.values())
    grown = (large.vertices[face] - large.vertices[face].mean(dim=0)).norm() / (
        own.vertices[face] - own.vertices[face].mean(dim=0)
    ).norm()
    assert grown.item() == pytest.approx(1.2, abs=1e-3)
    below = own.vertices[:, 2] < own.bone_poses[body.bone("spine01"), 2, 3]
    assert torch.equal(large.vertices[below], own.vertices[below])
    moved_bones = (large.bone_poses - own.bone_poses).abs().amax(dim=(1, 2)) > 0
    assert (moved_bones <= body.below("head")).all() and moved_bones.any()
