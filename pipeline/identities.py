"""Who is who through a clip: tracklets are cut where people meet, and joined again over the whole clip.

A frame-by-frame tracker loses or swaps people who cross. So every tracklet is cut where it meets another one most, and
where it was lost for a moment; then pieces that are long and free enough to show what a person wears are chained, all
at once, by appearance, size and motion (the assignment of least cost); last, the short pieces go to the chain they fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.glimpses import Glimpse
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

CROWDED = 0.25
"""Two people meet when this share of the smaller box lies in the other."""
SAME_BODY = 0.06
"""Two detections in a frame are one person if their keypoints lie this near on average, in box heights."""
SOLID_FRAMES = 3
"""A piece shows what a person wears if it has so many frames apart from others."""
TYPICAL_COLOUR_DISTANCE = 0.35
"""Hellinger distance of two views of one person; different clothes are at 0.6 and more."""
MOTION_SLACK = 0.3
"""Box heights by which a person may be off the extrapolated place at once,"""
MOTION_PER_S = 1.2
"""and for every second unseen."""
LONGEST_GAP_S = 8.0
"""Nobody is found again after so long by looks alone."""
NO_LINK = 3.0
"""Cost at which two pieces are rather two people: clothes, place and size all about half wrong."""


@dataclass
class _Piece:
    """Consecutive glimpses of one person; `free` are those apart from others."""

    glimpses: list[Glimpse]
    free: list[Glimpse]
    tracker_id: int | None

    @property
    def first(self) -> int:
        return self.glimpses[0].frame

    @property
    def last(self) -> int:
        return self.glimpses[-1].frame

    @property
    def solid(self) -> bool:
        return len(self.free) >= SOLID_FRAMES


def find_people(frames: Sequence[Sequence[Glimpse]], times_s: Float[np.ndarray, "n"]) -> list[list[Glimpse]]:
    """Everybody's glimpses in order, one list a person, in the order in which they appear (then left to right)."""
    unique = [_without_doubles(glimpses) for glimpses in frames]
    crowding = {id(g): _crowding(g, glimpses) for glimpses in unique for g in glimpses}
    pieces = [piece for tracklet in _tracklets(unique) for piece in _cut(tracklet, crowding)]
    chains = _chain([piece for piece in pieces if piece.solid], times_s)
    for piece in sorted((p for p in pieces if not p.solid), key=lambda p: -len(p.glimpses)):
        _attach(piece, chains, times_s)
    people = [sorted((g for piece in chain for g in piece.glimpses), key=lambda g: g.frame) for chain in chains]
    return sorted(people, key=lambda person: (person[0].frame, person[0].detection.box_px[0]))


def _without_doubles(glimpses: Sequence[Glimpse]) -> list[Glimpse]:
    """One glimpse for each body: the detector sometimes finds a person twice."""
    kept: list[Glimpse] = []
    for candidate in sorted(glimpses, key=lambda g: -g.detection.score):
        if all(_keypoint_distance(candidate, other) > SAME_BODY for other in kept):
            kept.append(candidate)
    return kept


def _keypoint_distance(one: Glimpse, two: Glimpse) -> float:
    sure = np.minimum(one.detection.confidence, two.detection.confidence) + 1e-6
    distance = np.linalg.norm(one.detection.keypoints_px - two.detection.keypoints_px, axis=1)
    return float((distance * sure).sum() / sure.sum() / max(_height(one), _height(two)))


def _crowding(one: Glimpse, glimpses: Sequence[Glimpse]) -> float:
    """The largest share of the smaller box that lies in the other, over all others in the frame."""
    return max((overlap(one.detection.box_px, o.detection.box_px) for o in glimpses if o is not one), default=0.0)


def overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    """The share of the smaller box that lies in the other."""
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(shared / max(min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()), 1e-6))


def _tracklets(frames: Sequence[Sequence[Glimpse]]) -> list[list[Glimpse]]:
    by_id: dict[int, list[Glimpse]] = {}
    loose: list[list[Glimpse]] = []
    for glimpses in frames:
        for one in glimpses:
            if one.detection.track_id is None:
                loose.append([one])
            else:
                by_id.setdefault(one.detection.track_id, []).append(one)
    return [*by_id.values(), *loose]


def _cut(tracklet: list[Glimpse], crowding: dict[int, float]) -> list[_Piece]:
    """Cut where frames are missing, and at the closest moment of each meeting."""
    pieces: list[list[Glimpse]] = [[]]
    closest = _closest_moments([crowding[id(g)] for g in tracklet])
    for i, one in enumerate(tracklet):
        if pieces[-1] and (one.frame > pieces[-1][-1].frame + 1 or i in closest):
            pieces.append([])
        pieces[-1].append(one)
    number = tracklet[0].detection.track_id
    return [_Piece(piece, [g for g in piece if crowding[id(g)] < CROWDED], number) for piece in pieces]


def _closest_moments(crowding: list[float]) -> set[int]:
    """The most crowded index of each run of crowded ones."""
    moments, run = set(), []
    for i, share in enumerate([*crowding, 0.0]):
        if share >= CROWDED:
            run.append(i)
        elif run:
            moments.add(max(run, key=lambda k: crowding[k]))
            run = []
    return moments


