"""Which camera the clip was taken with, as far as anybody knows."""

from __future__ import annotations

import math

from dancedepth.models.geometry import DEFAULT_FOCAL_PER_LONG_SIDE, Camera, focal_from_fov
from dancedepth.pipeline.config import CameraConfig
from dancedepth.pipeline.manifest import CameraRecord
from dancedepth.pipeline.records import VideoInfo


def choose_camera(config: CameraConfig, info: VideoInfo) -> Camera:
    """The option's focal length or field of view, else the clip's metadata, else a phone's usual lens; centred."""
    return Camera.centred(_focal(config, info)[0], info.width, info.height)


def camera_record(config: CameraConfig, info: VideoInfo) -> CameraRecord:
    """The same camera for the manifest, with what it is known from."""
    focal_px, source = _focal(config, info)
    return CameraRecord(focal_px, info.width / 2, info.height / 2, source)


def _focal(config: CameraConfig, info: VideoInfo) -> tuple[float, str]:
    long_side = max(info.width, info.height)
    if config.focal_px is not None:
        return config.focal_px, "--focal-px"
    if config.fov_deg is not None:
        return focal_from_fov(math.radians(config.fov_deg), long_side), "--fov"
    if info.focal_px is not None:
        return info.focal_px, "the video's metadata"
    return DEFAULT_FOCAL_PER_LONG_SIDE * long_side, f"assumed: {DEFAULT_FOCAL_PER_LONG_SIDE} x the longer side"
