import pytest
import torch
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.geometry import Camera, project
from dancedepth.models.inputs import (
    Crop,
    PosedBody,
    crop_around,
    cut_loop,
    cut_tensors,
    extend_outwards,
    prepare_input,
)
from dancedepth.models.paste_back import paste_back
from dancedepth.models.raster import rasterize

SIZE = (64, 96)


@pytest.fixture(scope="module")
def posed(body: BodyModel) -> PosedBody:
    rest = body.rest(torch.tensor(ADULT))
    upright = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    vertices = rest.vertices @ upright.T + torch.tensor([0.3, 0.1, 3.0])
    root = float((upright @ rest.bone_poses[0, :3, 3])[2]) + 3.0
    return PosedBody(vertices, rest.vertices, body.faces, root, rest.height_m)


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera.centred(500.0, 360, 480)


def test_a_crop_keeps_points_where_they_are(camera: Camera) -> None:
    alpha = torch.zeros(480, 360, dtype=torch.uint8)
    alpha[100:400, 150:250] = 255
    crop = crop_around(alpha, camera, SIZE)
    assert crop is not None
    point = torch.tensor([[0.2, 0.3, 3.0]])
    in_image, in_crop = project(point, camera)[0], project(point, crop.camera)[0]
    scale = SIZE[0] / crop.width
    expected = (in_image - torch.tensor([crop.left, crop.top])) * scale
    assert torch.allclose(in_crop, expected, atol=1e-3)
    assert crop.width * SIZE[1] == crop.height * SIZE[0]
    assert crop.top < 100 and crop.top + crop.height > 400


def test_an_empty_matte_has_no_crop(camera: Camera) -> None:
    assert crop_around(torch.zeros(480, 360, dtype=torch.uint8), camera, SIZE) is None


@pytest.mark.parametrize(
    ("left", "top", "width", "height"),
    [(40, 30, 260, 390), (-50, -60, 400, 600), (200, 300, 300, 450), (100, 90, 40, 60)],
)
def test_both_ways_of_cutting_give_the_same(camera: Camera, left: int, top: int, width: int, height: int) -> None:
    """Windows inside the image, beyond its borders on all sides or some, and smaller than the network's size."""
    generator = torch.Generator().manual_seed(0)
    rgb = torch.randint(256, (480, 360, 3), dtype=torch.uint8, generator=generator)
    alpha = torch.randint(256, (480, 360), dtype=torch.uint8, generator=generator)
    alpha[:50], alpha[:, 300:] = 0, 0
    crop = Crop(left, top, width, height, camera.crop(left, top, width, height).resized(*SIZE))
    compiled, tensors = (cut(rgb, alpha, crop) for cut in (cut_loop, cut_tensors))
    assert compiled.shape == (4, SIZE[1], SIZE[0]) and compiled.max() > 0.2
    torch.testing.assert_close(compiled, tensors, atol=2e-6, rtol=0)


def test_body_maps_lie_on_the_person(posed: PosedBody, camera: Camera) -> None:
    seen = rasterize(posed.vertices_cam, posed.faces, camera)
    alpha = (seen.depth_m > 0).to(torch.uint8) * 255
    rgb = torch.full((480, 360, 3), 200, dtype=torch.uint8)
    prepared = prepare_input(rgb, alpha, posed, camera, SIZE)
    assert prepared is not None
    given, _ = prepared
    agree = ((given.alpha > 0.5) == (given.coverage > 0)).float().mean()
    assert agree > 0.97
    assert given.image[given.alpha.expand(-1, 3, -1, -1) == 0].abs().max() == 0
    on_body = given.coverage > 0
    assert given.body_offset[on_body].abs().max() < 0.2  # a standing body is a fifth of its height deep at most
    heights = given.canonical[:, 2:][on_body]
    assert heights.max() - heights.min() == pytest.approx(1.0, abs=0.05)


def test_there_and_back_is_the_bodys_own_depth(posed: PosedBody, camera: Camera) -> None:
    seen = rasterize(posed.vertices_cam, posed.faces, camera)
    alpha = (seen.depth_m > 0).to(torch.uint8) * 255
    prepared = prepare_input(torch.zeros(480, 360, 3, dtype=torch.uint8), alpha, posed, camera, (208, 320))
    assert prepared is not None
    given, crop = prepared
    inside = (given.alpha[0] >= 0.5) & (given.coverage[0] > 0)
    found = paste_back(given.body_offset[0], given.body_normals[0], given.coverage[0], inside, crop, posed, alpha)
    person = seen.depth_m > 0
    error = (found.depth_m - seen.depth_m).abs()[person]
    assert error.median() < 0.003 and error.quantile(0.95) < 0.015
    assert (found.depth_m[~person] == 0).all() and (found.depth_m[person] > 0).all()
    assert torch.allclose(found.normals[person].norm(dim=1), torch.ones(int(person.sum())), atol=1e-4)


def test_depth_does_not_float_between_two_sides_of_a_step(posed: PosedBody) -> None:
    depth = torch.zeros(1, 32, 32)
    depth[:, :, 16:] = 0.5
    normals = torch.tensor([0.0, 0.0, -1.0])[:, None, None].expand(3, 32, 32)
    crop = Crop(0, 0, 128, 128, Camera.centred(100.0, 32, 32))
    alpha = torch.full((128, 128), 255, dtype=torch.uint8)
    everywhere = torch.ones(1, 32, 32, dtype=torch.bool)
    found = paste_back(depth, normals, torch.ones(1, 32, 32), everywhere, crop, posed, alpha)
    relative = (found.depth_m - posed.root_depth_m) / posed.height_m
    assert torch.minimum(relative.abs(), (relative - 0.5).abs()).max() < 1e-4


def test_extension_keeps_what_is_known_and_stays_in_its_range() -> None:
    values, known = torch.rand(2, 1, 37, 50), (torch.rand(2, 1, 37, 50) > 0.9).float()
    grown = extend_outwards(values * known, known)
    assert torch.equal(grown[known > 0], values[known > 0])
    assert grown.min() >= (values[known > 0]).min() - 1e-5 and grown.max() <= values[known > 0].max() + 1e-5
    constant = extend_outwards(0.3 * known, known)
    assert torch.allclose(constant, torch.full_like(constant, 0.3), atol=1e-5)
