"""Exact scenes: a ball and a plane before it, their true normals, and depth that is wrong in known ways."""

import math

import pytest
import torch
from dancedepth.models.geometry import Camera, depth_to_normals, pixel_rays
from dancedepth.models.normal_integration import integrate_normals

CAMERA = Camera.centred(300.0, 96, 128)
CENTRE, RADIUS = torch.tensor([0.0, 0.0, 2.0]), 0.35


@pytest.fixture(scope="module")
def rays() -> torch.Tensor:
    return pixel_rays(CAMERA)[..., :2].permute(2, 0, 1)[None].float()


@pytest.fixture(scope="module")
def ball(rays: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Depth, normals and the pixels not too near the outline."""
    directions = torch.cat((rays, torch.ones_like(rays[:, :1])), dim=1)[0]
    a, b = (directions**2).sum(dim=0), torch.einsum("chw,c->hw", directions, CENTRE)
    root = b**2 - a * ((CENTRE**2).sum() - RADIUS**2)
    inside = root > 0.05 * RADIUS**2
    depth = torch.where(inside, (b - root.clamp_min(0).sqrt()) / a, 0.0)
    normals = (depth * directions - CENTRE[:, None, None]) / RADIUS
    return depth[None, None], (normals * inside)[None], inside[None, None]


def _normal_error_deg(depth: torch.Tensor, normals: torch.Tensor, inside: torch.Tensor) -> float:
    found = depth_to_normals(torch.where(inside, depth, 0.0)[0, 0], CAMERA).permute(2, 0, 1)
    inner = (1 - torch.nn.functional.max_pool2d(1 - inside.float(), 5, 1, 2))[0, 0] > 0
    cosine = (found * normals[0]).sum(dim=0)[inner].clamp(-1, 1)
    return float(cosine.acos().mean() * 180 / math.pi)


def test_depth_that_agrees_stays(ball: tuple[torch.Tensor, ...], rays: torch.Tensor) -> None:
    depth, normals, inside = ball
    torch.testing.assert_close(integrate_normals(depth, normals, inside, rays), depth, atol=4e-4, rtol=0)


def test_ripples_that_the_normals_do_not_show_go(ball: tuple[torch.Tensor, ...], rays: torch.Tensor) -> None:
    depth, normals, inside = ball
    ripple = 0.003 * torch.sin(torch.arange(96) * 2 * math.pi / 12) * inside
    rough = depth + ripple
    smooth = integrate_normals(rough, normals, inside, rays)
    assert _normal_error_deg(smooth, normals, inside) < 0.3 * _normal_error_deg(rough, normals, inside)
    assert (smooth - depth)[inside].abs().mean() < 0.5 * ripple[inside].abs().mean()


def test_relief_that_only_the_normals_show_comes(ball: tuple[torch.Tensor, ...], rays: torch.Tensor) -> None:
    """A flat disc with a ball's normals bulges; each picture of a batch by itself, and nothing happens outside."""
    depth, normals, inside = ball
    flat = torch.where(inside, 1.8, 0.0)
    both = integrate_normals(
        torch.cat((flat, depth)), torch.cat((normals, normals)), torch.cat((inside, inside)), torch.cat((rays, rays))
    )
    assert _normal_error_deg(both[:1], normals, inside) < 0.75 * _normal_error_deg(flat, normals, inside)
    torch.testing.assert_close(both[1:], depth, atol=4e-4, rtol=0)
    assert torch.equal(both[:1][~inside], flat[~inside])


def test_the_level_of_the_depth_stays(ball: tuple[torch.Tensor, ...], rays: torch.Tensor) -> None:
    depth, normals, inside = ball
    nearer = integrate_normals(0.9 * depth, normals, inside, rays)
    torch.testing.assert_close(nearer[inside].mean(), (0.9 * depth)[inside].mean(), atol=1e-3, rtol=0)


def test_steps_stay_steps(ball: tuple[torch.Tensor, ...], rays: torch.Tensor) -> None:
    """Before a wall 40 cm behind, the ball does not melt into it."""
    depth, normals, inside = ball
    scene = torch.where(inside, depth, 2.2)
    facing = torch.where(inside, normals, torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1))
    everything = torch.ones_like(inside)
    found = integrate_normals(scene, facing, everything, rays)
    assert (found - scene).abs().mean() < 0.002
    assert (found - scene).abs().max() < 0.03
