"""Fusion: every frame's depth into one canonical, coloured surface that moves with the body."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace

import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import RESERVE, CanonicalVolume
from dancedepth.pipeline.completion import complete
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.frame_view import BodyProxy, FrameImages, FrameView, make_view
from dancedepth.pipeline.integration import integrate
from dancedepth.pipeline.keyframes import Keyframe, choose_keyframes, keyframe
from dancedepth.pipeline.lookahead import ahead
from dancedepth.pipeline.outlines import OutlineGauge
from dancedepth.pipeline.pose_refinement import refined_motion
from dancedepth.pipeline.records import (
    BodyMotion,
    FrameSource,
    GeometrySequence,
    ImageSequence,
    Observer,
    Surface,
    Tracks,
)
from dancedepth.pipeline.skirt_evidence import find_hem
from dancedepth.pipeline.surfacing import surface_from
from dancedepth.pipeline.threads import one_thread_an_operation
from jaxtyping import Float

BLURRED_WEIGHT = 0.1
"""What the most blurred frame counts, against the sharpest one's 1."""
SEEDS_PER_FRAME = 20_000
"""Canonical points around which blocks are activated, at most."""


@dataclass(frozen=True)
class _Look:
    """One frame, ready to be integrated; no view where nothing of the dancer is usable."""

    index: int
    cam_from_rest: Float[torch.Tensor, "j 4 4"]
    view: FrameView | None
    keyframe: Keyframe | None
    """Of those frames that the texture is made from."""


@dataclass(frozen=True)
class _Loaded:
    index: int
    images: FrameImages


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
    usable = [i for i in geometry.depth.indices if i in set(mattes.indices) and motion.fitted[i]]
    observer.stage_started("fusion", len(usable) * (1 + config.refine_poses))
    inputs = _Inputs(frames, tracks, mattes, geometry, body, config, observer, torch.device(device))
    surface = _fused(inputs, motion, usable)
    for _ in range(config.refine_poses):
        held = _loaded(frames, mattes, geometry, set(usable))
        motion = refined_motion(((one.index, one.images) for one in held), motion, body, surface, config)
        surface = _fused(inputs, motion, usable)
    observer.stage_finished("fusion", time.perf_counter() - started, False)
    return surface


@dataclass(frozen=True)
class _Inputs:
    """What fusion takes beside the motion."""

    frames: FrameSource
    tracks: Tracks
    mattes: ImageSequence
    geometry: GeometrySequence
    body: BodyModel
    config: FusionConfig
    observer: Observer
    device: torch.device


def _fused(inputs: _Inputs, motion: BodyMotion, usable: list[int]) -> Surface:
    body, config, device = inputs.body, inputs.config, inputs.device
    rest = motion.rest(body)
    hem = find_hem(motion, inputs.mattes, usable, body, rest)
    field = BodyField(body, rest, hem)
    volume, proxy = CanonicalVolume(field, config, device), BodyProxy(field, device)
    gauge = OutlineGauge(field.coarse, motion.camera, device)
    chosen = choose_keyframes(usable, inputs.tracks, motion, config.texture_views) if usable else set()
    kept: list[Keyframe] = []
    with (
        one_thread_an_operation(),
        ahead(_loaded(inputs.frames, inputs.mattes, inputs.geometry, set(usable), chosen)) as loaded,
        ahead(_looks(loaded, motion, proxy, config, chosen)) as looks,
    ):
        for look in looks:
            kept += [look.keyframe] if look.keyframe else []
            if look.view is not None:
                volume.activate(look.view.seeds(SEEDS_PER_FRAME), config.truncation_m, RESERVE)
                weight = max(float(inputs.tracks.sharpness[look.index]), BLURRED_WEIGHT)
                integrate(volume, look.view, look.cam_from_rest, weight)
                gauge.add(look.view.matte, look.view.body, look.view.camera, look.cam_from_rest, weight)
            inputs.observer.advanced()
    if not volume.block_count:
        raise PersonError("no frame shows the dancer's surface", "fusion", "Check masks/ and depth/ of the run.")
    surface = surface_from(volume, complete(volume, field, gauge.outline(), config), field, motion, kept, config)
    return replace(surface, skirt_m=None if hem is None else hem.crotch_z - hem.z)


def _looks(
    loaded: Iterable[_Loaded], motion: BodyMotion, proxy: BodyProxy, config: FusionConfig, chosen: set[int]
) -> Iterator[_Look]:
    for frame in loaded:
        transforms = torch.as_tensor(motion.cam_from_rest[frame.index], dtype=torch.float32, device=proxy.points.device)
        view = make_view(frame.images, motion.camera, transforms, proxy, config.voxel_m)
        picture = keyframe(frame.index, frame.images, motion.camera) if frame.index in chosen else None
        yield _Look(frame.index, transforms, view, picture)


def _loaded(
    frames: FrameSource,
    mattes: ImageSequence,
    geometry: GeometrySequence,
    usable: set[int],
    keyframes: Set[int] = frozenset(),
) -> Iterator[_Loaded]:
    """With normals for the keyframes, if networks made them: those of the fitted body say nothing of clothes."""
    for frame in frames:
        if frame.index in usable:
            sure = None if geometry.confidence is None else geometry.confidence.load(frame.index)
            depth_m, alpha = geometry.depth.load(frame.index), mattes.load(frame.index)
            learned = sure is not None and frame.index in keyframes
            normals = geometry.normals.load(frame.index) if learned else None
            yield _Loaded(frame.index, FrameImages(frame.rgb, alpha, depth_m, sure, normals))
