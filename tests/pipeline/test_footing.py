"""Stands, the correction that holds them, and legs that reach."""

import numpy as np
import pytest
from dancedepth.pipeline.footing import find_footing
from dancedepth.pipeline.leg_reach import Leg, reach, shortest_turn
from dancedepth.pipeline.stands import Stand, find_stands, sliding_m_s

EYE = np.array([0.0, 1.2, 3.0])
TIMES = np.arange(60) / 12


def walk(sway_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Sole points (60 4 3) and root: the left foot stands, steps 0.5 m aside, stands; the right one stands always.
    What is seen sways along the line of sight."""
    sway = sway_m * np.stack((np.sin(2 * np.pi * 1.1 * TIMES), np.sin(2 * np.pi * 0.7 * TIMES + 1)), axis=1)
    left = np.where(TIMES[:, None] < 2, [-0.15, 0, 0.0], [-0.65, 0, 0.0]).astype(float)
    stride = (TIMES >= 2) & (TIMES < 2.6)
    share = (TIMES[stride] - 2) / 0.6
    left[stride] = np.stack((-0.15 - 0.5 * share, 0.2 * np.sin(np.pi * share), 0 * share), axis=1)
    right = np.tile([0.15, 0, 0.0], (60, 1))
    ball = np.array([0, 0, 0.17])
    soles = np.stack((left, left + ball, right, right + ball), axis=1)
    rays = (soles - EYE) / np.linalg.norm(soles - EYE, axis=-1, keepdims=True)
    return soles + rays * np.repeat(sway, 2, axis=1)[..., None], np.tile([0.0, 0.95, 0.0], (60, 1))


def test_stands_are_found_and_the_step_is_not_one() -> None:
    soles, _ = walk(0.02)
    stands = find_stands(soles, EYE, TIMES)
    assert {stand.point for stand in stands} == {0, 1, 2, 3}
    right = [stand for stand in stands if stand.point in (2, 3)]
    assert sum(stand.last - stand.first for stand in right) > 2 * 50
    middle_of_stride = 27
    assert not any(stand.first <= middle_of_stride <= stand.last for stand in stands if stand.point in (0, 1))


def test_a_foot_that_slides_in_the_picture_is_not_held() -> None:
    soles, roots = walk(0.0)
    soles[:, 2:, 0] += 0.2 * TIMES[:, None]  # 0.2 m/s across the line of sight, on the floor
    stands = [stand for stand in find_stands(soles, EYE, TIMES) if stand.point >= 2]
    assert all(stand.last - stand.first <= 4 for stand in stands), "at most pieces of 3 cm to either side"
    if stands:
        moved = soles + find_footing(soles, stands, EYE, roots, TIMES).soles
        way = moved[-1, 2, 0] - moved[0, 2, 0]
        assert way == pytest.approx(0.2 * TIMES[-1], abs=0.1)


def test_standing_feet_are_held_and_what_is_seen_hardly_changes() -> None:
    soles, roots = walk(0.06)
    stands = find_stands(soles, EYE, TIMES)
    footing = find_footing(soles, stands, EYE, roots, TIMES)
    moved = soles + footing.body[:, None] + footing.soles
    before, after = sliding_m_s(soles, stands, TIMES), sliding_m_s(moved, stands, TIMES)
    assert before is not None and after is not None
    assert before > 0.15
    assert after < 0.1 * before
    rays = (soles - EYE) / np.linalg.norm(soles - EYE, axis=-1, keepdims=True)
    step = moved - soles
    across = np.linalg.norm(step - rays * (step * rays).sum(axis=-1, keepdims=True), axis=-1)
    assert across.mean() < 0.01 and across.max() < 0.04
    assert np.abs(footing.body).max() < 0.03
    assert abs(np.median(moved[:, 2, 1])) < 0.01, "on the floor"


def test_sliding_is_way_over_time() -> None:
    path = np.zeros((13, 1, 3))
    path[:, 0, 0] = np.linspace(0, 0.26, 13)
    times = np.arange(13) / 12
    assert sliding_m_s(path, [Stand(0, 0, 12)], times) == pytest.approx(0.26)
    assert sliding_m_s(path, [], times) is None


def test_a_leg_reaches_and_keeps_its_length_and_its_knee_in_front() -> None:
    hip, knee, ankle = (np.tile(p, (3, 1)) for p in ([0.1, 0.9, 0], [0.1, 0.5, 0.05], [0.1, 0.08, 0]))
    leg = Leg(hip, knee, ankle, np.tile([1.0, 0, 0], (3, 1)))
    goal = ankle + np.array([[0.05, 0.03, 0.04], [0, 0.2, 0.0], [0, -0.5, 0]])
    turns = reach(leg, goal)
    new_knee = hip + (turns.thigh @ (knee - hip)[..., None])[..., 0]
    new_ankle = new_knee + (turns.shank @ (ankle - knee)[..., None])[..., 0]
    assert np.allclose(new_ankle[:2], goal[:2], atol=1e-6)
    line = goal[2] - hip[2]
    end = new_ankle[2] - hip[2]
    assert np.allclose(np.cross(line, end), 0, atol=1e-6), "too far: stretched towards it"
    assert np.linalg.norm(end) == pytest.approx(0.8, abs=0.03)
    assert (new_knee[:2, 2] > 0.01).all()


def test_a_straight_leg_bends_forward() -> None:
    hip, knee, ankle = (np.array([[0.0, y, 0]]) for y in (0.9, 0.5, 0.1))
    turns = reach(Leg(hip, knee, ankle, np.array([[1.0, 0, 0]])), np.array([[0.0, 0.3, 0]]))
    assert (turns.thigh @ (knee - hip)[..., None])[0, 2, 0] > 0.1


def test_shortest_turn() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3))
    turned = (shortest_turn(a, b) @ a[..., None])[..., 0]
    cosine = (turned * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert np.allclose(cosine, 1)
    assert np.allclose(np.linalg.det(shortest_turn(a, b)), 1)
