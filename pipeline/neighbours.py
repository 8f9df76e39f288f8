"""Nearest points, on all cores, in a way that can be interrupted.

scipy's own `workers` leaves its threads behind when Ctrl-C arrives, and they crash once the tree under them is freed.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

CHUNK = 16384
"""Points a piece of work: some hundredths of a second, after which an interrupt takes effect."""


def nearest(
    tree: cKDTree, points: Float[np.ndarray, "q 3"], count: int = 1, within_m: float = np.inf
) -> tuple[Float[np.ndarray, "q *count"], Int[np.ndarray, "q *count"]]:
    """Distances to the `count` nearest points of the tree and their indices, as `tree.query`.

    What is not nearer than `within_m` is at infinity; that it need not be looked for takes two thirds of the time off.
    """
    chunks = np.array_split(points, max(1, -(-len(points) // CHUNK)))
    search = partial(tree.query, k=count, distance_upper_bound=within_m)
    if len(chunks) == 1:
        return search(points)
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        found = list(pool.map(search, chunks))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    distances, indices = zip(*found, strict=True)
    return np.concatenate(distances), np.concatenate(indices)
