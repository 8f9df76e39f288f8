"""Fusion: every frame's depth into one canonical, coloured surface that moves with the body."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.completion import complete
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.frame_view import BodyProxy, make_view
from dancedepth.pipeline.records import (
    BodyMotion,
    Frame,
    FrameSource,
    GeometrySequence,
    ImageSequence,
    Observer,
    Surface,
    Tracks,
)
from dancedepth.pipeline.surface import surface_from
from jaxtyping import Float, UInt8

BLURRED_WEIGHT = 0.1
"""What the most blurred frame counts, against the sharpest one's 1."""
SEEDS_PER_FRAME = 20_000
"""Canonical points around which blocks are activated, at most."""


@dataclass(frozen=True)
class _Loaded:
    """One frame's images."""

    frame: Frame
    depth_m: Float[np.ndarray, "h w"]
    alpha: UInt8[np.ndarray, "h w"]


def fuse(
    frames: FrameSource,
    tracks: Tracks,
    mattes: ImageSequence,
    geometry: GeometrySequence,
    motion: BodyMotion,
    body: BodyModel,
    config: FusionConfig,
    observer: Observer,
    device: torch.device | str = "cpu",
) -> Surface:
    """Fuse all usable frames (matte, depth and a fitted body) into the surface in the rest pose.

    A truncated signed distance field around the rest body is moved into each frame by linear blend skinning and takes
    the frame's depth there (the articulated form of Curless and Levoy's integration, as in DynamicFusion and
    BodyFusion); frames are read once, one at a time, and nothing grows with their number.

    Raises:
        PersonError: no frame is usable, or nothing was seen on the body.
    """
    started = time.perf_counter()
    device = torch.device(device)
    usable = [i for i in geometry.depth.indices if i in set(mattes.indices) and motion.fitted[i]]
    observer.stage_started("fusion", len(usable))
    rest = body.scaled_to_height(body.rest(torch.as_tensor(motion.phenotype).to(body.device)), motion.height_m)
    field = BodyField(body, rest)
    volume, proxy = CanonicalVolume(field, config, device), BodyProxy(field, device)
    for loaded in _loaded(frames, mattes, geometry, set(usable)):
        index = loaded.frame.index
        cam_from_rest = torch.as_tensor(motion.cam_from_rest[index], dtype=torch.float32, device=device)
        view = make_view(
            loaded.frame.rgb, loaded.alpha, loaded.depth_m, motion.camera, cam_from_rest, proxy, config.voxel_m
        )
        if view is not None:
            volume.activate(_thinned(view.seeds), config.truncation_m)
            volume.integrate(view, cam_from_rest, max(float(tracks.sharpness[index]), BLURRED_WEIGHT))
        observer.advanced()
    if not volume.block_count:
        raise PersonError("no frame shows the dancer's surface", "fusion", "Check masks/ and depth/ of the run.")
    surface = surface_from(volume, complete(volume, field, config), field)
    observer.stage_finished("fusion", time.perf_counter() - started, False)
    return surface


def _thinned(points: torch.Tensor) -> torch.Tensor:
    return points[:: max(1, len(points) // SEEDS_PER_FRAME)]


def _loaded(
    frames: FrameSource, mattes: ImageSequence, geometry: GeometrySequence, usable: set[int]
) -> Iterator[_Loaded]:
    """The usable frames with their images; the next one is read while this one is used."""

    def load(frame: Frame) -> _Loaded:
        return _Loaded(frame, geometry.depth.load(frame.index), mattes.load(frame.index))

    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for frame in frames:
            if frame.index not in usable:
                continue
            coming = reader.submit(load, frame)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
