"""The compiled reduction of depth against the same in numpy."""

import numpy as np
import pytest
from dancedepth.pipeline.view_kernel import MOSTLY, reduce_depth
from scipy.ndimage import maximum_filter, minimum_filter

RISE_M = 0.02


def stepped_depth(shape: tuple[int, int]) -> np.ndarray:
    """A slope with a step, holes and an edge."""
    generator = np.random.default_rng(3)
    y, x = np.mgrid[: shape[0], : shape[1]]
    depth = 2 + 0.001 * x + 0.3 * (y > shape[0] // 2)
    depth[generator.random(shape) < 0.02] = 0
    depth[:, : shape[1] // 5] = 0
    return depth.astype(np.float32)


@pytest.mark.parametrize("step", [1, 3, 5])
def test_squares_take_their_mean_where_smooth_and_their_nearest_elsewhere(step: int) -> None:
    depth = stepped_depth((67, 58))
    rows, columns = 67 // step, 58 // step
    small, smooth = np.full((rows, columns), -1, np.float32), np.ones((rows, columns), bool)
    reduce_depth(depth, step, RISE_M, small, smooth)
    squares = depth[: rows * step, : columns * step].reshape(rows, step, columns, step).swapaxes(1, 2)
    flat = squares.reshape(rows, columns, -1)
    share, near = (flat > 0).mean(axis=-1), np.where(flat > 0, flat, np.inf).min(axis=-1)
    even = (share == 1) & (flat.max(axis=-1) - near < RISE_M)
    expected = np.where(even, flat.mean(axis=-1), np.where(share > MOSTLY, near, 0))
    np.testing.assert_allclose(small, expected, atol=1e-6)
    lowest = minimum_filter(np.where(expected > 0, expected, np.inf), 3, mode="constant", cval=np.inf)
    highest = maximum_filter(expected, 3, mode="constant", cval=0)
    assert np.array_equal(smooth, even & (highest - lowest < 2 * RISE_M))
    assert smooth.any() and not smooth.all()
