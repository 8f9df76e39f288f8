"""What a finished run says of itself: which frames it used and why not the others, scale, fit, and findings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dancedepth.pipeline.frames import VideoFrames
from dancedepth.pipeline.lens import camera_record
from dancedepth.pipeline.manifest import FrameRecord, Manifest, PersonRecord, ScaleRecord
from dancedepth.pipeline.quality import input_warnings
from dancedepth.pipeline.records import BodyMotion, GeometrySequence, ImageSequence, Rig, Tracks
from dancedepth.pipeline.smoothness import mean_acceleration


def account_for(
    manifest: Manifest,
    frames: VideoFrames,
    tracks: Tracks,
    mattes: ImageSequence,
    motion: BodyMotion,
    geometry: GeometrySequence,
    rig: Rig | None = None,
) -> Manifest:
    """The manifest of the finished run; without a rig where the run has none."""
    findings = (*manifest.warnings, *frames.warnings, *input_warnings(frames.info, tracks, mattes))
    height_given = manifest.config.body_motion.height_m is not None
    return replace(
        manifest,
        finished=True,
        frames=_frame_records(tracks, mattes, motion, geometry),
        camera=camera_record(manifest.config.camera, frames.info),
        scale=ScaleRecord("--height" if height_given else "the body prior's height", motion.height_m),
        person=PersonRecord(tracks.dancer.track_id),
        warnings=tuple(dict.fromkeys(findings)),
        quality=replace(
            manifest.quality,
            reprojection_error_px=_mean(motion.reprojection_error_px[motion.fitted]),
            smoothness=mean_acceleration(motion),
            foot_sliding_m_s=rig.foot_sliding_m_s if rig else None,
            foot_sliding_fitted_m_s=rig.foot_sliding_fitted_m_s if rig else None,
        ),
    )


def _frame_records(
    tracks: Tracks, mattes: ImageSequence, motion: BodyMotion, geometry: GeometrySequence
) -> tuple[FrameRecord, ...]:
    with_matte, with_depth = set(mattes.indices), set(geometry.depth.indices)
    records = []
    for index, time_s in enumerate(tracks.times_s):
        why_not = None
        if not tracks.dancer.found[index]:
            why_not = "the dancer was not found"
        elif index not in with_matte:
            why_not = "the dancer could not be cut out"
        elif not motion.fitted[index]:
            why_not = "too little of the body was seen to fit it"
        elif index not in with_depth:
            why_not = "the fitted body lies outside the dancer's outline"
        records.append(FrameRecord(index, float(time_s), why_not is None, why_not))
    return tuple(records)


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
