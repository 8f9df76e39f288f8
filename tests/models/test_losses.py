import math

import pytest
import torch
from dancedepth.models import losses
from dancedepth.models.geometry import Camera
from dancedepth.models.inputs import camera_rays

from tests.scenes import plane_depth, sphere_depth

EVERYWHERE = torch.ones(2, 1, 8, 8, dtype=torch.bool)


def test_each_sample_has_its_own_value() -> None:
    depth = torch.zeros(2, 1, 8, 8)
    truth = torch.tensor([0.1, 0.2]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    assert torch.allclose(losses.depth_l1(depth, truth, EVERYWHERE), torch.tensor([0.1, 0.2]))
    assert torch.allclose(losses.depth_l2(depth, truth, EVERYWHERE), torch.tensor([0.01, 0.04]))


def test_pixels_beside_the_mask_do_not_count() -> None:
    depth, mask = torch.zeros(2, 1, 8, 8), EVERYWHERE.clone()
    depth[..., 0] = torch.nan
    mask[..., 0] = False
    assert torch.equal(losses.depth_l1(depth, torch.zeros_like(depth), mask), torch.zeros(2))


def test_a_common_factor_costs_nothing_where_scale_is_free() -> None:
    truth = 2 + torch.rand(2, 1, 8, 8)
    assert losses.scale_invariant_depth(1.3 * truth, truth, EVERYWHERE).abs().max() < 1e-6
    assert losses.scale_invariant_depth(truth + torch.rand_like(truth), truth, EVERYWHERE).min() > 1e-4


def test_blurred_normals_are_as_wrong_in_their_changes_as_flat_ones_and_tilted_ones_are_right() -> None:
    x = torch.arange(32.0).expand(1, 1, 32, 32)
    mask = torch.ones(1, 1, 32, 32, dtype=torch.bool)

    def leaning(angle: torch.Tensor) -> torch.Tensor:
        return torch.cat((angle.sin(), 0 * angle, -angle.cos()), dim=1)

    folded, flat = leaning(0.2 * torch.sin(x)), leaning(0 * x)
    assert losses.normal_changes(folded, folded, mask)[0] < 2e-3  # the rounding of its root
    assert losses.normal_changes(flat, folded, mask)[0] > 0.05
    assert losses.normal_changes(leaning(0 * x + 0.3), flat, mask)[0] < 2e-3
    tilted = losses.normal_changes(leaning(0.1 + 0.2 * torch.sin(x)), folded, mask)[0]
    assert tilted < 0.2 * losses.normal_changes(flat, folded, mask)[0]


def test_angles_between_normals() -> None:
    a = torch.tensor([0.0, 0, -1]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    b = torch.tensor([math.sin(0.3), 0, -math.cos(0.3)]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    assert losses.normal_angle_deg(a, b, EVERYWHERE)[0] == pytest.approx(math.degrees(0.3), abs=1e-3)
    assert losses.normal_difference(a, b, EVERYWHERE)[0] == pytest.approx(2 * math.sin(0.15), abs=1e-3)


def test_likelihood_is_best_at_the_expected_error() -> None:
    error = torch.full((2, 1, 8, 8), 0.2)
    scales = [torch.full_like(error, math.log(scale)) for scale in (0.1, 0.2, 0.4)]
    at = [float(losses.error_likelihood(error, scale, EVERYWHERE)[0]) for scale in scales]
    assert at[1] < at[0] and at[1] < at[2]


@pytest.mark.parametrize("normal", [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (0.0, -0.6, -0.8)])
def test_a_planes_depth_has_its_normal(normal: tuple[float, float, float]) -> None:
    camera = Camera(200.0, 20.0, 10.0, 40, 32)
    depth = plane_depth(camera, normal, 1.5)[None, None]
    found, known = losses.surface_normals(depth, camera_rays(camera), depth > 0)
    expected = torch.tensor(normal).view(1, 3, 1, 1).expand_as(found)
    assert known.float().mean() > 0.8
    assert losses.normal_angle_deg(found, expected, known)[0] < 0.2


def test_surface_normals_carry_gradients_and_skip_the_silhouette() -> None:
    camera = Camera.centred(80.0, 48, 48)
    depth = sphere_depth(camera, (0.0, 0.0, 2.0), 0.4)[None, None].requires_grad_()
    found, known = losses.surface_normals(depth, camera_rays(camera), depth > 0)
    assert known.any() and not known[..., 0].any()
    losses.masked_mean(found[:, :1] ** 2, known).sum().backward()
    assert depth.grad is not None and depth.grad.isfinite().all() and depth.grad.abs().sum() > 0
