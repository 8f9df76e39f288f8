"""Cutting the dancer out of every frame: the segmenter's alpha, restricted to the dancer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from dancedepth.models.matting import Matting
from dancedepth.pipeline.config import MattesConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.lookahead import ahead
from dancedepth.pipeline.ownership import restrict_to_dancer
from dancedepth.pipeline.records import FrameSource, ImageSequence, Observer, Tracks
from dancedepth.pipeline.storage import read_mask, write_mask
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import UInt8

MARGIN = 0.15
"""Widening of the dancer's whole-clip box, in its longer side: hair, skirts and hands reach beyond keypoints."""
WORTH_CROPPING = 0.7
"""The window is used if it is smaller than this share of the image."""
WARM_UP = 3
"""Passes over the first frame: a recurrent segmenter is uncertain before it has a memory."""
LEAST_SIDE_PX = 32
"""Segmenters cannot work on less; a person who is seen less wide or high is given more of the picture around."""
NEARLY = 0.9
"""A work size this near to the one asked for will do if the picture is a whole number of times as large: reduced by
that, a picture of 1080x1920 takes 1 ms instead of 14."""
LEAST_COVER = 0.05
"""A matte covering less than this share of the dancer's box has missed them."""


def cut_out(
    frames: FrameSource,
    tracks: Tracks,
    matting: Matting,
    config: MattesConfig,
    folder: RunFolder,
    observer: Observer,
) -> ImageSequence:
    """The dancer's matte in every frame in which they were found, written to the run folder.

    The segmenter sees one fixed window around all places the dancer visits, so that small figures are seen large and
    its memory stays valid.

    Raises:
        PersonError: the segmenter found the dancer in no frame.
    """
    window = dancer_window(tracks)
    matting.reset()
    indices = []
    size = tracks.frame_size
    with (
        ahead(_shown(frames, window, config.work_side_px)) as shown,
        ahead(_cut_windows(shown, matting)) as cut,
    ):
        for index, window_alpha in cut:
            if tracks.dancer.found[index]:
                alpha = restrict_to_dancer(_in_the_image(window_alpha, window, size), tracks, index)
                if _covers(alpha, tracks, index):
                    write_mask(folder.mask(index), alpha, folder.images)
                    indices.append(index)
            observer.advanced()
    if not indices:
        where = str(frames.info.path)
        raise PersonError("the dancer could not be cut out of any frame", where, "Try another --segmenter")
    return load_mattes(folder, indices)


def load_mattes(folder: RunFolder, indices: Sequence[int]) -> ImageSequence:
    """Mattes that lie in the run folder."""
    return ImageSequence(tuple(indices), lambda index: read_mask(folder.mask(index), folder.images))


def dancer_window(tracks: Tracks) -> tuple[slice, slice]:
    """Rows and columns around all places the dancer visits; the whole image if that is hardly smaller."""
    width, height = tracks.frame_size
    boxes = tracks.dancer.boxes_px[tracks.dancer.found]
    low, high = (np.clip(corner, 0, (width, height)) for corner in (boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))
    margin = MARGIN * (boxes[:, 2:] - boxes[:, :2]).max()
    margin = np.maximum(margin, (LEAST_SIDE_PX - (high - low)) / 2)  # boxes at an edge can have no area at all
    left, top = np.floor((low - margin).clip(0)).astype(int)
    right, bottom = np.ceil(np.minimum(high + margin, (width, height))).astype(int)
    if (right - left) * (bottom - top) > WORTH_CROPPING * width * height:
        return slice(0, height), slice(0, width)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _shown(
    frames: FrameSource, window: tuple[slice, slice], side_px: int
) -> Iterator[tuple[int, UInt8[np.ndarray, "y x 3"]]]:
    """The window of every frame, no larger than it need be."""
    for frame in frames:
        crop = frame.rgb[window]
        height, width = crop.shape[:2]
        scale = _work_scale(height, width, side_px)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        yield frame.index, crop if scale == 1 else cv2.resize(crop, size, interpolation=cv2.INTER_AREA)


def _work_scale(height: int, width: int, side_px: int) -> float:
    wanted = min(1.0, side_px / max(height, width))
    whole = 1 / math.ceil(1 / wanted)
    return whole if whole >= NEARLY * wanted else wanted


def _cut_windows(
    shown: Iterable[tuple[int, UInt8[np.ndarray, "y x 3"]]], matting: Matting
) -> Iterator[tuple[int, UInt8[np.ndarray, "y x"]]]:
    for index, seen in shown:
        yield index, _window_alpha(seen, matting, WARM_UP if index == 0 else 1)


def _window_alpha(seen: UInt8[np.ndarray, "y x 3"], matting: Matting, passes: int) -> UInt8[np.ndarray, "y x"]:
    height, width = seen.shape[:2]
    missing = (max(0, LEAST_SIDE_PX - height), max(0, LEAST_SIDE_PX - width))
    padded = cv2.copyMakeBorder(seen, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE) if any(missing) else seen
    for _ in range(passes):
        alpha = matting.alpha(padded)[:height, :width]
    return alpha


def _in_the_image(
    alpha: UInt8[np.ndarray, "y x"], window: tuple[slice, slice], frame_size: tuple[int, int]
) -> UInt8[np.ndarray, "h w"]:
    full = np.zeros(frame_size[::-1], np.uint8)
    size = full[window].shape
    full[window] = alpha if size == alpha.shape else cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_LINEAR)
    return full


def _covers(alpha: UInt8[np.ndarray, "h w"], tracks: Tracks, index: int) -> bool:
    left, top, right, bottom = tracks.dancer.boxes_px[index]
    return float(alpha.sum(dtype=np.int64)) / 255 > LEAST_COVER * (right - left) * (bottom - top)
