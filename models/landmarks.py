"""33 landmarks of one person, hands and feet among them, with their places in space: BlazePose GHUM.

The network (Bazarevsky et al. 2020; Grishchenko et al. 2022; Apache-2.0) looks at a square around one person and gives
pixels and, in metres around the hips, places in depth. It was trained on people in ordinary videos, so that it knows
what keypoints in the image cannot tell: how far a foreshortened limb points at the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from dancedepth.models.litert import Network, Square
from jaxtyping import Float, UInt8

LANDMARKS = 33
"""Nose, 3 x 2 eyes, ears, mouth; then shoulders, elbows, wrists, little, index and thumb knuckles, hips, knees, ankles,
heels and toes, the left one first each time."""
ALL = 39
"""The last six are for the network's own use: two of them place the square for another look."""
OUTPUTS = {0: ALL * 5, 1: 1, 4: ALL * 3}
"""In the image (x, y, depth, visibility, presence), whether there is anybody, in space."""
CENTRE, RIM = 33, 34
"""The hips' middle, and a point of the circle around the whole person in the direction of the head."""
SIDE_PX = 256
MARGIN = 1.25
"""The square is wider than the person by this, as in training."""
UPRIGHT_RAD = math.radians(35)
"""A person who leans more than this is turned upright."""
PRESENT = 0.5
"""Scores below this say that there is no person, and the landmarks mean nothing."""


@dataclass(frozen=True)
class Landmarks:
    """One person in one frame."""

    pixels: Float[np.ndarray, "33 2"]
    places_m: Float[np.ndarray, "33 3"]
    """Around the hips, in axes along the ray through the person: x right, y down, z away from the camera."""
    visibility: Float[np.ndarray, "33"]
    """0-1; 0 throughout where the network sees nobody."""

    @property
    def px_per_m(self) -> float:
        """How large the person is in the image; 0 where nobody is seen."""
        weight = self.visibility[:, None]
        if weight.sum() < 1:
            return 0.0
        spread = [
            float((weight * (points - (weight * points).sum(axis=0) / weight.sum()) ** 2).sum())
            for points in (self.pixels, self.places_m[:, :2])
        ]
        return math.sqrt(spread[0] / max(spread[1], 1e-9))


class LandmarkFinder(Protocol):
    """Finds the landmarks of a person whose box is known."""

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], box_px: Float[np.ndarray, "4"], lean_rad: float) -> Landmarks:
        """Of whoever is in the box, and leans by so much: 0 upright, positive to the right."""


class BlazePose:
    """BlazePose's landmark network, run by LiteRT on the CPU.

    Raises:
        WeightsError: `weights` is broken, or not this network.
    """

    def __init__(self, weights: Path) -> None:
        self._net = Network(weights, SIDE_PX, OUTPUTS, "BlazePose's landmark network")

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], box_px: Float[np.ndarray, "4"], lean_rad: float = 0.0) -> Landmarks:
        """The network sees people upright to within some 45 degrees only; hence the lean, and the second look."""
        centre, side = (box_px[:2] + box_px[2:]) / 2, MARGIN * float((box_px[2:] - box_px[:2]).max())
        first = lean_rad if abs(lean_rad) > UPRIGHT_RAD else 0.0
        pixels, seen = self._look(rgb, Square(centre, side, first))
        up = pixels[RIM] - pixels[CENTRE]
        roll = math.atan2(up[0], -up[1])
        if abs(math.remainder(roll - first, 2 * math.pi)) > UPRIGHT_RAD:
            _, seen = self._look(rgb, Square(pixels[CENTRE], 2 * MARGIN * float(np.linalg.norm(up)), roll))
        return seen

    def _look(self, rgb: UInt8[np.ndarray, "h w 3"], square: Square) -> tuple[Float[np.ndarray, "39 2"], Landmarks]:
        """All landmarks in the image, and what is to be known of those of the body."""
        found = self._net.look(rgb, square)
        marks, places = found[0].reshape(ALL, 5), found[2].reshape(ALL, 3)[:LANDMARKS]
        places[:, :2] = places[:, :2] @ square.turn.T
        pixels = square.in_image(marks[:, :2], SIDE_PX)
        present = float(found[1][0]) > PRESENT
        visibility = present / (1 + np.exp(-marks[:LANDMARKS, 3].clip(-30, 30)))
        return pixels, Landmarks(pixels[:LANDMARKS], places, visibility)
