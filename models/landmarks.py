"""33 landmarks of one person, hands and feet among them, with their places in space: BlazePose GHUM.

The network (Bazarevsky et al. 2020; Grishchenko et al. 2022; Apache-2.0) looks at a square around one person and gives
pixels and, in metres around the hips, places in depth. It was trained on people in ordinary videos, so that it knows
what keypoints in the image cannot tell: how far a foreshortened limb points at the camera.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from dancedepth.models.errors import WeightsError
from jaxtyping import Float, UInt8

LANDMARKS = 33
"""Nose, 3 x 2 eyes, ears, mouth; then shoulders, elbows, wrists, little, index and thumb knuckles, hips, knees, ankles,
heels and toes, the left one first each time."""
ALL = 39
"""The last six are for the network's own use: two of them place the square for another look."""
CENTRE, RIM = 33, 34
"""The hips' middle, and a point of the circle around the whole person in the direction of the head."""
SIDE_PX = 256
MARGIN = 1.25
"""The square is wider than the person by this, as in training."""
UPRIGHT_RAD = math.radians(35)
"""A person who leans more than this is turned upright."""
PRESENT = 0.5
"""Scores below this say that there is no person, and the landmarks mean nothing."""
MAX_THREADS = 4


@dataclass(frozen=True)
class Landmarks:
    """One person in one frame."""

    pixels: Float[np.ndarray, "33 2"]
    places_m: Float[np.ndarray, "33 3"]
    """Around the hips, in axes along the ray through the person: x right, y down, z away from the camera."""
    visibility: Float[np.ndarray, "33"]
    """0-1; 0 throughout where the network sees nobody."""


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
        from ai_edge_litert.interpreter import Interpreter

        remedy = "Fetch it again with `dancedepth weights fetch blazepose`, or give none"
        threads = min(os.cpu_count() or 1, MAX_THREADS)
        try:
            with _silent_stderr():
                self._net = Interpreter(model_content=weights.read_bytes(), num_threads=threads)
                self._net.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            raise WeightsError("this file holds no network that LiteRT can run", str(weights), remedy) from error
        outputs = {tuple(output["shape"]): output["index"] for output in self._net.get_output_details()}
        self._input = self._net.get_input_details()[0]["index"]
        if not {(1, ALL * 5), (1, 1), (1, ALL * 3)} <= outputs.keys():
            raise WeightsError("this is not BlazePose's landmark network", str(weights), remedy)
        self._image, self._score, self._world = outputs[1, ALL * 5], outputs[1, 1], outputs[1, ALL * 3]

    def find(self, rgb: UInt8[np.ndarray, "h w 3"], box_px: Float[np.ndarray, "4"], lean_rad: float = 0.0) -> Landmarks:
        """The network sees people upright to within some 45 degrees only; hence the lean, and the second look."""
        centre, side = (box_px[:2] + box_px[2:]) / 2, MARGIN * float((box_px[2:] - box_px[:2]).max())
        first = lean_rad if abs(lean_rad) > UPRIGHT_RAD else 0.0
        pixels, seen = self._look(rgb, _Square(centre, side, first))
        up = pixels[RIM] - pixels[CENTRE]
        roll = math.atan2(up[0], -up[1])
        if abs(math.remainder(roll - first, 2 * math.pi)) > UPRIGHT_RAD:
            _, seen = self._look(rgb, _Square(pixels[CENTRE], 2 * MARGIN * float(np.linalg.norm(up)), roll))
        return seen

    def _look(self, rgb: UInt8[np.ndarray, "h w 3"], square: _Square) -> tuple[Float[np.ndarray, "39 2"], Landmarks]:
        """All landmarks in the image, and what is to be known of those of the body."""
        picture = cv2.warpAffine(
            rgb, square.image_from_crop, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        self._net.set_tensor(self._input, (picture.astype(np.float32) / 255)[None])
        self._net.invoke()
        found = self._net.get_tensor(self._image).reshape(ALL, 5).astype(np.float64)
        places = self._net.get_tensor(self._world).reshape(ALL, 3).astype(np.float64)[:LANDMARKS]
        places[:, :2] = places[:, :2] @ square.turn.T
        pixels = found[:, :2] @ square.image_from_crop[:, :2].T + square.image_from_crop[:, 2]
        present = float(self._net.get_tensor(self._score)[0, 0]) > PRESENT
        visibility = present / (1 + np.exp(-found[:LANDMARKS, 3].clip(-30, 30)))
        return pixels, Landmarks(pixels[:LANDMARKS], places, visibility)


class _Square:
    """A turned square of the image, and the maps between them."""

    def __init__(self, centre_px: Float[np.ndarray, "2"], side_px: float, roll_rad: float) -> None:
        cos, sin = math.cos(roll_rad), math.sin(roll_rad)
        self.turn = np.array([[cos, -sin], [sin, cos]])
        scaled = self.turn * (side_px / SIDE_PX)
        self.image_from_crop = np.column_stack((scaled, centre_px - scaled @ np.full(2, SIDE_PX / 2)))


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """LiteRT announces its delegate on the process's standard error, and has no switch for that."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
