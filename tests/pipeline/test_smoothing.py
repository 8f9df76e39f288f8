from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dancedepth.pipeline.canonical import SIDE, VOXELS, Voxels
from dancedepth.pipeline.smoothing import smoothed, variance_of_looks

VOXEL_M = 0.005


@pytest.fixture
def noisy() -> tuple[Any, Voxels, np.ndarray]:
    """A flat wall through 6 x 6 x 6 blocks whose distances carry noise; and the true distances, in truncations."""
    random = np.random.default_rng(0)
    keys = np.array(list(np.ndindex(6, 6, 6))) - 3
    local = np.arange(VOXELS)
    offsets = np.stack((local % SIDE, local // SIDE % SIDE, local // SIDE**2), axis=1)
    points = ((keys[:, None] * SIDE + offsets) * VOXEL_M).astype(np.float32)
    truth = points[..., 2] / 0.03
    tsdf = (truth + random.normal(0, 0.2, truth.shape)).astype(np.float32)
    voxels = Voxels(points, tsdf, np.full(truth.shape, 4.0, np.float32), np.full(truth.shape, 0.16, np.float32))
    return SimpleNamespace(block_m=VOXEL_M * SIDE), voxels, truth


def test_sure_distances_stay_as_they_are(noisy: tuple[Any, Voxels, np.ndarray]) -> None:
    volume, voxels, _ = noisy
    result = smoothed(volume, voxels, voxels.tsdf, voxels.weight, np.zeros_like(voxels.tsdf))
    np.testing.assert_array_equal(result, voxels.tsdf)


def test_unsure_distances_come_nearer_to_the_truth(noisy: tuple[Any, Voxels, np.ndarray]) -> None:
    volume, voxels, truth = noisy
    result = smoothed(volume, voxels, voxels.tsdf, voxels.weight, np.full_like(voxels.tsdf, 0.02))
    inner = (np.abs(voxels.points) < 0.02).all(axis=-1)
    before, after = (np.abs(d - truth)[inner].mean() for d in (voxels.tsdf, result))
    assert after < 0.3 * before


def test_single_looks_are_given_the_typical_variance(noisy: tuple[Any, Voxels, np.ndarray]) -> None:
    _, voxels, _ = noisy
    weight, variance = voxels.weight.copy(), voxels.variance.copy()
    weight[0], variance[0] = 0.01, 0.0
    pooled = variance_of_looks(Voxels(voxels.points, voxels.tsdf, weight, variance))
    assert pooled[0] == pytest.approx(0.16, rel=0.02)
