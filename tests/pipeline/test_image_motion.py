"""Optical flow of a painted figure whose motion is known."""

import cv2
import numpy as np
import pytest
import torch
from dancedepth.models.image_motion import ImageMotion
from dancedepth.pipeline.image_motion import GRID, find_image_motion
from dancedepth.pipeline.records import ImageSequence, Track

from tests.scenes import StillFrames

WIDTH, HEIGHT, COUNT = 320, 400, 4
STEP_PX = np.array([9.0, -4.0])


def cloth(seed: int, height: int, width: int) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 3)
    return cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def figure(index: int) -> tuple[np.ndarray, np.ndarray]:
    """A patterned rectangle before another pattern that stands still, and its matte."""
    picture, alpha = cloth(1, HEIGHT, WIDTH), np.zeros((HEIGHT, WIDTH), np.uint8)
    left, top = (np.array([60, 90]) + index * STEP_PX).astype(int)
    picture[top : top + 220, left : left + 120] = cloth(2, 220, 120)
    alpha[top : top + 220, left : left + 120] = 255
    return np.repeat(picture[..., None], 3, axis=2), alpha


def found(missing: tuple[int, ...] = (), unmatted: tuple[int, ...] = ()) -> ImageMotion:
    pictures = [figure(index) for index in range(COUNT)]
    track = Track.unseen(1, COUNT)
    for index in set(range(COUNT)) - set(missing):
        rows, columns = np.nonzero(pictures[index][1])
        track.boxes_px[index] = [columns.min(), rows.min(), columns.max(), rows.max()]
        track.score[index] = 1.0
    indices = tuple(index for index in range(COUNT) if index not in unmatted)
    mattes = ImageSequence(indices, lambda index: pictures[index][1])
    return find_image_motion(StillFrames([picture for picture, _ in pictures]), track, mattes)


def test_the_dancer_moves_as_painted_and_the_background_says_nothing() -> None:
    motion = found()
    assert motion.shift_px.shape == (COUNT, 2, GRID, GRID)
    for index in range(COUNT - 1):
        corner = torch.tensor([60.0, 90.0]) + index * torch.from_numpy(STEP_PX).float()
        x, y = torch.meshgrid(torch.linspace(15, 105, 10), torch.linspace(15, 205, 20), indexing="xy")
        inside = (corner + torch.stack((x, y), dim=-1).view(-1, 2)).expand(COUNT, -1, 2)
        moved = (motion.carried(inside, 1) - inside[:-1])[index]
        known = moved.isfinite().all(dim=1)
        assert known.float().mean() > 0.9
        missed = (moved[known] - torch.from_numpy(STEP_PX).float()).norm(dim=1)
        assert missed.median() < 0.3
        assert missed.quantile(0.95) < 1.0
        beside = (corner - 12).expand(COUNT, 1, 2)
        assert motion.carried(beside, 1)[index].isnan().any()
    assert motion.shift_px[-1].isnan().all()


@pytest.mark.parametrize("gap", [{"missing": (2,)}, {"unmatted": (2,)}])
def test_nothing_is_known_to_and_from_frames_without_the_dancer(gap: dict[str, tuple[int, ...]]) -> None:
    known = found(**gap).shift_px.isfinite().any(dim=3).any(dim=2).any(dim=1)
    assert known.tolist() == [True, False, False, False]


def test_a_picture_that_changes_altogether_is_not_followed() -> None:
    pictures = [np.repeat(cloth(seed, HEIGHT, WIDTH)[..., None], 3, axis=2) for seed in range(2)]
    track = Track.unseen(1, 2)
    track.boxes_px[:], track.score[:] = [40, 40, 280, 360], 1.0
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    motion = find_image_motion(StillFrames(pictures), track, ImageSequence((0, 1), lambda _: alpha))
    assert motion.shift_px[0].isfinite().float().mean() < 0.2
