"""A textured sphere that turns and moves between two frames: everything about it is known exactly."""

from dataclasses import dataclass

import pytest
import roma
import torch
from dancedepth.models import pair_losses
from dancedepth.models.geometry import Camera, pixel_rays
from dancedepth.models.inputs import camera_rays
from dancedepth.models.pair_losses import Matches
from dancedepth.models.rigid_parts import PartMotions, part_motions

from tests.scenes import plane_depth

CAMERA = Camera.centred(240.0, 128, 128)
RADIUS = 0.4
FIRST, SECOND = torch.tensor([0.0, 0.0, 2.0]).double(), torch.tensor([0.05, -0.04, 2.1]).double()
MIDDLES = (FIRST, SECOND)
TURN = roma.rotvec_to_rotmat(torch.tensor([0.1, 0.35, -0.05]).double())


@dataclass(frozen=True)
class Turning:
    """Both frames (b = 1), in double precision."""

    depth: tuple[torch.Tensor, torch.Tensor]
    images: tuple[torch.Tensor, torch.Tensor]
    rays: torch.Tensor
    mask: torch.Tensor
    matches: Matches

    def points(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        lifted = pair_losses.lift(first, self.rays, self.matches.source_px)
        return lifted, pair_losses.lift(second, self.rays, self.matches.target_px)

    def warp(self, first: torch.Tensor, second: torch.Tensor, rounds: int = 2) -> torch.Tensor:
        a, b = self.points(first, second)
        return pair_losses.warp(a, b, self.matches, pair_losses.solve_motions(a, b, self.matches, 2, rounds))


def hit(centre: torch.Tensor) -> torch.Tensor:
    """Depth of the sphere's near side, NaN beside it."""
    rays = pixel_rays(CAMERA).double()
    a, b = (rays * rays).sum(-1), (rays * centre).sum(-1)
    return (b - (b * b - a * ((centre * centre).sum() - RADIUS**2)).sqrt()) / a


def texture(on_sphere: torch.Tensor) -> torch.Tensor:
    """Colours (3 h w) of points relative to the sphere's own axes."""
    return (0.5 + 0.3 * torch.sin(5 * on_sphere / RADIUS)).nan_to_num().permute(2, 0, 1)


@pytest.fixture(scope="module")
def scene() -> Turning:
    rays = camera_rays(CAMERA).double()
    first, second = hit(FIRST), hit(SECOND)
    own_a = pixel_rays(CAMERA).double() * first[..., None] - FIRST
    own_b = (pixel_rays(CAMERA).double() * second[..., None] - SECOND) @ TURN
    rows = torch.nonzero(~first.isnan())
    moved = own_a[rows[:, 0], rows[:, 1]] @ TURN.T + SECOND
    target = pair_losses.project_to(moved[None], rays)[0]
    facing = ((moved - SECOND) * moved).sum(-1) < -0.4 * RADIUS * 2
    cells = second.isnan()[None, None].double()
    whole = pair_losses.sample(cells, target[None])[0, :, 0] == 0  # no corner of the pixel cell lies beside the sphere
    kept = facing & whole
    source, target = rows[kept].flip(1).double()[::5] + 0.5, target[kept][::5]
    part = (source[:, 0] > 64).long()[None]
    matches = Matches(source[None], target[None], part, torch.ones(1, len(source)).double())
    maps = tuple(depth.nan_to_num(2.3)[None, None] for depth in (first, second))
    images = (texture(own_a)[None], texture(own_b)[None])
    return Turning((maps[0], maps[1]), images, rays, ~first.isnan()[None, None], matches)


def test_true_depths_cost_nothing(scene: Turning) -> None:
    assert scene.warp(*scene.depth) < 1e-4  # what is left is the interpolation between the second frame's pixels
    assert scene.matches.weight.shape[1] > 500


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_relief_of_another_height_costs(scene: Turning, factor: float) -> None:
    """Both frames flattened, or raised, alike: no rigid motion joins them."""
    wrong = [
        middle[2] + factor * (depth - middle[2]) for depth, middle in zip(scene.depth, (FIRST, SECOND), strict=True)
    ]
    assert scene.warp(wrong[0], wrong[1]) > 100 * scene.warp(*scene.depth)


def test_descent_brings_a_wrong_depth_back(scene: Turning) -> None:
    relief = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([relief], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        first, second = (m[2] + relief * (depth - m[2]) for depth, m in zip(scene.depth, MIDDLES, strict=True))
        scene.warp(first, second).sum().backward()
        optimizer.step()
    assert float(relief.detach()) == pytest.approx(1.0, abs=0.03)


def test_descent_removes_a_dent(scene: Turning) -> None:
    dent = 0.05 * torch.exp(-((pixel_rays(CAMERA)[..., :2].double() * 12) ** 2).sum(-1))[None, None]
    depth = (scene.depth[0] + dent).requires_grad_()
    optimizer = torch.optim.Adam([depth], lr=0.002)
    for step in range(80):
        optimizer.param_groups[0]["lr"] = 0.002 * (1 - step / 80)
        optimizer.zero_grad()
        scene.warp(depth, scene.depth[1]).sum().backward()
        optimizer.step()
    x, y = scene.matches.source_px[0].long().unbind(dim=1)
    left = (depth.detach() - scene.depth[0])[0, 0, y, x]
    assert left.std() < 0.3 * dent[0, 0, y, x].std()  # a common shift is a motion, and free


def test_gradient_is_that_of_finite_differences(scene: Turning) -> None:
    """Through the solved rotation and translation too."""
    generator = torch.Generator().manual_seed(3)
    noise = 0.02 * torch.randn(scene.depth[0].shape, generator=generator).double()
    depth = (scene.depth[0] + noise).requires_grad_()
    (gradient,) = torch.autograd.grad(scene.warp(depth, scene.depth[1], rounds=0).sum(), depth)
    for _ in range(3):
        way = torch.randn(depth.shape, generator=generator).double()
        ends = [scene.warp(depth.detach() + s * way, scene.depth[1], rounds=0) for s in (1e-6, -1e-6)]
        slope = float((ends[0] - ends[1]).detach().sum()) / 2e-6
        assert float((gradient * way).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_photometric_gradient_and_least_value(scene: Turning) -> None:
    def value(first: torch.Tensor) -> torch.Tensor:
        a, b = scene.points(first, scene.depth[1])
        motions = pair_losses.solve_motions(a, b, scene.matches, 2, rounds=0)
        darker = 0.8 * scene.images[1] + 0.05
        return pair_losses.photometric(scene.images[0], darker, scene.rays, a, scene.matches, motions).sum()

    def fixed(first: torch.Tensor) -> torch.Tensor:
        """With the true motion, so that only the pixel where a point lands depends on its depth."""
        a, b = scene.points(*scene.depth)
        motions = pair_losses.solve_motions(a, b, scene.matches, 2)
        moved = scene.points(first, scene.depth[1])[0]
        return pair_losses.photometric(
            scene.images[0], scene.images[1], scene.rays, moved, scene.matches, motions
        ).sum()

    right, wrong = scene.depth[0], 2 + 0.6 * (scene.depth[0] - 2)
    assert value(right) < 0.02 and value(wrong) > 3 * value(right)
    depth = wrong.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fixed(depth), depth)
    way = torch.randn(depth.shape, generator=torch.Generator().manual_seed(1)).double()
    slope = float(fixed(wrong + 1e-6 * way) - fixed(wrong - 1e-6 * way)) / 2e-6
    assert float((gradient * way).sum()) == pytest.approx(slope, rel=2e-3)


def test_outliers_do_not_move_the_parts(scene: Turning) -> None:
    a, b = scene.points(*scene.depth)
    spoilt = b.clone()
    spoilt[:, ::10] += torch.tensor([0.3, 0.0, 0.1])
    plain = part_motions(a, spoilt, scene.matches.part, scene.matches.weight, 2)
    robust = pair_losses.solve_motions(a, spoilt, scene.matches, 2, rounds=5)
    off = [roma.rotmat_geodesic_distance(m.rotation[0], TURN.expand(2, 3, 3)).max() for m in (plain, robust)]
    assert off[1] < 0.2 * off[0]


def test_predictions_that_are_no_numbers_do_not_stop_a_training() -> None:
    points = torch.full((1, 40, 3), torch.nan)
    found = part_motions(points, points, torch.zeros(1, 40, dtype=torch.long), torch.ones(1, 40), 1)
    assert not found.known.any() and found.rotation.isfinite().all()
    maps = torch.rand(1, 3, 8, 8, requires_grad=True)
    wild = torch.tensor([[[torch.nan, 2.0], [torch.inf, 2.0], [1e30, -1e30], [4.0, 4.0]]])
    pair_losses.sample(maps, wild).sum().backward()
    assert maps.grad is not None and maps.grad.isfinite().all()


@pytest.mark.parametrize("shape", ["line", "one point", "few", "flat", "mirrored"])
def test_degenerate_parts_are_safe(shape: str) -> None:
    generator = torch.Generator().manual_seed(0)
    points = 0.1 * torch.randn(1, 40, 3, generator=generator)
    weight = torch.ones(1, 40)
    if shape == "line":
        points[..., 1:] = 0
    elif shape == "one point":
        points[:] = points[:, :1]
    elif shape == "few":
        weight[:, 3:] = 0
    elif shape == "flat":
        points[..., 2] = 0
    source = points.clone().requires_grad_()
    target = points * torch.tensor([-1.0, 1.0, 1.0]) if shape == "mirrored" else points + 0.2
    matches = Matches(torch.zeros(1, 40, 2), torch.zeros(1, 40, 2), torch.zeros(1, 40, dtype=torch.long), weight)
    motions = pair_losses.solve_motions(source, target, matches, 1)
    assert bool(motions.known.all()) == (shape in ("flat", "mirrored"))
    assert torch.allclose(torch.det(motions.rotation), torch.ones(1, 1), atol=1e-4)
    value = pair_losses.warp(source, target, matches, motions)
    (gradient,) = torch.autograd.grad(value.sum() + motions.rotation.sum(), source)
    assert gradient.isfinite().all() and gradient.abs().max() < 1e5
    assert (value < 1e-4) == (shape != "mirrored")


def test_a_part_that_is_turned_over_keeps_its_handedness() -> None:
    points = torch.randn(1, 50, 3)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 3.0, 0.0]))
    part = torch.zeros(1, 50, dtype=torch.long)
    found = part_motions(points, points @ turn.T + 1, part, torch.ones(1, 50), 1)
    assert torch.allclose(found.rotation[0, 0], turn, atol=1e-4)
    assert torch.allclose(found.move(points, part), points @ turn.T + 1, atol=1e-4)


