"""A ball for a head on a box for a trunk, and depth whose head is tilted against it."""

import pytest
import torch
from dancedepth.pipeline.head_alignment import head_aligned

PIXEL_M = 0.005
ROWS, COLUMNS = torch.meshgrid(torch.arange(80.0), torch.arange(60.0), indexing="ij")


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """The body's depth, and the head's share of it."""
    radius = 18.0
    inside = radius**2 - (ROWS - 25) ** 2 - (COLUMNS - 30) ** 2
    ball = 3 - inside.clamp_min(0).sqrt() * PIXEL_M
    trunk = (ROWS > 45) & (COLUMNS > 10) & (COLUMNS < 50)
    head = inside > 0
    return torch.where(head, ball, torch.where(trunk, 2.95, 0.0)), head.float()


def test_level_and_tilt_of_a_head_are_taken_out(scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    body, head = scene
    nose = 0.02 * torch.exp(-((ROWS - 27) ** 2 + (COLUMNS - 30) ** 2) / 8)
    wrong = 0.05 + 0.4 * PIXEL_M * (ROWS - 25) - 0.2 * PIXEL_M * (COLUMNS - 30)
    seen = torch.where(body > 0, body + head * (wrong - nose) + (1 - head) * 0.03, 0.0)
    aligned = head_aligned(seen, body, head, head, PIXEL_M)
    on_head = head > 0
    assert (aligned - (body - nose))[on_head].abs().max() < 0.004
    torch.testing.assert_close(aligned[~on_head], seen[~on_head])


def test_an_arm_before_the_face_stays_where_it_is(scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    body, head = scene
    arm = (ROWS > 22) & (ROWS < 27)
    in_front = torch.where(arm, 2.6, 2.95)
    body, head = torch.where(arm, in_front, body), torch.where(arm, 0.0, head)
    seen = torch.where(arm, in_front, torch.where(body > 0, body + 0.04 * head, 0.0))
    aligned = head_aligned(seen, body, head, head, PIXEL_M)
    torch.testing.assert_close(aligned[arm], seen[arm])
    assert (aligned - body)[head > 0].abs().max() < 0.003


def test_hair_moves_with_the_head(scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    body, head = scene
    hair = (body == 0) & (ROWS < 25) & ((ROWS - 25) ** 2 + (COLUMNS - 30) ** 2 < 24**2)
    seen = torch.where(hair, 3.06, torch.where(body > 0, body + 0.06 * head, 0.0))
    aligned = head_aligned(seen, body, head, head, PIXEL_M)
    assert (aligned[hair] - 3.0).abs().max() < 0.004
    assert not aligned[(body == 0) & ~hair].any()


def test_from_behind_nothing_happens(scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    body, head = scene
    seen = torch.where(body > 0, body + 0.05, 0.0)
    assert torch.equal(head_aligned(seen, body, head, torch.zeros_like(body), PIXEL_M), seen)
