"""Networks that LiteRT runs on the CPU, and the turned squares of the image that they look at."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from dancedepth.models.errors import WeightsError
from jaxtyping import Float, UInt8

MAX_THREADS = 4


class Network:
    """One network with one input, a square picture.

    Args:
        weights: a .tflite file.
        side_px: of the picture.
        outputs: which of the file's outputs are wanted, and how many values each has.
        what: what the network is, for the error.

    Raises:
        WeightsError: `weights` is broken, or not this network.
    """

    def __init__(self, weights: Path, side_px: int, outputs: dict[int, int], what: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        remedy = "Fetch it again with `dancedepth weights fetch`, or name another file"
        threads = min(os.cpu_count() or 1, MAX_THREADS)
        try:
            with _silent_stderr():
                self._net = Interpreter(model_content=weights.read_bytes(), num_threads=threads)
                self._net.allocate_tensors()
        except (ValueError, RuntimeError, OSError) as error:
            raise WeightsError("this file holds no network that LiteRT can run", str(weights), remedy) from error
        taken, given = self._net.get_input_details(), self._net.get_output_details()
        sizes = {index: int(np.prod(one["shape"])) for index, one in enumerate(given)}
        if tuple(taken[0]["shape"]) != (1, side_px, side_px, 3) or not outputs.items() <= sizes.items():
            raise WeightsError(f"this is not {what}", str(weights), remedy)
        self._side_px, self._input = side_px, taken[0]["index"]
        self._outputs = [given[index]["index"] for index in outputs]

    def look(self, rgb: UInt8[np.ndarray, "h w 3"], square: Square) -> list[Float[np.ndarray, "k"]]:
        """The wanted outputs, of what is in the square; black where that leaves the image."""
        size = (self._side_px, self._side_px)
        there = square.image_from_crop(self._side_px)
        picture = cv2.warpAffine(rgb, there, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        self._net.set_tensor(self._input, (picture.astype(np.float32) / 255)[None])
        self._net.invoke()
        return [self._net.get_tensor(index).ravel().astype(np.float64) for index in self._outputs]


class Square:
    """A square of the image, turned clockwise, and the map to it from a picture of so many pixels a side."""

    def __init__(self, centre_px: Float[np.ndarray, "2"], side_px: float, roll_rad: float) -> None:
        cos, sin = math.cos(roll_rad), math.sin(roll_rad)
        self.turn = np.array([[cos, -sin], [sin, cos]])
        self.centre_px, self.side_px = centre_px, side_px

    def image_from_crop(self, side: int) -> Float[np.ndarray, "2 3"]:
        """Image pixels of the picture's pixels."""
        scaled = self.turn * (self.side_px / side)
        return np.column_stack((scaled, self.centre_px - scaled @ np.full(2, side / 2)))

    def in_image(self, points: Float[np.ndarray, "k 2"], side: int) -> Float[np.ndarray, "k 2"]:
        """Image pixels of points of the picture."""
        there = self.image_from_crop(side)
        placed: np.ndarray = points @ there[:, :2].T + there[:, 2]
        return placed


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
