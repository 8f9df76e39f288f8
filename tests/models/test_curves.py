"""Curves over a clip: they begin at their start, and a knot moves the frames about it."""

import pytest
import torch
from dancedepth.models.curves import KNOT_SPACINGS, Curves


def start(frames: int) -> torch.Tensor:
    return torch.randn((frames, 2, 3), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 28])
def test_they_begin_at_their_start(frames: int) -> None:
    assert torch.equal(Curves(start(frames)).values(), start(frames))


def test_a_knot_moves_the_frames_about_it_in_a_straight_line_up_and_down() -> None:
    for level, spacing in enumerate(KNOT_SPACINGS):
        curves = Curves(torch.zeros(4 * spacing, 1))
        with torch.no_grad():
            curves.knots[level][2] = 1.0
        away = (torch.arange(4 * spacing) - 2 * spacing).abs() / spacing
        torch.testing.assert_close(curves.values()[:, 0].detach(), (1 - away).clamp_min(0))


def test_curves_add_up() -> None:
    curves = Curves(start(5))
    with torch.no_grad():
        for knots in curves.knots:
            knots += 1
    torch.testing.assert_close(curves.values().detach(), start(5) + len(KNOT_SPACINGS))


def test_an_error_in_one_frame_moves_every_curve_by_the_share_of_the_knots_around_it() -> None:
    frame = 4
    curves = Curves(torch.zeros(12, 1))
    curves.values()[frame].sum().backward()
    for spacing, knots in zip(KNOT_SPACINGS, curves.knots, strict=True):
        assert knots.grad is not None
        before, share = frame // spacing, frame % spacing / spacing
        expected = torch.zeros_like(knots)
        expected[before], expected[before + 1] = 1 - share, share
        torch.testing.assert_close(knots.grad, expected)
