"""Which part of a matte is the dancer's, when others are in the picture too."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from dancedepth.pipeline.identities import overlap
from dancedepth.pipeline.records import Track, Tracks
from jaxtyping import Bool, Float, UInt8

WORK_SIDE_PX = 384
"""Ownership is settled at this size of the longer side; the matte itself keeps its resolution."""
SURE = 0.3
"""Keypoints below this confidence carry no limb."""
OPAQUE = 64
"""Alpha from which a pixel belongs to somebody's body."""
BONES = ((5, 6), (11, 12), (5, 11), (6, 12), (5, 12), (6, 11), (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15),
         (12, 14), (14, 16), (0, 1), (0, 2), (1, 3), (2, 4))  # fmt: skip
HEAD_TO_NECK = ((0, 5), (0, 6))
REACH = 0.05
"""Half thickness of a limb with its clothes, over the person's height: what overlaps it is the dancer's."""
LONGEST_BRIDGE_S = 1.0
"""Somebody not found for at most so long is still there, before or behind the dancer or missed."""
MIXED = 0.25
"""Share of the smaller box in the other from which two people are one to the detector."""


@dataclass(frozen=True)
class _Figure:
    """Where a person is in a frame."""

    box_px: Float[np.ndarray, "4"]
    keypoints_px: Float[np.ndarray, "17 2"]
    confidence: Float[np.ndarray, "17"]
    hidden: bool
    """Not found in this frame; between where they were before and after."""


def restrict_to_dancer(alpha: UInt8[np.ndarray, "h w"], tracks: Tracks, index: int) -> UInt8[np.ndarray, "h w"]:
    """Alpha without other people and things: pixels nearer to another's skeleton go, then islands off the dancer's own.

    Who is in front of whom is not known; where two overlap, the border runs midway between their limbs. Where one of
    them is not even told apart by the detector, keypoints mix both, and the matte is empty rather than wrong.
    """
    height, width = alpha.shape
    scale = min(1.0, WORK_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    dancer = _figure(tracks.dancer, index, tracks.times_s)
    if dancer is None:
        return np.zeros_like(alpha)
    mine, reach = _distance(dancer, size, scale), _reach(dancer, scale)
    owned = np.ones_like(small, dtype=bool)
    for other in (_figure(p, index, tracks.times_s) for p in tracks.people if p is not tracks.dancer):
        if other is not None:
            if other.hidden and overlap(dancer.box_px, other.box_px) > MIXED:
                return np.zeros_like(alpha)
            owned &= mine <= _distance(other, size, scale)
    owned &= _connected((small >= OPAQUE) & owned, mine <= reach, small > 0)
    if owned[small > 0].all():
        return alpha
    soft = cv2.resize(owned.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(soft >= 0.5, alpha, 0).astype(np.uint8)


def _connected(
    body: Bool[np.ndarray, "h w"], skeleton: Bool[np.ndarray, "h w"], trace: Bool[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """The islands of `body` that touch the skeleton, with their soft edges."""
    count, labels = cv2.connectedComponents(body.astype(np.uint8), connectivity=8)
    touching = np.unique(labels[skeleton & body])
    kept = np.zeros(count, dtype=bool)
    kept[touching[touching > 0]] = True
    grown = cv2.dilate(kept[labels].astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    return grown & trace & ~(body & ~kept[labels])


def _figure(person: Track, index: int, times_s: Float[np.ndarray, "n"]) -> _Figure | None:
    """The person in this frame, found or, for a moment, interpolated."""
    if person.found[index]:
        return _Figure(person.boxes_px[index], person.keypoints_px[index], person.confidence[index], False)
    found = np.flatnonzero(person.found)
    place = int(np.searchsorted(found, index))
    if place in (0, len(found)):
        return None
    before, after = found[place - 1], found[place]
    gap_s = times_s[after] - times_s[before]
    if gap_s > LONGEST_BRIDGE_S:
        return None
    share = (times_s[index] - times_s[before]) / gap_s
    box, keypoints = (row[before] * (1 - share) + row[after] * share for row in (person.boxes_px, person.keypoints_px))
    return _Figure(box, keypoints, np.minimum(person.confidence[before], person.confidence[after]), True)


def _distance(figure: _Figure, size: tuple[int, int], scale: float) -> Float[np.ndarray, "h w"]:
    """Distance to the figure's skeleton in work pixels."""
    width, height = size
    lines = np.full((height, width), 255, np.uint8)
    for start, end in _limbs(figure):
        cv2.line(lines, _pixel(start * scale), _pixel(end * scale), 0, 1)
    if lines.all():  # all outside the image
        return np.full((height, width), np.inf, np.float32)
    return cv2.distanceTransform(lines, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _limbs(figure: _Figure) -> list[tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]]:
    """Sure bones; without any, the upright through the box's middle."""
    points, sure = figure.keypoints_px, figure.confidence > SURE
    bones = [(points[i], points[j]) for i, j in (*BONES, *HEAD_TO_NECK) if sure[i] and sure[j]]
    if not bones:
        left, top, right, bottom = figure.box_px
        middle = (left + right) / 2
        inset = 0.1 * (bottom - top)
        bones = [(np.array([middle, top + inset]), np.array([middle, bottom - inset]))]
    return bones


def _pixel(point: Float[np.ndarray, "2"]) -> tuple[int, int]:
    return int(np.floor(point[0])), int(np.floor(point[1]))


def _reach(figure: _Figure, scale: float) -> float:
    return max(1.5, REACH * float(figure.box_px[3] - figure.box_px[1]) * scale)
