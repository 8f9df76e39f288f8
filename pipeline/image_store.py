"""A run's images kept on disk as pixels while it lasts: what one stage writes as PNG, the next ones need not decode.

Pixels are those of the file, rounded as they are there, so that a run that is resumed sees the same. What there is no
room for is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from dancedepth.pipeline.scratch_file import ScratchFile

MOST_BYTES = 4 * 2**30
"""300 frames at 1080x1920 of somebody who fills the picture, three times as many of somebody with room around."""


@dataclass(frozen=True)
class _Place:
    """Where in the store an image lies: what of it is not 0, which is the dancer's box."""

    at: int
    shape: tuple[int, ...]
    kind: np.dtype
    box: tuple[slice, slice]


class ImageStore:
    """Images by the names of their files, as many as there is room for; for `with`. Threads may share it.

    Args:
        most_bytes: that are kept at most.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._file = ScratchFile("images", most_bytes)
        self._places: dict[Path, _Place] = {}

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._places.clear()
        self._file.close()

    def keep(self, path: Path, pixels: np.ndarray) -> None:
        """Keep what a file holds, (h w) or (h w c) of bytes or larger numbers, if there is room."""
        self._places.pop(path, None)
        box = _filled(pixels)
        at = self._file.append(np.ascontiguousarray(pixels[box]))
        if at is not None:
            self._places[path] = _Place(at, pixels.shape, pixels.dtype, box)

    def find(self, path: Path) -> np.ndarray | None:
        """What the file holds; None where that is not kept."""
        place = self._places.get(path)
        if place is None:
            return None
        whole = np.zeros(place.shape, place.kind)
        part = np.empty_like(whole[place.box])
        if not self._file.read(place.at, part):
            return None
        whole[place.box] = part
        return whole


def _filled(pixels: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around all that is not 0."""
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    left, top, width, height = cv2.boundingRect(rows)
    a_pixel = rows.shape[1] // pixels.shape[1]
    return slice(top, top + height), slice(left // a_pixel, -(-(left + width) // a_pixel))
