"""Zero-phase smoothing."""

import numpy as np
from dancedepth.pipeline.motion_filter import same_side, smoothed, smoothed_rotations
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation


def uneven_times(seed: int, count: int = 150) -> np.ndarray:
    return np.sort(np.arange(count) / 12 + np.random.default_rng(seed).uniform(-0.015, 0.015, count))


@given(seed=st.integers(0, 1000), hz=st.floats(0.3, 2.0), shift=st.floats(0, 6.3))
@settings(max_examples=25)
def test_slow_motion_keeps_its_size_and_its_moment(seed: int, hz: float, shift: float) -> None:
    times = uneven_times(seed)
    wave = np.sin(2 * np.pi * hz * times + shift)
    curve = smoothed(wave[:, None], times, 6.0, np.ones(len(times)))[10:-10, 0]
    basis = np.stack((np.sin(2 * np.pi * hz * times + shift), np.cos(2 * np.pi * hz * times + shift)), axis=1)[10:-10]
    along, across = np.linalg.lstsq(basis, curve, rcond=None)[0]
    assert 0.97 < along < 1.02
    assert abs(np.degrees(np.arctan2(across, along))) < 1.0, "no lag"


def test_jitter_goes() -> None:
    times = uneven_times(1)
    noise = np.random.default_rng(2).normal(0, 1, (len(times), 3))
    curve = smoothed(noise, times, 2.0, np.ones(len(times)))
    assert curve.std() < 0.65
    bends = [np.abs(np.diff(values, 2, axis=0)).mean() for values in (curve, noise)]
    assert bends[0] < 0.2 * bends[1]


@given(seed=st.integers(0, 1000))
@settings(max_examples=10)
def test_straight_motion_is_left_alone_and_time_has_no_direction(seed: int) -> None:
    rng, times = np.random.default_rng(seed), uneven_times(seed)
    line = np.outer(times, rng.normal(size=3)) + rng.normal(size=3)
    assert np.allclose(smoothed(line, times, 3.0, np.ones(len(times))), line, atol=1e-8)
    values, weights = rng.normal(size=(len(times), 2)), rng.uniform(0.2, 1, len(times))
    there = smoothed(values, times, 3.0, weights)
    back = smoothed(values[::-1], times[-1] - times[::-1], 3.0, weights[::-1])[::-1]
    assert np.allclose(there, back, atol=1e-6)


def test_guesses_are_bridged() -> None:
    times = np.arange(60) / 12
    path = np.sin(times)[:, None]
    wrong, weights = path.copy(), np.ones(60)
    wrong[20:26], weights[20:26] = 5.0, 0.0
    assert np.abs(smoothed(wrong, times, 4.0, weights) - path).max() < 0.05


def test_turns_stay_turns_whatever_their_signs() -> None:
    times = np.arange(90) / 12
    angles = np.linspace(0, 4 * np.pi, 90)
    quaternions = Rotation.from_rotvec(np.stack((0 * angles, angles, 0 * angles), axis=1)).as_quat()
    flipped = quaternions * np.where(np.arange(90) % 3 == 0, -1, 1)[:, None]
    curve = smoothed_rotations(flipped, times, 5.0, np.ones(90))
    off = (Rotation.from_quat(curve) * Rotation.from_quat(quaternions).inv()).magnitude()
    assert np.degrees(off).max() < 1.0, "two whole turns, at their speed"
    assert (np.abs(np.diff(same_side(flipped), axis=0)).max(axis=1) < 0.2).all()
