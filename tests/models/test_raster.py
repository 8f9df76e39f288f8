import math

import pytest
import torch
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.geometry import Camera, depth_to_normals, pixel_rays
from dancedepth.models.raster import rasterize

CAMERA = Camera.centred(200.0, 160, 120)


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to draw on the processor."""
    _draw_plainly(monkeypatch, request.param == "plain")


def _draw_plainly(monkeypatch: pytest.MonkeyPatch, plainly: bool) -> None:
    monkeypatch.setattr("dancedepth.models.raster.has_numba", lambda: not plainly)


def _grid_plane(cells: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A plane across the whole view, tilted, cut into triangles."""
    line = torch.linspace(-3, 3, cells + 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    vertices = torch.stack((x, y, 3 + 0.2 * x - 0.1 * y), dim=-1).reshape(-1, 3)
    corner = (torch.arange(cells)[:, None] * (cells + 1) + torch.arange(cells)).flatten()
    a, b, c, d = corner, corner + 1, corner + cells + 1, corner + cells + 2
    return vertices, torch.cat((torch.stack((a, b, c), 1), torch.stack((b, d, c), 1)))


@pytest.mark.parametrize("cells", [1, 7, 40])
def test_a_tilted_plane_is_exact_and_has_no_cracks(cells: int) -> None:
    vertices, faces = _grid_plane(cells)
    raster = rasterize(vertices, faces, CAMERA)
    rays = pixel_rays(CAMERA)
    expected = 3 / (1 - 0.2 * rays[..., 0] + 0.1 * rays[..., 1])
    assert (raster.face_index >= 0).all()
    torch.testing.assert_close(raster.depth_m, expected, atol=2e-5, rtol=0)
    points = raster.interpolate(faces, vertices)
    torch.testing.assert_close(points, rays * expected[..., None], atol=2e-4, rtol=0)


def test_the_nearer_triangle_wins_whatever_the_order() -> None:
    near = torch.tensor([[-1.0, -1, 2], [1, -1, 2], [0, 1, 2]])
    vertices = torch.cat((near, near * torch.tensor([2.0, 2.0, 2.0])))
    for faces in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        raster = rasterize(vertices, torch.tensor(faces), CAMERA)
        assert raster.depth_m[60, 80] == pytest.approx(2.0, abs=1e-5)


def test_intersecting_triangles_are_cut_where_they_meet() -> None:
    vertices = torch.tensor([[-2.0, -2, 1], [2, -2, 3], [0, 3, 2], [-2, -2, 3], [2, -2, 1], [0, 3, 2.0]])
    depth = rasterize(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), CAMERA).depth_m
    assert (depth[depth > 0] <= 2.01).all()


