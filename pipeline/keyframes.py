"""The frames that the texture is made from: the sharpest of each stretch of the clip, held as small pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.records import BodyMotion, Tracks
from jaxtyping import UInt8, UInt16

LONGEST_SIDE_PX = 1600
"""Larger pictures are reduced: the texture has no room for more."""
MARGIN_PX = 8


@dataclass(frozen=True)
class Keyframe:
    """The part of a frame around the dancer."""

    index: int
    camera: Camera
    rgb: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"]
    depth_mm: UInt16[np.ndarray, "h w"]
    """Rounded to millimetres, 16 bits: all that a test of occlusion needs. 0 where there is none."""
    normals: UInt8[np.ndarray, "h w 3"] | None = None
    """0-255 for -1 to 1, in the camera; grey where there is none."""


def choose_keyframes(usable: list[int], tracks: Tracks, motion: BodyMotion, count: int) -> set[int]:
    """One of each of `count` stretches of the usable frames: sharp, and with the body well fitted."""
    error = motion.reprojection_error_px[usable]
    typical = max(float(np.nanmedian(error)), 1e-6) if np.isfinite(error).any() else 1.0
    score = tracks.sharpness[usable] / (1 + np.nan_to_num(error, nan=typical) / typical)
    stretches = np.array_split(np.arange(len(usable)), min(count, len(usable)))
    return {usable[stretch[score[stretch].argmax()]] for stretch in stretches}


def keyframe(index: int, images: FrameImages, camera: Camera) -> Keyframe | None:
    """The crop around the depth, reduced if it is large; None where there is none."""
    rows, columns = (np.flatnonzero((images.depth_m > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    height, width = images.depth_m.shape
    top, bottom = max(rows[0] - MARGIN_PX, 0), min(rows[-1] + 1 + MARGIN_PX, height)
    left, right = max(columns[0] - MARGIN_PX, 0), min(columns[-1] + 1 + MARGIN_PX, width)
    box = slice(top, bottom), slice(left, right)
    crop = camera.crop(left, top, right - left, bottom - top)
    share = min(1.0, LONGEST_SIDE_PX / max(crop.width, crop.height))
    size = round(crop.width * share), round(crop.height * share)
    depth_mm = np.rint(images.depth_m[box] * 1000).astype(np.uint16)
    normals = None if images.normals is None else cv2.convertScaleAbs(images.normals[box], alpha=127.5, beta=127.5)
    return Keyframe(
        index,
        crop.resized(*size),
        np.ascontiguousarray(cv2.resize(images.rgb[box], size, interpolation=cv2.INTER_AREA)),
        np.ascontiguousarray(cv2.resize(images.alpha[box], size, interpolation=cv2.INTER_AREA)),
        np.ascontiguousarray(cv2.resize(depth_mm, size, interpolation=cv2.INTER_NEAREST)),
        None if normals is None else np.ascontiguousarray(cv2.resize(normals, size, interpolation=cv2.INTER_AREA)),
    )
