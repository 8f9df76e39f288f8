"""The small correction that keeps standing feet on their place: one sparse least-squares problem over the whole clip.

A monocular fit knows well where a foot is in the picture and badly how far away it is, so a standing foot slides along
the line of sight. Feet may therefore be moved along it, but hardly across it; the body as a whole is moved less, since
its size in the picture shows its distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.stands import Stand
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import spsolve

HOLD_M = 0.004
"""How exactly a standing point stays where it is."""
FLOOR_M, FLOOR_OUTLIER_M = 0.02, 0.04
"""How exactly it stands on the floor; a fit whose feet are farther from it than the second pulls less (Huber)."""
BODY_ACROSS_M = 0.007
"""How far the body may be moved over the picture, at its own distance."""
HALF_HEIGHT_M = 0.85
"""Moved along the line of sight by d, a body's ends move over the picture by d * half its height over its distance."""
FOOT_ACROSS_M, FOOT_ALONG_M = 0.012, 0.12
"""How far a foot may be moved, relative to the body, over the picture and along the line of sight."""
FOOT_TURN_M = 0.02
"""How differently heel and ball may be moved."""
BENDING_M_S2 = 4.0
"""Acceleration that the correction may add."""
ROUNDS = 4
PARTS = 5
"""What is moved in each frame: the body, and relative to it the four sole points."""


@dataclass(frozen=True)
class Footing:
    """How far to move things in each frame, in world axes, metres."""

    body: Float[np.ndarray, "n 3"]
    soles: Float[np.ndarray, "n 4 3"]
    """Relative to the moved body: left heel, left ball, right heel, right ball."""


def find_footing(
    soles: Float[np.ndarray, "n 4 3"],
    stands: list[Stand],
    eye: Float[np.ndarray, "3"],
    roots: Float[np.ndarray, "n 3"],
    times_s: Float[np.ndarray, "n"],
) -> Footing:
    """Corrections that keep every stand's point on one place on the floor, y = 0.

    Args:
        soles: sole points in the world, as the body moves now.
        stands: when which of them stands.
        eye: the camera's place.
        roots: of the body.
        times_s: of the frames.
    """
    count, size = len(roots), 3 * PARTS * len(roots) + 3 * len(stands)
    free = [_prior(eye, roots, soles, size), _bending(times_s, size), _foot_turn(count, size)]
    free.append(_rows([(_part(np.arange(count), 0), np.full(count, 1e-6))], size))  # keeps the matrix regular
    frames = np.concatenate([np.arange(s.first, s.last + 1) for s in stands])
    owner = np.repeat(np.arange(len(stands)), [s.last + 1 - s.first for s in stands])
    point = np.array([s.point for s in stands])[owner]
    place = 3 * PARTS * count + 3 * owner
    hold = np.full(len(frames), 1 / HOLD_M)
    held = _rows([(_part(frames, 0), hold), (_part(frames, 1 + point), hold), (place, -hold)], size)
    wanted = (-soles[frames, point] / HOLD_M).T.ravel()
    normal = held.T @ held + sum(rows.T @ rows for rows in free)
    height, trust = np.zeros(len(stands)), np.ones(len(stands))
    for _ in range(ROUNDS):
        floor = _floor(len(stands), trust, count, size)
        solution = spsolve(csc_array(normal + floor.T @ floor), held.T @ wanted)
        height = solution[3 * PARTS * count + 1 :: 3]
        trust = np.minimum(1.0, FLOOR_OUTLIER_M / np.maximum(np.abs(height), 1e-9))
    moves = solution[: 3 * PARTS * count].reshape(count, PARTS, 3)
    return Footing(moves[:, 0], moves[:, 1:])


def _part(frames: Int[np.ndarray, "m"], part: int | Int[np.ndarray, "m"]) -> Int[np.ndarray, "m"]:
    """The unknown that holds the x of a frame's part."""
    return 3 * (PARTS * frames + part)


def _rows(terms: list[tuple[Int[np.ndarray, "m"], Float[np.ndarray, "m"]]], size: int) -> csc_array:
    """Rows x, then y, then z, that sum (unknown, factor) terms."""
    count = len(terms[0][0])
    rows = np.concatenate([np.arange(count) + axis * count for axis in range(3) for _ in terms])
    columns = np.concatenate([first + axis for axis in range(3) for first, _ in terms])
    values = np.concatenate([factor for _ in range(3) for _, factor in terms])
    return csc_array(coo_array((values, (rows, columns)), (3 * count, size)))


def _prior(
    eye: Float[np.ndarray, "3"], roots: Float[np.ndarray, "n 3"], soles: Float[np.ndarray, "n 4 3"], size: int
) -> csc_array:
    """Rows of what is moved over its standard deviation, along the line of sight and across it."""
    points = np.concatenate((roots[:, None], soles), axis=1)
    distance = np.linalg.norm(points - eye, axis=-1)
    ray = (points - eye) / distance[..., None]
    across = np.broadcast_to([BODY_ACROSS_M] + [FOOT_ACROSS_M] * 4, distance.shape)
    along = np.where(np.arange(PARTS) == 0, BODY_ACROSS_M * distance / HALF_HEIGHT_M, FOOT_ALONG_M)
    outer = ray[..., :, None] * ray[..., None, :]
    blocks = np.eye(3) / across[..., None, None] + outer * (1 / along - 1 / across)[..., None, None]
    at = 3 * np.arange(distance.size)[:, None, None] + np.zeros((3, 3), int)
    rows, columns = at + np.arange(3)[:, None], at + np.arange(3)
    return csc_array(coo_array((blocks.ravel(), (rows.ravel(), columns.ravel())), (3 * distance.size, size)))


def _bending(times_s: Float[np.ndarray, "n"], size: int) -> csc_array:
    """Rows of the corrections' accelerations, by second differences for uneven times."""
    gaps = np.diff(times_s)
    if len(gaps) < 2:
        return csc_array((0, size))
    before, after = gaps[:-1], gaps[1:]
    width = (before + after) / 2 * BENDING_M_S2
    factors = (1 / (before * width), -(1 / before + 1 / after) / width, 1 / (after * width))
    frames, parts = (grid.ravel() for grid in np.meshgrid(np.arange(len(width)), np.arange(PARTS), indexing="ij"))
    return _rows([(_part(frames + step, parts), np.repeat(factors[step], PARTS)) for step in range(3)], size)


def _foot_turn(count: int, size: int) -> csc_array:
    """Rows of heel minus ball, for both feet."""
    frames = np.concatenate((np.arange(count), np.arange(count)))
    heel = np.repeat([1, 3], count)
    factor = np.full(2 * count, 1 / FOOT_TURN_M)
    return _rows([(_part(frames, heel), factor), (_part(frames, heel + 1), -factor)], size)


def _floor(stand_count: int, trust: Float[np.ndarray, "k"], count: int, size: int) -> csc_array:
    """Rows of the stands' heights above the floor."""
    column = 3 * PARTS * count + 3 * np.arange(stand_count) + 1
    values = np.sqrt(trust) / FLOOR_M
    return csc_array(coo_array((values, (np.arange(stand_count), column)), (stand_count, size)))
