"""21 landmarks of each hand, in the image and in space: MediaPipe Hands.

The network (Zhang et al. 2020; Apache-2.0) looks at a square around one hand whose fingers point up. Where that is, the
body's landmarks say; a second look is aimed by what the first one found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from dancedepth.models.landmarks import Landmarks
from dancedepth.models.litert import Network, Square
from jaxtyping import Float, UInt8

HAND_LANDMARKS = 21
"""The wrist, then four of each finger from its root to its tip: thumb, index, middle, ring and little finger."""
SIDE_PX = 224
OUTPUTS = {0: HAND_LANDMARKS * 3, 1: 1, 2: 1, 3: HAND_LANDMARKS * 3}
"""In the image, whether there is a hand, whether it is a right one, in space."""
WRISTS, LITTLE_KNUCKLES, INDEX_KNUCKLES = (15, 16), (17, 18), (19, 20)
"""Among the body's landmarks, left and right."""
PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Landmarks that a square is laid around: the palm and the fingers' first bones."""
ROOM = 2.0
"""The square is wider than those by this, as in training."""
AHEAD = 0.1
"""Its middle lies so far towards the fingertips, as a share of the palm."""
LEAST_M, A_KNUCKLE = 0.2, 3.35
"""The first square's side: at least the one, and so many times from the wrist to the knuckles."""
SURE = 0.9
"""A first look with this score needs no second."""
SEEN = 0.5
"""Visibility of a wrist below which nobody looks for its hand."""


@dataclass(frozen=True)
class Hands:
    """The left and the right hand of one person, in one frame or in several."""

    pixels: Float[np.ndarray, "*n 2 21 2"]
    places_m: Float[np.ndarray, "*n 2 21 3"]
    """Of a usual hand's size, around its middle, in axes along the ray through it: x right, y down, z away."""
    confidence: Float[np.ndarray, "*n 2"]
    """0-1: that there is a hand, and that it is this one."""

    @classmethod
    def unseen(cls, *shape: int) -> Hands:
        """Hands that nobody saw yet, to be filled in."""
        marks = (*shape, 2, HAND_LANDMARKS)
        return cls(np.zeros((*marks, 2)), np.zeros((*marks, 3)), np.zeros((*shape, 2)))


class HandFinder(Protocol):
    """Finds the hands of a person whose landmarks are known."""

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], person: Landmarks) -> Hands:
        """Both of them."""


class MediaPipeHands:
    """MediaPipe's network for one hand, run by LiteRT on the CPU.

    Raises:
        WeightsError: `weights` is broken, or not this network.
    """

    def __init__(self, weights: Path) -> None:
        self._net = Network(weights, SIDE_PX, OUTPUTS, "MediaPipe's network for hands")

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], person: Landmarks) -> Hands:
        """Hands that the body's landmarks do not see are not looked for."""
        hands = Hands.unseen()
        for side in (0, 1):
            if person.visibility[WRISTS[side]] >= SEEN and person.px_per_m > 0:
                found = self._look(rgb, _expected(person, side), side)
                if found[2] < SURE:
                    found = max(found, self._look(rgb, _around(found[0]), side), key=lambda one: one[2])
                hands.pixels[side], hands.places_m[side], hands.confidence[side] = found
        return hands

    def _look(
        self, rgb: UInt8[np.ndarray, "h w 3"], square: Square, side: int
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, "21 3"], float]:
        marks, present, right, places = self._net.look(rgb, square)
        pixels = square.in_image(marks.reshape(HAND_LANDMARKS, 3)[:, :2], SIDE_PX)
        turned = places.reshape(HAND_LANDMARKS, 3)
        turned[:, :2] = turned[:, :2] @ square.turn.T
        own = float(right[0] if side else 1 - right[0])
        return pixels, turned, float(present[0]) * min(2 * own, 1.0)


def _expected(person: Landmarks, side: int) -> Square:
    """Where the body's landmarks have the hand, fingers up."""
    wrist = person.pixels[WRISTS[side]]
    knuckles = (2 * person.pixels[INDEX_KNUCKLES[side]] + person.pixels[LITTLE_KNUCKLES[side]]) / 3
    up = knuckles - wrist
    side_px = max(LEAST_M * person.px_per_m, A_KNUCKLE * float(np.linalg.norm(up)))
    return Square(knuckles, side_px, math.atan2(up[0], -up[1]))


def _around(pixels: Float[np.ndarray, "21 2"]) -> Square:
    """Around a hand that was found, fingers up."""
    up = (pixels[5] + 2 * pixels[9] + pixels[13]) / 4 - pixels[0]
    upright = Square(np.zeros(2), 1, math.atan2(up[0], -up[1]))
    palm = pixels[list(PALM)] @ upright.turn
    low, high = palm.min(axis=0), palm.max(axis=0)
    centre = (low + high) / 2 - [0, AHEAD * (high - low)[1]]
    return Square(upright.turn @ centre, ROOM * float((high - low).max()), math.atan2(up[0], -up[1]))
