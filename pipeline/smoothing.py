"""Smoothing of the canonical distances, as much as the frames disagreed about them and no more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.canonical import SIDE, CanonicalVolume, Voxels
from jaxtyping import Float, Int

MOST_CELLS = 40_000_000
"""Larger grids (voxels below 3 mm) are not smoothed: they would take more than half a gigabyte."""
SURE_NEAR = 0.5
"""Voxels this near to the surface (in truncations) tell how much the frames disagree in general."""


@dataclass(frozen=True)
class Scale:
    """One step of smoothing."""

    sigma_voxels: float
    error_m: float
    """Standard error of a distance at which it is half replaced by its surroundings."""


SCALES = (Scale(1.0, 0.0015), Scale(2.5, 0.004))
"""With exact depth errors stay below 0.5 mm and nothing is smoothed; single voxels go first, then wider."""


def variance_of_looks(voxels: Voxels) -> Float[np.ndarray, "b n"]:
    """Variance of one look's distance in squared truncations; the clip's typical one where few frames looked."""
    sure = (voxels.weight > 1) & (np.abs(voxels.tsdf) < SURE_NEAR)
    typical = float(np.median(voxels.variance[sure])) if sure.any() else 0.0
    pooled: np.ndarray = (voxels.weight * voxels.variance + typical) / (voxels.weight + 1)
    return pooled


def smoothed(
    volume: CanonicalVolume,
    voxels: Voxels,
    distances: Float[np.ndarray, "b n"],
    mass: Float[np.ndarray, "b n"],
    error_m: Float[np.ndarray, "b n"],
) -> Float[np.ndarray, "b n"]:
    """Distances drawn towards their surroundings' mean (weighted by `mass`), the more so the larger their error."""
    from scipy.ndimage import gaussian_filter

    cells, shape = _cells(volume, voxels)
    if int(np.prod(shape)) > MOST_CELLS:
        return distances
    result = distances
    for scale in SCALES:
        sums = np.zeros((2, *shape), np.float32)
        sums[0].reshape(-1)[cells], sums[1].reshape(-1)[cells] = mass * result, mass
        above, below = (gaussian_filter(part, scale.sigma_voxels, truncate=2.5).reshape(-1)[cells] for part in sums)
        share = error_m**2 / (error_m**2 + scale.error_m**2)
        result = result + share * (above / np.maximum(below, 1e-9) - result)
    return result.astype(np.float32)


def _cells(volume: CanonicalVolume, voxels: Voxels) -> tuple[Int[np.ndarray, "b n"], tuple[int, int, int]]:
    """Each voxel's flat index in the dense grid around all blocks, and that grid's size."""
    keys = np.rint(voxels.points[:, 0] / volume.block_m).astype(np.int64)
    keys -= keys.min(axis=0)
    x, y, z = ((keys.max(axis=0) + 1) * SIDE).tolist()
    local = np.arange(SIDE**3)
    at = keys[:, None] * SIDE + np.stack((local % SIDE, local // SIDE % SIDE, local // SIDE**2), axis=1)
    return (at[..., 0] * y + at[..., 1]) * z + at[..., 2], (x, y, z)
