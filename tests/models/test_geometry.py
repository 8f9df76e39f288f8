import math

import pytest
import torch
from dancedepth.models.geometry import (
    Camera,
    backproject,
    depth_to_normals,
    focal_from_fov,
    invert_rigid,
    pixel_rays,
    project,
)
from hypothesis import given
from hypothesis import strategies as st

CAMERA = Camera(300.0, 81.5, 60.0, 160, 120)


def _plane_depth(camera: Camera, normal: torch.Tensor, distance_m: float) -> torch.Tensor:
    return -distance_m / (pixel_rays(camera).double() @ normal.double())


@given(st.integers(0, 100), st.integers(0, 60), st.integers(8, 50), st.integers(8, 50))
def test_a_crop_sees_the_same_points(left: int, top: int, width: int, height: int) -> None:
    depth = torch.rand(CAMERA.height, CAMERA.width) + 1
    window = (slice(top, top + height), slice(left, left + width))
    part = backproject(depth[window], CAMERA.crop(left, top, width, height))
    torch.testing.assert_close(part, backproject(depth, CAMERA)[window])


def test_projection_undoes_backprojection() -> None:
    depth = torch.rand(CAMERA.height, CAMERA.width) + 0.5
    pixels = project(backproject(depth, CAMERA), CAMERA)
    assert pixels[0, 0].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
    assert pixels[-1, -1].tolist() == pytest.approx([159.5, 119.5], abs=1e-3)


def test_resizing_keeps_the_field_of_view() -> None:
    point = torch.tensor([0.2, -0.1, 1.5])
    small = project(point, CAMERA.resized(80, 60))
    torch.testing.assert_close(small * 2, project(point, CAMERA))


def test_a_plane_has_its_own_normal_everywhere() -> None:
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, -1.0]), dim=0)
    normals = depth_to_normals(_plane_depth(CAMERA, normal, 2.0).float(), CAMERA)
    assert (normals @ normal).min() > math.cos(math.radians(0.2))


def test_normals_do_not_smear_over_a_depth_step() -> None:
    depth = torch.full((40, 40), 2.0)
    depth[:, 20:] = 3.0
    normals = depth_to_normals(depth, Camera.centred(100, 40, 40))
    torch.testing.assert_close(normals[..., 2], torch.full((40, 40), -1.0))


def test_no_depth_has_no_normal() -> None:
    depth = torch.zeros(10, 10)
    depth[5, 5] = 1.0
    assert not depth_to_normals(depth, Camera.centred(100, 10, 10)).any()


def test_field_of_view_of_a_quarter_turn() -> None:
    assert focal_from_fov(math.pi / 2, 200) == pytest.approx(100)


def test_inverse_of_a_rigid_transform() -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    transform = torch.eye(4)
    transform[:3, :3], transform[:3, 3] = turn * torch.det(turn), torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(invert_rigid(transform) @ transform, torch.eye(4), atol=1e-6, rtol=0)
