"""Decoded frames kept on disk while a run lasts, so that its stages need not decode them one after the other.

What there is no room for is decoded again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.scratch_file import ScratchFile
from jaxtyping import UInt8

MOST_BYTES = 4 * 2**30
"""650 frames at 1080x1920: nearly a minute of video."""

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Kept:
    """What is known of a frame that is kept."""

    number: int
    """Of the picture among all that the decoder gave."""
    time_s: float


class FrameStore:
    """The first frames of a clip, as many as there is room for, each in one size or several; for `with`.

    Args:
        sizes: height and width of each picture of a frame.
        most_bytes: that are kept at most.
    """

    def __init__(self, sizes: tuple[tuple[int, int], ...], most_bytes: int = MOST_BYTES) -> None:
        self.sizes = sizes
        self.whole = False
        """Whether these are all frames of the clip."""
        self._kept: list[Kept] = []
        self._file = ScratchFile("decoded frames", most_bytes)

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Forget all frames, and take no more."""
        self._kept, self.whole = [], False
        self._file.close()

    @property
    def takes_more(self) -> bool:
        """Whether there may be room for the next frame."""
        return self._file.has_room(self._stride)

    def add(self, kept: Kept, pictures: tuple[Image, ...]) -> None:
        """Keep the next frame, if there is room."""
        if self._file.append(*pictures) is not None:
            self._kept.append(kept)
        elif not self._file.is_open:
            self.close()

    def known(self, index: int) -> Kept:
        """What is known of a frame."""
        return self._kept[index]

    def read(self, index: int, size: tuple[int, int]) -> Image | None:
        """A frame's picture of this size; None if it cannot be had any more."""
        if index >= len(self._kept):
            return None
        which = self.sizes.index(size)
        picture = np.empty((*size, 3), np.uint8)
        if self._file.read(index * self._stride + sum(_bytes(one) for one in self.sizes[:which]), picture):
            return picture
        self.close()
        return None

    @property
    def _stride(self) -> int:
        return sum(_bytes(size) for size in self.sizes)


def _bytes(size: tuple[int, int]) -> int:
    return size[0] * size[1] * 3