def _chain(pieces: list[_Piece], times_s: Float[np.ndarray, "n"]) -> list[list[_Piece]]:
    """Chains of pieces, one a person: the assignment of successors with the least total cost."""
    if not pieces:
        return []
    pieces = sorted(pieces, key=lambda piece: piece.first)
    count = len(pieces)
    cost = np.full((count, 2 * count), 1e6)
    cost[:, count:][np.diag_indices(count)] = NO_LINK
    for i, before in enumerate(pieces):
        for j in range(i + 1, count):
            if before.last < pieces[j].first:
                cost[i, j] = _link_cost(before, pieces[j], times_s)
    rows, columns = linear_sum_assignment(cost)
    successor = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if j < count}
    chains = []
    for head in sorted(set(range(count)) - set(successor.values())):
        chain = [head]
        while chain[-1] in successor:
            chain.append(successor[chain[-1]])
        chains.append([pieces[i] for i in chain])
    return chains


def _link_cost(before: _Piece, after: _Piece, times_s: Float[np.ndarray, "n"]) -> float:
    gap_s = float(times_s[after.first] - times_s[before.last])
    if gap_s > LONGEST_GAP_S:
        return 1e6
    height = (_height(before.glimpses[-1]) + _height(after.glimpses[0])) / 2
    ahead = _centre(before.glimpses[-1]) + _velocity(before.glimpses[-4:], times_s) * min(gap_s, 0.5)
    off = float(np.linalg.norm(_centre(after.glimpses[0]) - ahead)) / height
    motion = off / (MOTION_SLACK + MOTION_PER_S * gap_s)
    size = abs(float(np.log(_height(after.glimpses[0]) / _height(before.glimpses[-1]))))
    colour = colour_distance(before.free, after.free) / TYPICAL_COLOUR_DISTANCE
    bonus = 0.3 if before.tracker_id is not None and before.tracker_id == after.tracker_id else 0.0
    return float(1.2 * colour + min(0.5 * motion, 2.5) + size - bonus)


def colour_distance(one: Sequence[Glimpse], two: Sequence[Glimpse]) -> float:
    """Hellinger distance (0-1) of what two sets of glimpses wear, over the body parts that both show."""
    a, b = (np.mean([g.colours for g in glimpses], axis=0) for glimpses in (one, two))
    a, b = (h / np.maximum(h.sum(axis=1, keepdims=True), 1e-9) for h in (a, b))
    seen = (a.sum(axis=1) > 0.5) & (b.sum(axis=1) > 0.5)
    if not seen.any():
        return TYPICAL_COLOUR_DISTANCE  # nothing to compare speaks neither for nor against
    shared = np.sqrt(a[seen] * b[seen]).sum(axis=1)
    weights = np.array([1.0, 1.0, 0.5])[seen]  # faces and hair turn away
    return float(np.sqrt((np.clip(1 - shared, 0, 1) * weights).sum() / weights.sum()))  # one other garment tells


def _attach(piece: _Piece, chains: list[list[_Piece]], times_s: Float[np.ndarray, "n"]) -> None:
    """Give a short piece to the chain that is free then and passes nearest; else it is somebody of its own."""
    frames = {g.frame for g in piece.glimpses}
    best, least = None, 1.0
    for chain in chains:
        if not any(frames & {g.frame for g in other.glimpses} for other in chain):
            off = _distance_to_chain(piece, chain, times_s)
            if piece.tracker_id is not None and any(p.tracker_id == piece.tracker_id for p in chain):
                off *= 0.7
            if off < least:
                best, least = chain, off
    if best is None:
        chains.append([piece])
    else:
        best.append(piece)


def _distance_to_chain(piece: _Piece, chain: list[_Piece], times_s: Float[np.ndarray, "n"]) -> float:
    """How far the piece's ends are from where the chain's neighbours put them, over what is allowed."""
    known = sorted((g for other in chain for g in other.glimpses), key=lambda g: g.frame)
    before = [g for g in known if g.frame < piece.first][-1:]
    after = [g for g in known if g.frame > piece.last][:1]
    ends = [(piece.glimpses[0], g) for g in before] + [(piece.glimpses[-1], g) for g in after]
    return max(_off(mine, theirs, times_s) for mine, theirs in ends)


def _off(mine: Glimpse, theirs: Glimpse, times_s: Float[np.ndarray, "n"]) -> float:
    gap_s = abs(float(times_s[mine.frame] - times_s[theirs.frame]))
    if gap_s > LONGEST_GAP_S:
        return np.inf
    off = float(np.linalg.norm(_centre(mine) - _centre(theirs))) / max(_height(mine), _height(theirs))
    return off / (MOTION_SLACK + MOTION_PER_S * min(gap_s, 1.0)) + abs(float(np.log(_height(mine) / _height(theirs))))


def _velocity(glimpses: list[Glimpse], times_s: Float[np.ndarray, "n"]) -> Float[np.ndarray, "2"]:
    if len(glimpses) < 2:
        return np.zeros(2)
    span = times_s[glimpses[-1].frame] - times_s[glimpses[0].frame]
    return (_centre(glimpses[-1]) - _centre(glimpses[0])) / max(float(span), 1e-3)


def _centre(one: Glimpse) -> Float[np.ndarray, "2"]:
    return (one.detection.box_px[:2] + one.detection.box_px[2:]) / 2


def _height(one: Glimpse) -> float:
    return max(float(one.detection.box_px[3] - one.detection.box_px[1]), 1.0)
