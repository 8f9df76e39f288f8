"""A frame of a run as pictures side by side: the input, its depth, its normals; for previews, reports and sheets."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from dancedepth.pipeline import storage
from dancedepth.pipeline.records import Frame, ImageSequence, VideoInfo
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import Float, UInt8

PREVIEW_SIDE_PX = 640
"""The preview's panels are this long: about as much as four of them on a screen show."""
GROUND = 33
"""Grey behind depth and normals; that of rendered views."""
NEAREST, FARTHEST = 255, 80
"""Greys of the nearest and the farthest depth."""
FLIPS = (0, 255, 255)
"""Bits that turn green and blue round: files have normals in axes whose y is down and z away."""
RANGE_FRAMES = 8
"""Frames whose depths set the range of greys."""


@dataclass(frozen=True)
class PanelSize:
    """Pixels of one panel; both even, as video wants them."""

    width: int
    height: int

    @classmethod
    def within(cls, width: int, height: int, side_px: int) -> PanelSize:
        """An image's shape with the longer side this long, and no longer than it is."""
        scale = min(side_px / max(width, height), 1)
        return cls(2 * max(1, round(width * scale / 2)), 2 * max(1, round(height * scale / 2)))


def sizes_needed(video: VideoInfo) -> tuple[tuple[int, int], ...]:
    """Height and width of frames as a run's stages take them: whole ones, and those of the preview."""
    small = PanelSize.within(video.width, video.height, PREVIEW_SIDE_PX)
    return tuple(dict.fromkeys(((video.height, video.width), (small.height, small.width))))


class Panels:
    """Pictures of a run's frames, read from its folder one frame at a time."""

    def __init__(self, folder: RunFolder, image: PanelSize, size: PanelSize) -> None:
        """`image` is the size of the run's images; of larger ones only some pixels are looked at."""
        every = max(1, image.height // size.height)
        self.size = size
        with_normals = folder.image_indices("normals")
        self._normals = ImageSequence(
            with_normals, lambda index: storage.read_picture(folder.normals(index), every, folder.images)
        )
        indices = folder.image_indices("depth")
        self._depth = ImageSequence(
            indices, lambda index: storage.read_depth(folder.depth(index), every, folder.images)
        )
        self._near_m, self._far_m = _range_m(self._depth)

    def of(self, frame: Frame) -> list[UInt8[np.ndarray, "y x 3"]]:
        """Input, depth and normals of a frame."""
        return [self._resized(frame.rgb), self.depth(frame.index), self.normals(frame.index)]

    def depth(self, index: int) -> UInt8[np.ndarray, "y x 3"]:
        """Near is light, far is dark."""
        if index not in self._depth.indices:
            return self._blank()
        size = (self.size.width, self.size.height)
        depth_m = cv2.resize(self._depth.load(index), size, interpolation=cv2.INTER_NEAREST)
        share = np.clip((depth_m - self._near_m) / (self._far_m - self._near_m), 0, 1)
        grey = np.where(depth_m > 0, NEAREST + (FARTHEST - NEAREST) * share, GROUND).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    def normals(self, index: int) -> UInt8[np.ndarray, "y x 3"]:
        """The usual colours: red to the right, green up, blue to the viewer."""
        if index not in self._normals.indices:
            return self._blank()
        size = (self.size.width, self.size.height)  # means over edges would be no normals
        picture = cv2.resize(self._normals.load(index), size, interpolation=cv2.INTER_NEAREST)
        some = cv2.bitwise_not(cv2.inRange(picture, (0, 0, 0), (0, 0, 0)))  # eight times faster than numpy's masks
        flipped = picture.reshape(self.size.height, -1) ^ np.tile(np.array(FLIPS, np.uint8), self.size.width)
        return cv2.copyTo(flipped.reshape(picture.shape), some, self._blank())

    def _blank(self) -> UInt8[np.ndarray, "y x 3"]:
        return np.full((self.size.height, self.size.width, 3), GROUND, np.uint8)

    def _resized(self, image: UInt8[np.ndarray, "h w *c"]) -> UInt8[np.ndarray, "y x *c"]:
        if image.shape[:2] == (self.size.height, self.size.width):
            return image
        small: np.ndarray = cv2.resize(image, (self.size.width, self.size.height), interpolation=cv2.INTER_AREA)
        return small


def _range_m(depth: ImageSequence) -> Float[np.ndarray, "2"]:
    """The nearest and the farthest depth of the clip, from a few frames of it, without outliers."""
    some = depth.indices[:: max(1, len(depth.indices) // RANGE_FRAMES)]
    ends = [np.percentile(image[image > 0], [1, 99]) for image in map(depth.load, some) if image.any()]
    near_m = min((end[0] for end in ends), default=0.0)
    return np.array([near_m, max([end[1] for end in ends] + [near_m + 0.1])])