def test_normals_turn_with_their_parts() -> None:
    part, weight = torch.zeros(1, 30, dtype=torch.long), torch.ones(1, 30)
    matches = Matches(torch.zeros(1, 30, 2), torch.zeros(1, 30, 2), part, weight)
    normals = torch.nn.functional.normalize(torch.randn(1, 30, 3), dim=-1)
    turn = TURN.float()
    motions = PartMotions(turn[None, None], torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool))
    assert pair_losses.turned_normals(normals, normals @ turn.T, matches, motions) < 1e-3
    assert pair_losses.turned_normals(normals, normals, matches, motions) > 0.1


def test_distance_within_the_surface_counts_less(scene: Turning) -> None:
    a, b = scene.points(*scene.depth)
    motions = pair_losses.solve_motions(a, b, scene.matches, 2)
    normals = torch.nn.functional.normalize(b - SECOND, dim=-1)
    sideways = torch.nn.functional.normalize(torch.linalg.cross(normals, normals.roll(1, -1)), dim=-1)
    slid = b + 0.02 * sideways
    values = [float(pair_losses.warp(a, slid, scene.matches, motions, normals, along)) for along in (1.0, 0.1)]
    assert values[1] < 0.05 * values[0]
    off = b + 0.02 * normals
    values = [float(pair_losses.warp(a, off, scene.matches, motions, normals, along)) for along in (1.0, 0.1)]
    assert values[1] == pytest.approx(values[0], rel=1e-2)


