"""When each part of a sole stands still, as far as the picture shows, and how much it slides meanwhile.

What the picture does show - motion across the line of sight - is never taken for sliding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_closing

STILL_M_S = 0.25
"""A point that moves across the line of sight slower than this may be standing: a fit's jitter reaches 0.1 m/s."""
NEAR_FLOOR_M = 0.12
"""Height above the floor up to which a still point may be standing: an error of 0.4 m in distance lifts it as much."""
DRIFT_M = 0.03
"""A point that moves farther than this across the line of sight has slid, or stepped, in the picture."""
SHORTEST_S = 0.2
"""A step's shortest stand."""


@dataclass(frozen=True)
class Stand:
    """A sole point that stays where it is, from one frame to another (the last one included)."""

    point: int
    first: int
    last: int


def find_stands(
    soles: Float[np.ndarray, "n p 3"], eye: Float[np.ndarray, "3"], times_s: Float[np.ndarray, "n"]
) -> list[Stand]:
    """Every stand of every sole point; world axes with y up and the floor at 0.

    Args:
        soles: points under the feet.
        eye: the camera's place.
        times_s: of the frames.
    """
    rays = (soles - eye) / np.linalg.norm(soles - eye, axis=-1, keepdims=True)
    speed = np.linalg.norm(_across(np.gradient(soles, times_s, axis=0), rays), axis=-1)
    quiet = (speed < STILL_M_S) & (soles[..., 1] < NEAR_FLOOR_M)
    stands = []
    for point in range(soles.shape[1]):
        for first, last in _runs(binary_closing(quiet[:, point], np.ones(3)) | quiet[:, point]):
            run = slice(first, last + 1)
            for begin, end in _without_drift(soles[run, point], rays[run, point]):
                if times_s[first + end] - times_s[first + begin] >= SHORTEST_S:
                    stands.append(Stand(point, first + begin, first + end))
    return stands


def sliding_m_s(
    soles: Float[np.ndarray, "n p 3"], stands: list[Stand], times_s: Float[np.ndarray, "n"]
) -> float | None:
    """Mean horizontal speed of the points while they stand; None if none ever does."""
    way_m, seconds = 0.0, 0.0
    for stand in stands:
        path = soles[stand.first : stand.last + 1, stand.point][:, [0, 2]]
        way_m += float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
        seconds += float(times_s[stand.last] - times_s[stand.first])
    return way_m / seconds if seconds else None


def _across(vectors: Float[np.ndarray, "*n 3"], rays: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    return vectors - rays * (vectors * rays).sum(axis=-1, keepdims=True)


def _runs(mask: Bool[np.ndarray, "n"]) -> list[tuple[int, int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _without_drift(path: Float[np.ndarray, "m 3"], rays: Float[np.ndarray, "m 3"]) -> list[tuple[int, int]]:
    """The path cut into pieces that stay within `DRIFT_M` of their mean across the line of sight."""
    pieces, begin = [], 0
    for end in range(1, len(path) + 1):
        part = path[begin : end + 1]
        off = _across(part - part.mean(axis=0), rays[begin : end + 1])
        if end == len(path) or np.linalg.norm(off, axis=1).max() > DRIFT_M:
            pieces.append((begin, end - 1))
            begin = end
    return pieces