def test_coverage_follows_pixel_centres() -> None:
    corners_px = torch.tensor([[10.0, 10.0], [20.0, 10.0], [10.0, 20.0]])
    vertices = torch.cat(((corners_px - torch.tensor([80.0, 60.0])) / 200 * 2, torch.full((3, 1), 2.0)), dim=1)
    seen = rasterize(vertices, torch.tensor([[0, 1, 2]]), CAMERA).face_index >= 0
    y, x = torch.meshgrid(torch.arange(120) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    sure = (x > 10.01) & (y > 10.01) & (x + y < 29.99)
    possible = (x > 9.99) & (y > 9.99) & (x + y < 30.01)
    assert (seen | ~sure).all()
    assert (~seen | possible).all()


@pytest.mark.parametrize("front_only", [True, False])
def test_both_ways_draw_the_same(front_only: bool, body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = body.rest(torch.tensor(ADULT)).vertices
    stands = torch.stack((rest[:, 0], -rest[:, 2], rest[:, 1] + 3), dim=1)
    camera, drawn = Camera.centred(300.0, 200, 300), []
    for plainly in (False, True):
        _draw_plainly(monkeypatch, plainly)
        drawn.append(rasterize(stands, body.faces, camera, front_only=front_only))
    compiled, plain = drawn
    same = compiled.face_index == plain.face_index
    assert (plain.face_index >= 0).sum() > 5000 and (~same).sum() <= 2
    torch.testing.assert_close(compiled.depth_m[same], plain.depth_m[same], atol=1e-5, rtol=0)
    torch.testing.assert_close(compiled.barycentric[same], plain.barycentric[same], atol=1e-4, rtol=0)


def test_what_is_no_number_draws_nothing() -> None:
    vertices = torch.tensor([[torch.nan, -1.0, 2], [1, -1, 2], [0, 1, 2], [torch.inf, 0, 2], [-1, -1, torch.nan]])
    raster = rasterize(vertices, torch.tensor([[0, 1, 2], [4, 1, 2]]), CAMERA)
    assert (raster.face_index == -1).all()


def test_triangles_behind_or_beside_the_camera_draw_nothing() -> None:
    behind = torch.tensor([[-1.0, -1, -2], [1, -1, -2], [0, 1, -2]])
    beside = torch.tensor([[50.0, -1, 2], [52, -1, 2], [51, 1, 2]])
    raster = rasterize(torch.cat((behind, beside)), torch.tensor([[0, 1, 2], [3, 4, 5]]), CAMERA)
    assert (raster.face_index == -1).all()
    assert not raster.depth_m.any()


def test_normals_of_a_rendered_sphere() -> None:
    u, v = torch.meshgrid(torch.linspace(0, math.pi, 200), torch.linspace(0, 2 * math.pi, 400), indexing="ij")
    sphere = torch.stack((u.sin() * v.cos(), u.cos(), u.sin() * v.sin()), dim=-1).reshape(-1, 3)
    corner = (torch.arange(199)[:, None] * 400 + torch.arange(399)).flatten()
    faces = torch.cat(
        (torch.stack((corner, corner + 1, corner + 400), 1), torch.stack((corner + 1, corner + 401, corner + 400), 1))
    )
    camera = Camera.centred(600.0, 400, 400)
    raster = rasterize(sphere + torch.tensor([0.0, 0.0, 4.0]), faces, camera)
    normals, truth = depth_to_normals(raster.depth_m, camera), raster.interpolate(faces, sphere)
    facing = truth[..., 2] < -0.4
    cosine = (normals * torch.nn.functional.normalize(truth, dim=-1)).sum(dim=-1)[facing]
    assert cosine.clamp(-1, 1).acos().rad2deg().mean() < 1.0


def test_front_only_leaves_out_what_faces_away(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT)).vertices
    facing = torch.stack((rest[:, 0], -rest[:, 2], rest[:, 1] + 3), dim=1)
    camera = Camera.centred(300.0, 200, 300)
    whole, front = rasterize(facing, body.faces, camera), rasterize(facing, body.faces, camera, front_only=True)
    assert (front.face_index >= 0).sum() > 5000
    differs = (whole.depth_m - front.depth_m).abs() > 0.002
    assert differs.sum() < 0.01 * (whole.face_index >= 0).sum()
    back = rasterize(facing, body.faces.flip(1), camera, front_only=True)
    both = (front.depth_m > 0) & (back.depth_m > 0)
    assert ((back.depth_m > front.depth_m)[both]).float().mean() > 0.95


@pytest.mark.gpu
def test_cuda_draws_what_the_processor_draws(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT)).vertices
    facing = torch.stack((rest[:, 0], -rest[:, 2], rest[:, 1] + 3), dim=1)
    camera = Camera.centred(300.0, 200, 300)
    here = rasterize(facing, body.faces, camera)
    there = rasterize(facing.cuda(), body.faces.cuda(), camera)
    assert (here.face_index == there.face_index.cpu()).float().mean() > 0.999
    assert ((here.depth_m - there.depth_m.cpu()).abs() > 1e-5).float().mean() < 0.001
