import numpy as np
import pytest
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.smoothness import JOINTS, mean_acceleration


def moving(positions: np.ndarray, times_s: np.ndarray, fitted: np.ndarray | None = None) -> BodyMotion:
    """All joints on one path, and a finger that no one asks about."""
    count = len(times_s)
    poses = np.tile(np.eye(4), (count, len(JOINTS) + 1, 1, 1))
    poses[:, :-1, :3, 3] = positions[:, None]
    poses[:, -1, 0, 3] = np.random.default_rng(0).normal(size=count)
    fitted = np.ones(count, bool) if fitted is None else fitted
    rest = np.tile(np.eye(4), (len(JOINTS) + 1, 1, 1))
    camera = Camera.centred(500, 64, 64)
    error = np.zeros(count)
    return BodyMotion(times_s, fitted, np.zeros(6), 1.7, rest, poses, (*JOINTS, "finger1-1.L"), camera, error)


TIMES_S = np.array([0.0, 0.1, 0.15, 0.3, 0.4, 0.55])


def test_steady_motion_has_none() -> None:
    path = np.outer(TIMES_S, [1.0, -2.0, 0.5]) + 3
    assert mean_acceleration(moving(path, TIMES_S)) == pytest.approx(0, abs=1e-9)


def test_free_fall_has_gravity_even_at_uneven_times() -> None:
    path = np.outer(TIMES_S**2 / 2, [0.0, 9.81, 0.0])
    assert mean_acceleration(moving(path, TIMES_S)) == pytest.approx(9.81)


def test_frames_without_a_fit_do_not_count() -> None:
    path = np.outer(TIMES_S**2 / 2, [0.0, 9.81, 0.0])
    path[5] += 100
    fitted = np.array([True, True, True, True, True, False])
    assert mean_acceleration(moving(path, TIMES_S, fitted)) == pytest.approx(9.81)
    assert mean_acceleration(moving(path, TIMES_S, np.array([True, True, False, True, True, False]))) is None


def test_two_frames_say_nothing() -> None:
    assert mean_acceleration(moving(np.zeros((2, 3)), TIMES_S[:2])) is None
