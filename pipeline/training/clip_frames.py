"""A clip's frames as the networks see them, with the fitted body in each; and why the others are left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.inputs import Crop, NetworkInput, prepare_input
from dancedepth.pipeline.depths import posed_body
from dancedepth.pipeline.records import BodyMotion, FrameSource, ImageSequence, Tracks
from dancedepth.pipeline.training.seen_body import SeenBody, see_body
from dancedepth.pipeline.training.views import Sample

MOST_FRAMES = 120
"""Of one clip, spread evenly over it: each takes 4 MB while pairs are sought."""
BLURRED = 0.12
"""Sharpness below which pictures cannot be matched."""
MISFIT = 0.03
"""Reprojection error of the fitted body, over the dancer's height in the image, from which it is not believed."""
LEAST_OVERLAP = 0.6
"""Intersection of matte and body over their union; skirts and long hair leave 0.7."""


@dataclass(frozen=True)
class ClipFrame:
    """One usable frame; the sample has no truth (NaN depth)."""

    index: int
    sample: Sample
    body: SeenBody


@dataclass(frozen=True)
class ClipFrames:
    """The usable frames of a clip, and the others with the reason."""

    frames: tuple[ClipFrame, ...]
    left_out: dict[int, str]


def read_clip(
    frames: FrameSource,
    tracks: Tracks,
    mattes: ImageSequence,
    motion: BodyMotion,
    body: BodyModel,
    size: tuple[int, int],
) -> ClipFrames:
    """Go through a clip once; on the CPU, at the network's width and height."""
    left_out = _unusable(tracks, mattes, motion)
    usable = [index for index in range(len(motion.fitted)) if index not in left_out]
    chosen = {usable[i] for i in np.linspace(0, len(usable) - 1, min(MOST_FRAMES, len(usable))).round().astype(int)}
    left_out |= {index: "there are enough frames like it" for index in usable if index not in chosen}
    found = list(_frames(frames, chosen, mattes, motion, body, size))
    fits = [one for one in found if _overlap(one) >= LEAST_OVERLAP]
    seen = {one.index for one in fits}
    left_out |= {index: "the fitted body and the dancer's outline differ" for index in chosen if index not in seen}
    return ClipFrames(tuple(fits), dict(sorted(left_out.items())))


def _unusable(tracks: Tracks, mattes: ImageSequence, motion: BodyMotion) -> dict[int, str]:
    boxes, with_matte = tracks.dancer.boxes_px, set(mattes.indices)
    reasons = {}
    for index, fitted in enumerate(motion.fitted):
        tall = boxes[index, 3] - boxes[index, 1]
        if not tracks.dancer.found[index]:
            reasons[index] = "the dancer was not found"
        elif index not in with_matte:
            reasons[index] = "the dancer could not be cut out"
        elif not fitted:
            reasons[index] = "too little of the body was seen to fit it"
        elif tracks.sharpness[index] < BLURRED:
            reasons[index] = "the frame is blurred"
        elif not motion.reprojection_error_px[index] < MISFIT * tall:
            reasons[index] = "the body's joints miss the detected ones"
    return reasons


def _frames(
    frames: FrameSource,
    chosen: set[int],
    mattes: ImageSequence,
    motion: BodyMotion,
    body: BodyModel,
    size: tuple[int, int],
) -> Iterator[ClipFrame]:
    rest = body.scaled_to_height(body.rest(torch.from_numpy(motion.phenotype).to(body.device)), motion.height_m)
    for frame in frames:
        if frame.index in chosen:
            posed = posed_body(motion, frame.index, body, rest)
            alpha = torch.from_numpy(np.array(mattes.load(frame.index)))
            prepared = prepare_input(torch.tensor(frame.rgb), alpha, posed, motion.camera, size)
            if prepared is not None:
                given, crop = prepared
                seen = see_body(posed, crop.camera, given.image[0], given.alpha[0, 0])
                yield ClipFrame(frame.index, unlabelled(given, crop), seen)


def unlabelled(given: NetworkInput, crop: Crop) -> Sample:
    """A network's input as a sample without truth."""
    rgb = (given.image[0] / given.alpha[0].clamp_min(1e-3)).clamp(0, 1)
    camera = crop.camera
    return Sample(
        rgb=(rgb * 255).round().to(torch.uint8),
        alpha=(given.alpha[0] * 255).round().to(torch.uint8),
        body_offset=torch.where(given.coverage[0] > 0, given.body_offset[0], torch.nan),
        body_normals=given.body_normals[0],
        canonical=given.canonical[0],
        depth=torch.full_like(given.alpha[0], torch.nan),
        normals=torch.zeros_like(given.body_normals[0]),
        camera=torch.tensor([camera.focal_px, camera.cx, camera.cy, float(given.root_depth)]),
    )


def _overlap(frame: ClipFrame) -> float:
    inside, body = frame.sample.alpha[0] >= 128, frame.body.raster.face_index >= 0
    return float((inside & body).sum()) / max(1, int((inside | body).sum()))
