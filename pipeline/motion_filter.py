"""Smoothing of motion over time without lag: a penalised least-squares fit, the same forwards and backwards."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.linalg import solveh_banded

UNSEEN_WEIGHT = 1e-6
"""What a frame counts whose value is a guess."""


def smoothed(
    values: Float[np.ndarray, "n c"],
    times_s: Float[np.ndarray, "n"],
    cutoff_hz: float,
    weights: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n c"]:
    """The curve x that minimises sum w |x - y|^2 dt + cutoff^-4 * integral |x''|^2 (Whittaker 1923, Eilers 2003).

    It has no phase: a frequency f keeps 1 / (1 + (f / cutoff)^4) of its amplitude, wherever it starts. Times may be
    uneven; frames of weight 0 are bridged. Fast moves that several frames show stay: nothing is taken for an outlier.
    """
    if len(values) < 3:
        return values.copy()
    gaps = np.diff(times_s)
    share = weights * np.gradient(times_s)
    share = np.maximum(share, UNSEEN_WEIGHT * share.max())
    bands = _bending(gaps) / (2 * math.pi * cutoff_hz) ** 4
    bands[2] += share
    curve: np.ndarray = solveh_banded(bands, share[:, None] * values)
    return curve


def smoothed_rotations(
    quaternions: Float[np.ndarray, "n 4"],
    times_s: Float[np.ndarray, "n"],
    cutoff_hz: float,
    weights: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n 4"]:
    """The same for unit quaternions, component by component on one side of the sphere, and back onto it."""
    curve = smoothed(same_side(quaternions), times_s, cutoff_hz, weights)
    unit: np.ndarray = curve / np.linalg.norm(curve, axis=1, keepdims=True)
    return unit


def same_side(quaternions: Float[np.ndarray, "n *j 4"]) -> Float[np.ndarray, "n *j 4"]:
    """The same rotations with signs such that successive ones are near each other."""
    dot = (quaternions[1:] * quaternions[:-1]).sum(axis=-1)
    flips = np.cumprod(np.where(dot < 0, -1.0, 1.0), axis=0)
    return np.concatenate((quaternions[:1], quaternions[1:] * flips[..., None]))


def _bending(gaps: Float[np.ndarray, "n-1"]) -> Float[np.ndarray, "3 n"]:
    """Upper bands of D'D, where D takes second derivatives at the inner frames, weighted by the time they stand for."""
    before, after = gaps[:-1], gaps[1:]
    width = (before + after) / 2
    rows = np.stack((1 / (before * width), -(1 / before + 1 / after) / width, 1 / (after * width)))
    bands = np.zeros((3, len(gaps) + 1))
    for i in range(3):
        for j in range(i, 3):
            product = rows[i] * rows[j] * width
            bands[2 - (j - i), j : j + len(width)] += product
    return bands
