"""The dancer's optical flow through a clip (dense inverse search, Kroeger et al. 2016), for the fit of the body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import torch
from dancedepth.models.image_motion import ImageMotion
from dancedepth.pipeline.lookahead import ahead, side_by_side
from dancedepth.pipeline.records import Frame, ImageSequence, Track
from jaxtyping import Float, Int, UInt8

GRID = 96
"""Cells along each side of a window that the flow is kept at; twice as many brought joints no nearer."""
FLOW_PIXELS = 120_000
"""Of a window as flow is sought in it; twice as many bring joints 0.3 mm nearer, half as many cost 0.6 mm."""
MARGIN = 0.1
"""The window reaches this share of the boxes' sides beyond them."""
OPAQUE = 128
"""Alpha from which a pixel is the dancer's."""
GREY = 128
"""What pictures are made elsewhere."""
RETURN_PX = 1.5
"""How near to its start the way there and back has to end, in pixels of the flow."""
LEAST_SIDE_PX = 32
"""Flow needs some pixels to look at."""
AT_ONCE = 2
"""Pairs of frames that are compared side by side."""


@dataclass(frozen=True)
class _Look:
    grey: UInt8[np.ndarray, "h w"]
    alpha: UInt8[np.ndarray, "h w"]
    box_px: Float[np.ndarray, "4"]


def find_image_motion(
    frames: Iterable[Frame], dancer: Track, mattes: ImageSequence, device: torch.device | str = "cpu"
) -> ImageMotion:
    """The dancer's flow from every frame to the next, where both have a matte; one pass over the frames."""
    count = len(dancer.found)
    shift, origin, size = np.full((count, 2, GRID, GRID), np.nan, np.float32), np.zeros((count, 2)), np.ones((count, 2))
    with (
        ahead(_looks(frames, dancer, mattes)) as looks,
        side_by_side(lambda two: _between(*two), pairwise(looks), AT_ONCE) as found,
    ):
        for index, (window, shifts) in enumerate(found):
            if shifts is not None:
                shift[index], origin[index], size[index] = shifts, window[:2], window[2:] - window[:2]
    parts = (torch.from_numpy(part.astype(np.float32)).to(device) for part in (shift, origin, size))
    return ImageMotion(*parts)


def _between(
    this: _Look | None, following: _Look | None
) -> tuple[Int[np.ndarray, "4"], Float[np.ndarray, "2 g g"] | None]:
    """The window around the dancer and the shifts in it; none where they are not seen, or too small."""
    if this is None or following is None:
        return np.zeros(4, np.int64), None
    window = _window(this, following)
    return window, _shift(this, following, window) if min(window[2:] - window[:2]) >= LEAST_SIDE_PX else None


def _looks(frames: Iterable[Frame], dancer: Track, mattes: ImageSequence) -> Iterator[_Look | None]:
    with_matte = set(mattes.indices)
    for frame in frames:
        if frame.index in with_matte and dancer.found[frame.index]:
            grey = cv2.cvtColor(np.asarray(frame.rgb), cv2.COLOR_RGB2GRAY)
            yield _Look(grey, np.asarray(mattes.load(frame.index)), dancer.boxes_px[frame.index])
        else:
            yield None


def _window(this: _Look, following: _Look) -> Int[np.ndarray, "4"]:
    """Left, top, right and bottom of what holds the dancer in both frames, within the image."""
    low = np.minimum(this.box_px[:2], following.box_px[:2])
    high = np.maximum(this.box_px[2:], following.box_px[2:])
    beyond, (height, width) = MARGIN * (high - low), this.grey.shape
    return np.concatenate((np.maximum(low - beyond, 0), np.minimum(high + beyond, (width, height)))).astype(int)


def _shift(this: _Look, following: _Look, window: Int[np.ndarray, "4"]) -> Float[np.ndarray, "2 g g"]:
    """Image pixels from each cell of the window to where it is in the following frame."""
    left, top, right, bottom = window
    scale = min(1.0, (FLOW_PIXELS / ((right - left) * (bottom - top))) ** 0.5)
    width, height = max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1)
    pictures, inside = [], []
    for look in (this, following):
        grey = cv2.resize(look.grey[top:bottom, left:right], (width, height), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(look.alpha[top:bottom, left:right], (width, height), interpolation=cv2.INTER_NEAREST)
        inside.append(alpha >= OPAQUE)
        pictures.append(np.where(inside[-1], grey, GREY).astype(np.uint8))
    first, second = pictures
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (search.calc(a, b, np.empty(0, np.float32)) for a, b in ((first, second), (second, first)))
    at = np.ix_(_middles(height), _middles(width))
    kept = np.where(inside[0][at][..., None], there[at], np.nan)
    y, x = (middles.astype(np.float32) + kept[..., axis] for middles, axis in zip(at, (1, 0), strict=True))
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(1e6, 1e6))
    off = kept + returned
    kept[np.hypot(off[..., 0], off[..., 1]) > RETURN_PX] = np.nan
    shifts: np.ndarray = kept.transpose(2, 0, 1) * np.array([[[(right - left) / width]], [[(bottom - top) / height]]])
    return shifts


def _middles(length: int) -> Int[np.ndarray, "g"]:
    """The pixels at the middles of the cells."""
    return ((np.arange(GRID) + 0.5) * length / GRID).astype(int)
