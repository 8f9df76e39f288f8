"""Following points through known flow, and which points a camera sees."""

import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.image_motion import ImageMotion, moves_of, visible
from hypothesis import given, settings
from hypothesis import strategies as st

CAMERA = Camera.centred(500, 400, 400)
COUNT, GRID = 5, 20


def even(shift: torch.Tensor) -> ImageMotion:
    """The same shift everywhere, one a frame, in windows of the whole image; none after the last frame."""
    grid = shift[:, :, None, None].expand(-1, 2, GRID, GRID).clone()
    grid[-1] = torch.nan
    return ImageMotion(grid, torch.zeros(len(shift), 2), torch.full((len(shift), 2), 400.0))


@given(seed=st.integers(0, 1000), frames=st.integers(1, COUNT - 1))
@settings(max_examples=20)
def test_shifts_add_up(seed: int, frames: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shift = 8 * torch.randn(COUNT, 2, generator=generator)
    pixels = 150 + 100 * torch.rand(COUNT, 7, 2, generator=generator)
    arrived = even(shift).carried(pixels, frames)
    assert len(arrived) == COUNT - frames
    for first in range(COUNT - frames):
        expected = pixels[first] + shift[first : first + frames].sum(dim=0)
        torch.testing.assert_close(arrived[first], expected)


def test_a_growing_picture_is_followed_between_the_cells() -> None:
    middles = (torch.arange(GRID) + 0.5) * 20
    x, y = torch.meshgrid(middles, middles, indexing="xy")
    motion = ImageMotion(
        0.05 * torch.stack((x, y))[None].repeat(2, 1, 1, 1), torch.zeros(2, 2), torch.full((2, 2), 400.0)
    )
    pixels = torch.tensor([[[33.0, 71.0], [217.0, 345.0]]]).repeat(2, 1, 1)
    torch.testing.assert_close(motion.carried(pixels, 1)[0], 1.05 * pixels[0])


def test_what_leaves_the_window_or_meets_the_unknown_is_lost() -> None:
    motion = even(torch.tensor([[50.0, 0.0]]).repeat(COUNT, 1))
    motion.shift_px[1, :, :, :4] = torch.nan
    pixels = torch.tensor([[200.0, 200.0], [330.0, 200.0], [15.0, 200.0]]).expand(COUNT, 3, 2)
    known = [motion.carried(pixels, frames).isfinite().all(dim=-1) for frames in (1, 2, 3)]
    assert known[0].tolist() == [[True, True, True], [True, True, False], [True, True, True], [True, True, True]]
    assert known[1][0].tolist() == [True, True, False]
    assert known[2][0].tolist() == [True, False, False]


def _disc(z: float, radius: float = 0.2) -> torch.Tensor:
    steps = torch.arange(-radius, radius + 1e-6, 0.04)
    x, y = torch.meshgrid(steps, steps, indexing="xy")
    return torch.stack((x.flatten(), y.flatten(), torch.full_like(x.flatten(), z)), dim=1)


def test_a_surface_behind_another_is_hidden_and_one_beside_it_is_not() -> None:
    front, behind, beside = _disc(2.0), _disc(2.3), _disc(2.3) + torch.tensor([0.6, 0.0, 0.0])
    points = torch.cat((front, behind, beside))[None]
    towards, away = torch.tensor([0.0, 0.0, -1.0]), torch.tensor([0.0, 0.0, 1.0])
    seen = visible(points, towards.expand_as(points), CAMERA)[0].split((len(front), len(behind), len(beside)))
    assert seen[0].all()
    assert not seen[1].any()
    assert seen[2].all()
    assert not visible(points, away.expand_as(points), CAMERA).any()


def test_moves_are_those_of_points_seen_at_both_ends() -> None:
    points = torch.cat((_disc(2.0), _disc(2.3)))[None].repeat(COUNT, 1, 1)
    normals = torch.tensor([0.0, 0.0, -1.0]).expand_as(points)
    moves = moves_of(points, normals, CAMERA, even(torch.tensor([[3.0, -2.0]]).repeat(COUNT, 1)), (1, 2, 9))
    assert [move.frames for move in moves] == [1, 2]
    half = points.shape[1] // 2
    for move in moves:
        assert move.known[:, :half].all()
        assert not move.known[:, half:].any()
        expected = move.frames * torch.tensor([3.0, -2.0]).expand_as(move.shift_px[:, :half])
        torch.testing.assert_close(move.shift_px[:, :half], expected, atol=1e-3, rtol=0)
