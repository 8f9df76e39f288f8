"""468 landmarks of a face, in the image and in space: MediaPipe Face Mesh.

The network (Kartynnik et al. 2019; Apache-2.0) looks at a square around one upright face. Where that is, the body's
landmarks say; a second look is aimed by what the first one found.
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

FACE_LANDMARKS = 468
LEFT_EYE, RIGHT_EYE = 263, 33
"""The outer corners of the dancer's eyes."""
SIDE_PX = 192
OUTPUTS = {0: FACE_LANDMARKS * 3, 1: 1}
"""In the image and, in the same pixels, in depth; and whether there is a face."""
BODY_NOSE, BODY_EYES, BODY_MOUTH = 0, (2, 5), (9, 10)
"""Among the body's landmarks, left before right."""
LOOKED_AT_M = 0.27
"""The first square's side."""
ROOM = 1.5
"""The second one is wider than the face by this, as in training."""
TURNED_RAD = math.radians(30), math.radians(45)
"""Faces that are turned aside between these count less and less: of profiles the network sees half the turn."""
SEEN = 0.5
"""Visibility of the nose below which nobody looks for the face."""


@dataclass(frozen=True)
class Face:
    """One person's face, in one frame or in several."""

    pixels: Float[np.ndarray, "*n 468 2"]
    places_px: Float[np.ndarray, "*n 468 3"]
    """Of the size that the face has in the image, in axes along the ray through it: x right, y down, z away."""
    confidence: Float[np.ndarray, "*n"]
    """0-1: that there is a face, and that it is not in profile."""

    @classmethod
    def unseen(cls, *shape: int) -> Face:
        """Faces that nobody saw yet, to be filled in."""
        marks = (*shape, FACE_LANDMARKS)
        return cls(np.zeros((*marks, 2)), np.zeros((*marks, 3)), np.zeros(shape))


class FaceFinder(Protocol):
    """Finds the face of a person whose landmarks are known."""

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], person: Landmarks) -> Face | None:
        """None where there is none to look for."""


class MediaPipeFace:
    """MediaPipe's network for one face, run by LiteRT on the CPU.

    Raises:
        WeightsError: `weights` is broken, or not this network.
    """

    def __init__(self, weights: Path) -> None:
        self._net = Network(weights, SIDE_PX, OUTPUTS, "MediaPipe's network for faces")

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], person: Landmarks) -> Face | None:
        """Faces that the body's landmarks do not see are not looked for."""
        if person.visibility[BODY_NOSE] < SEEN or person.px_per_m == 0:
            return None
        first = self._look(rgb, _expected(person))
        return self._look(rgb, _around(first.pixels))

    def _look(self, rgb: UInt8[np.ndarray, "h w 3"], square: Square) -> Face:
        marks, score = self._net.look(rgb, square)
        found = marks.reshape(FACE_LANDMARKS, 3)
        pixels = square.in_image(found[:, :2], SIDE_PX)
        places = np.column_stack((pixels, found[:, 2] * square.side_px / SIDE_PX))
        return Face(pixels, places, np.array(_frontal(places) / (1 + math.exp(-score[0]))))


def _frontal(places: Float[np.ndarray, "468 3"]) -> float:
    """1 for faces that look at the camera, 0 for those turned aside."""
    across = places[LEFT_EYE] - places[RIGHT_EYE]
    turned = math.atan2(abs(across[2]), math.hypot(across[0], across[1]))
    return float(np.interp(turned, TURNED_RAD, (1, 0)))


def _expected(person: Landmarks) -> Square:
    """Where the body's landmarks have the face, eyes level."""
    middle = person.pixels[[BODY_NOSE, *BODY_EYES, *BODY_MOUTH]].mean(axis=0)
    across = person.pixels[BODY_EYES[0]] - person.pixels[BODY_EYES[1]]
    return Square(middle, LOOKED_AT_M * person.px_per_m, math.atan2(across[1], across[0]))


def _around(pixels: Float[np.ndarray, "468 2"]) -> Square:
    """Around a face that was found, eyes level."""
    across = pixels[LEFT_EYE] - pixels[RIGHT_EYE]
    level = Square(np.zeros(2), 1, math.atan2(across[1], across[0]))
    turned = pixels @ level.turn
    low, high = turned.min(axis=0), turned.max(axis=0)
    return Square(level.turn @ ((low + high) / 2), ROOM * float((high - low).max()), math.atan2(across[1], across[0]))
