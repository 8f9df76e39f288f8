"""Body motion: one body fitted to the whole clip, its shape once and its pose in every frame, in the camera's frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from dancedepth.models.articulated import ArticulatedBody, moved
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.body_fit import ClipFit, Pictures, fit_clip, silhouette_points
from dancedepth.models.evidence import (
    SCALE_BONES,
    ClipLandmarks,
    Evidence,
    from_keypoints,
    landmark_points,
    with_landmarks,
    with_part,
)
from dancedepth.models.geometry import Camera, project
from dancedepth.models.headings import search_headings
from dancedepth.models.pose_energy import Energy, FitWeights
from dancedepth.models.silhouettes import Silhouettes, silhouette, stack
from dancedepth.pipeline.close_looks import CloseLooks, Finders
from dancedepth.pipeline.config import BodyMotionConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.image_motion import find_image_motion
from dancedepth.pipeline.lookahead import meanwhile
from dancedepth.pipeline.records import BodyMotion, Frame, FrameSource, ImageSequence, Observer, Track, Tracks
from dancedepth.pipeline.threads import one_thread_an_operation
from jaxtyping import Bool, Float
from torch import Tensor

SURE = 0.3
"""Keypoints below this confidence are not used."""
VAGUE_M = 0.05
"""Observations that spread by this much say nothing of how well the fit meets what was seen."""
USUAL_WEIGHTS = FitWeights()
ENOUGH_KEYPOINTS = 6
"""A frame with fewer sure keypoints is interpolated, not fitted."""


def fit_body(
    frames: FrameSource,
    tracks: Tracks,
    mattes: ImageSequence,
    body: BodyModel,
    camera: Camera,
    finders: Finders,
    config: BodyMotionConfig,
    observer: Observer,
    weights: FitWeights = USUAL_WEIGHTS,
) -> BodyMotion:
    """Fit the body to the dancer's keypoints, landmarks, hands, face, mattes and optical flow; one pass.

    Raises:
        PersonError: no frame shows enough of the dancer.
    """
    keypoints, fitted = _keypoints(tracks, body.device)
    if not fitted.any():
        raise PersonError(
            f"no frame shows {ENOUGH_KEYPOINTS} joints of the dancer clearly",
            "",
            "Film the whole person, in more light.",
        )
    height_m = config.height_m or body.rest(torch.tensor(ADULT, device=body.device)).height_m
    points, outline_weight = silhouette_points(body)
    model = ArticulatedBody(body, height_m, points)
    energy = Energy(model, camera, weights)
    seen = with_landmarks(keypoints, _landmarks(tracks.dancer, fitted, model), camera)
    observer.stage_started("body motion", config.search_steps + config.keypoint_steps + config.matte_steps)

    close = CloseLooks(tracks.dancer, finders)

    def look(frames: Iterable[Frame]) -> Pictures:
        flow = find_image_motion(close.during(frames), tracks.dancer, mattes, body.device)
        return Pictures(_silhouettes(tracks.dancer, mattes, body.device), outline_weight, flow)

    with one_thread_an_operation(), meanwhile(look, frames) as pictures:
        first = search_headings(energy, seen, config.search_steps, observer.advanced)
        start = ClipFit(first, torch.tensor(ADULT, device=body.device))
        rough = fit_clip(energy, seen, start, steps=config.keypoint_steps, advanced=observer.advanced)
        shown = pictures.result()
        rough = replace(rough, head_scale=close.head_scale(rough, model, camera))
        for part in close.marks(model, rough.head_scale):
            seen = with_part(seen, part, model.point_names, camera)
        fit = fit_clip(energy, seen, rough, shown, config.matte_steps, observer.advanced)
    return _motion(fit, model, seen, fitted, camera, tracks, close)


def _keypoints(tracks: Tracks, device: torch.device) -> tuple[Evidence, Bool[np.ndarray, "n"]]:
    """The dancer's keypoints with confidence 0 where unsure, and the frames with enough of them."""
    dancer = tracks.dancer
    confidence = np.where((dancer.confidence >= SURE) & dancer.found[:, None], dancer.confidence, 0)
    fitted = (confidence > 0).sum(axis=1) >= ENOUGH_KEYPOINTS
    confidence[~fitted] = 0
    pixels = torch.tensor(np.nan_to_num(dancer.keypoints_px), dtype=torch.float32, device=device)
    sure = torch.tensor(confidence, dtype=torch.float32, device=device)
    times = torch.tensor(tracks.times_s, dtype=torch.float32, device=device)
    return from_keypoints(pixels, sure, times), fitted


def _landmarks(dancer: Track, fitted: Bool[np.ndarray, "n"], model: ArticulatedBody) -> ClipLandmarks:
    """The dancer's landmarks, unseen where the frame is not fitted."""
    pixels, places, visibility = (
        torch.tensor(np.nan_to_num(values), dtype=torch.float32, device=model.body.device)
        for values in (dancer.landmarks_px, dancer.landmarks_m, dancer.visibility * fitted[:, None])
    )
    ends = model.adult_points()[landmark_points(model.point_names, SCALE_BONES)]
    return ClipLandmarks(model.point_names, pixels, places, visibility, (ends[:, 0] - ends[:, 1]).norm(dim=-1))


def _silhouettes(dancer: Track, mattes: ImageSequence, device: torch.device) -> Silhouettes:
    """The dancer's silhouettes, read one matte at a time."""
    with_matte = set(mattes.indices)
    each = (
        silhouette(mattes.load(index), box) if index in with_matte and found else None
        for index, (box, found) in enumerate(zip(dancer.boxes_px, dancer.found, strict=True))
    )
    return stack(each, len(dancer.found), device)


def _motion(
    fit: ClipFit,
    model: ArticulatedBody,
    seen: Evidence,
    fitted: Bool[np.ndarray, "n"],
    camera: Camera,
    tracks: Tracks,
    close: CloseLooks,
) -> BodyMotion:
    body = model.body
    rest = body.scaled_to_height(body.with_head_scaled(body.rest(fit.phenotype), fit.head_scale), model.height_m)
    heads = rest.bone_poses[None, :, :3, 3]
    rotations = model.full_rotations(fit.pose.angles)
    close.bend_fingers(rotations, body, rest, tracks.times_s)
    cam_from_rest = body.pose(heads, rotations, fit.pose.root_cam)
    error = _reprojection_error(fit, model, seen, camera).cpu().numpy()
    return BodyMotion(
        times_s=tracks.times_s,
        fitted=fitted,
        phenotype=fit.phenotype.cpu().numpy(),
        height_m=model.height_m,
        rest_bone_poses=rest.bone_poses.cpu().numpy(),
        cam_from_rest=cam_from_rest.cpu().numpy(),
        bone_names=body.bone_names,
        camera=camera,
        reprojection_error_px=np.where(fitted, error, np.nan),
        head_scale=fit.head_scale,
        face_moves_m=close.face_moves(fit, model, camera),
    )


def _reprojection_error(fit: ClipFit, model: ArticulatedBody, seen: Evidence, camera: Camera) -> Float[Tensor, "n"]:
    moments = model.moments(fit.phenotype, fit.head_scale)
    points = moved(moments.points, model.transforms(moments, fit.pose))[:, seen.points]
    distance = (project(points, camera) - seen.pixels).norm(dim=-1)
    sure = seen.confidence * (seen.spread_m < VAGUE_M)
    return (distance * sure).sum(dim=1) / sure.sum(dim=1).clamp_min(1e-6)