def test_planes_are_smooth_and_edges_may_bend() -> None:
    camera = Camera.centred(60.0, 32, 32)
    everywhere, plain = torch.ones(1, 1, 32, 32, dtype=torch.bool), torch.full((1, 3, 32, 32), 0.5)
    plane = plane_depth(camera, (0.5, 0.3, -0.812), 1.5)[None, None]
    assert pair_losses.smoothness(plane, plain, everywhere) < 1e-5
    roof = 2 + 0.01 * (torch.arange(32.0) - 16).abs().expand(1, 1, 32, 32)
    edge = (torch.arange(32) >= 16).float().expand(1, 3, 32, 32)
    assert pair_losses.smoothness(roof, edge, everywhere) < 0.3 * pair_losses.smoothness(roof, plain, everywhere)


def test_anchor_holds_the_whole_and_leaves_detail() -> None:
    mask, anchor = torch.ones(1, 1, 32, 32, dtype=torch.bool), torch.zeros(1, 1, 32, 32)
    detail = 0.012 * (-1.0) ** torch.arange(32).expand(1, 1, 32, 32)
    away = torch.full_like(detail, 0.012)
    assert pair_losses.anchoring(detail, anchor, mask) == pytest.approx(1.0)
    assert pair_losses.anchoring(detail, anchor, mask, reach=9) < 0.1
    assert pair_losses.anchoring(away, anchor, mask, reach=9) == pytest.approx(1.0, rel=1e-3)
