"""What in the footage will hurt the reconstruction, said in plain words."""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.records import ImageSequence, Track, Tracks, VideoInfo
from jaxtyping import Bool

SURE = 0.3
"""Keypoints above this confidence were seen."""
UNSURE_MEAN = 0.5
"""Below this mean confidence over the body the fit is guesswork."""
OFTEN = 0.2
"""Share of the dancer's frames from which on something is worth a warning."""
EDGE_SHARE = 0.01
"""A box within this share of the image's height of its edge ends there."""
FOOT_ROOM = 0.035
"""Sole below the ankle, over the box's height: an ankle nearer to the image's edge than this has lost its foot."""
SMALL_PX = 250
"""A person less high than this shows no folds, and hands and feet of a few pixels."""
BLURRED_SHARPNESS = 0.3
"""Variance of the Laplacian over that of the clip's sharp frames, its 90th percentile."""
MOVING_SHIFT = 0.004
"""Background motion a frame, over the diagonal: 9 px of a 1080x1920 image."""
COMPANION_SHARE = 0.3
"""Somebody is in the picture too if seen in this share of the frames."""


def input_warnings(info: VideoInfo, tracks: Tracks, mattes: ImageSequence | None = None) -> list[str]:
    """Findings for the run's report, none for good footage; `mattes` are counted, not looked at."""
    dancer = tracks.dancer
    findings = [
        _cut_off("feet are", _feet_cut(tracks), dancer, "stand further from the camera, so that the feet stay in view"),
        _cut_off("head is", _head_cut(tracks), dancer, "leave some room above the head"),
        _small(tracks),
        _blurred(tracks),
        _company(tracks),
        _moving_camera(tracks),
        _unsure(dancer),
        _lost(tracks, mattes),
        _slow(info),
    ]
    return [finding for finding in findings if finding]


def _cut_off(what: str, cut: Bool[np.ndarray, "n"], dancer: Track, advice: str) -> str | None:
    share = cut.sum() / max(dancer.found.sum(), 1)
    return f"the {what} cut off in {share:.0%} of the frames: {advice}" if share >= OFTEN else None


def _feet_cut(tracks: Tracks) -> Bool[np.ndarray, "n"]:
    """The box ends at the lower edge and no ankle is clear of it: it takes the foot with it."""
    dancer, height = tracks.dancer, tracks.frame_size[1]
    at_edge = _number(dancer.boxes_px[:, 3], -1.0) >= height * (1 - EDGE_SHARE)
    room = FOOT_ROOM * _number(dancer.boxes_px[:, 3] - dancer.boxes_px[:, 1], 0.0)
    ankles = _number(dancer.keypoints_px[:, 15:17, 1], np.inf)
    clear = (dancer.confidence[:, 15:17] > SURE) & (ankles + room[:, None] < height)
    return dancer.found & at_edge & ~clear.all(axis=1)


def _head_cut(tracks: Tracks) -> Bool[np.ndarray, "n"]:
    """The box ends at the upper edge, and nothing of the head is seen a head's half below it."""
    dancer = tracks.dancer
    box_height = _number(dancer.boxes_px[:, 3] - dancer.boxes_px[:, 1], 0.0)
    at_edge = _number(dancer.boxes_px[:, 1], np.inf) <= tracks.frame_size[1] * EDGE_SHARE
    face = _number(dancer.keypoints_px[:, :5, 1], -1.0)
    seen = (dancer.confidence[:, :5] > SURE) & (face > 0.05 * box_height[:, None])
    return dancer.found & at_edge & ~seen.any(axis=1)


def _number(values: np.ndarray, missing: float) -> np.ndarray:
    return np.where(np.isfinite(values), values, missing)


def _small(tracks: Tracks) -> str | None:
    boxes = tracks.dancer.boxes_px[tracks.dancer.found]
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    if height >= SMALL_PX:
        return None
    return f"the dancer is only {height:.0f} pixels high: film closer or with a higher resolution"


def _blurred(tracks: Tracks) -> str | None:
    sharpness = tracks.sharpness[tracks.dancer.found]
    share = float((sharpness < BLURRED_SHARPNESS * np.quantile(sharpness, 0.9)).mean())
    if share < OFTEN:
        return None
    return f"the dancer is blurred in {share:.0%} of the frames: more light or a faster shutter helps"


def _company(tracks: Tracks) -> str | None:
    count = len(tracks.times_s)
    ids = [p.track_id for p in tracks.people if p.found.sum() >= COMPANION_SHARE * count and p is not tracks.dancer]
    if not ids:
        return None
    others = ", ".join(map(str, ids))
    return (
        f"{len(ids) + 1} people are in the picture; person {tracks.dancer.track_id} was reconstructed "
        f"(--person chooses another: {others})"
    )


def camera_stands_still(tracks: Tracks) -> bool:
    """Whether the background hardly moves."""
    shift = tracks.camera_shift[1:]
    return not len(shift) or float((shift > MOVING_SHIFT).mean()) < OFTEN


def _moving_camera(tracks: Tracks) -> str | None:
    if camera_stands_still(tracks):
        return None
    return "the camera moves: the dancer's path mixes with it; a tripod helps"


def _unsure(dancer: Track) -> str | None:
    means = dancer.confidence[dancer.found][:, 5:].mean(axis=1)
    share = float((means < UNSURE_MEAN).mean())
    if share < OFTEN:
        return None
    return f"the body's joints were hard to see in {share:.0%} of the frames: look at the result with care"


def _lost(tracks: Tracks, mattes: ImageSequence | None) -> str | None:
    count = len(tracks.times_s)
    kept = int(tracks.dancer.found.sum()) if mattes is None else len(mattes.indices)
    if count - kept < max(2, 0.02 * count):
        return None
    return f"the dancer was lost in {count - kept} of {count} frames, which are not used"


def _slow(info: VideoInfo) -> str | None:
    return f"the video has only {info.fps:g} frames a second: fast moves are missed" if info.fps < 10 else None
