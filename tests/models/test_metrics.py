import numpy as np
import pytest
from dancedepth.models import metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

angles = st.floats(0.0, 3.1)
seeds = st.integers(0, 2**31 - 1)
TRIANGLE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def directions(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_surface_scores_of_known_distances() -> None:
    run_to_truth = np.array([0.0, 0.004, 0.006, 0.03])
    truth_to_run = np.array([0.002, 0.002, 0.02, 0.02])
    scores = metrics.surface_scores(run_to_truth, truth_to_run)
    assert scores.accuracy_mean_mm == pytest.approx(10.0)
    assert scores.completeness_mean_mm == pytest.approx(11.0)
    assert scores.mean_mm == pytest.approx(10.5)
    assert scores.f_score_5mm == pytest.approx(0.5)
    assert scores.f_score_10mm == pytest.approx(2 * 0.75 * 0.5 / 1.25)


def test_f_score_of_surfaces_far_apart_is_zero() -> None:
    assert metrics.f_score(np.array([50.0]), np.array([70.0]), 10.0) == 0.0


@given(angles, seeds)
def test_turned_normals_are_off_by_the_angle(angle: float, seed: int) -> None:
    axis, other = directions(2, seed)
    across = np.cross(axis, other)
    normals = np.stack([across / np.linalg.norm(across)] * 5)
    turned = Rotation.from_rotvec(axis * angle).apply(normals)
    scores = metrics.angle_scores(turned, normals)
    assert scores.mean_deg == pytest.approx(np.degrees(angle), abs=1e-4)
    assert scores.median_deg == pytest.approx(np.degrees(angle), abs=1e-4)


def test_shares_of_normals_under_the_limits() -> None:
    normals = np.tile([0.0, 0.0, -1.0], (4, 1))
    turned = Rotation.from_euler("x", [[10.0], [20.0], [25.0], [40.0]], degrees=True).apply(normals)
    scores = metrics.angle_scores(turned, normals)
    assert (scores.under_11_25, scores.under_22_5, scores.under_30) == (0.25, 0.5, 0.75)


@given(st.integers(0, 12))
def test_iou_of_a_shifted_square(shift: int) -> None:
    still, moved = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    still[5:15, 5:15] = True
    moved[5:15, 5 + shift : 15 + shift] = True
    overlap = max(0, 10 - shift)
    assert metrics.mask_iou(moved, still) == pytest.approx(overlap / (20 - overlap))


def test_iou_of_nobody_and_nobody_is_one() -> None:
    assert metrics.mask_iou(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1.0


@given(st.floats(0.2, 5.0), seeds)
def test_clip_scale_is_found_through_outliers(scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.uniform(1.0, 4.0, 200)
    run = truth / scale
    run[:60] += random.uniform(0.0, 3.0, 60)
    run[60:80] *= 0.4
    assert metrics.clip_scale(run, truth) == pytest.approx(scale, rel=1e-9)


def test_a_constant_depth_error_does_not_flicker_and_an_alternating_one_does() -> None:
    constant = np.full((6, 10), 0.05)
    alternating = np.where(np.arange(6) % 2, 0.001, -0.001)[:, None].repeat(10, axis=1)
    assert metrics.flicker_mm(constant) == 0.0
    assert metrics.flicker_mm(constant + alternating) == pytest.approx(2.0)


def test_flicker_counts_only_points_seen_in_both_frames() -> None:
    errors = np.array([[0.0, 0.0], [0.003, np.nan], [np.nan, 0.5]])
    assert metrics.flicker_mm(errors) == pytest.approx(3.0)
    assert metrics.flicker_mm(errors[:1]) is None
    assert metrics.flicker_mm(errors[1:]) is None


@given(st.floats(0.3, 3.0), seeds)
def test_similarity_is_recovered_and_undone(scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(20, 3))
    true = metrics.Similarity(scale, Rotation.random(rng=random).as_matrix(), random.normal(size=3))
    found = metrics.fit_similarity(points, true.apply(points))
    np.testing.assert_allclose(found.rotation, true.rotation, atol=1e-9)
    np.testing.assert_allclose(found.apply(points), true.apply(points), atol=1e-9)
    np.testing.assert_allclose(found.undo(found.apply(points)), points, atol=1e-9)


@given(seeds)
def test_a_mirrored_body_is_not_aligned_by_a_mirror(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(20, 3))
    found = metrics.fit_similarity(points, points * np.array([-1.0, 1.0, 1.0]), with_scale=False)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_joint_error_is_the_mean_distance() -> None:
    joints = np.zeros((2, 3, 3))
    assert metrics.joint_error_mm(joints + np.array([0.03, 0.04, 0.0]), joints) == pytest.approx(50.0)


def test_samples_are_spread_by_area() -> None:
    vertices = np.concatenate((TRIANGLE, 3 * TRIANGLE + np.array([0.0, 0.0, 1.0])))
    chosen, weights = metrics.sample_triangles(vertices, np.array([[0, 1, 2], [3, 4, 5]]), 20000, seed=0)
    assert (chosen == 1).mean() == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.01)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
