"""What one detection looks like: how sharp it is, what colours it wears; and how far the background moved."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from dancedepth.models.pose import Detection
from jaxtyping import Float, UInt8

CROP_HEIGHT_PX = 256
"""Standard size of a person for sharpness, so that near and far frames compare."""
LEAST_CONFIDENCE = 0.3
"""Keypoints below this do not say where clothes are."""
LIGHTNESS_EDGES = (51, 102, 153, 204)
CHROMA_EDGES = (112, 122, 134, 146, 160)
"""Bins of CIELAB as OpenCV scales it (neutral at 128); clothes and skin crowd around neutral: bins are finer there."""
BINS = (len(LIGHTNESS_EDGES) + 1) * (len(CHROMA_EDGES) + 1) ** 2
BACKGROUND_SIDE_PX = 320
"""The longer side at which the background is followed."""
LEAST_POINTS = 12
"""With fewer background points than this the camera's motion is unknown, and taken as none."""
TORSO = (5, 6, 11, 12)
LIMBS = ((11, 13), (13, 15), (12, 14), (14, 16))
HEAD = ((0, 1), (0, 2), (1, 3), (2, 4), (3, 4))


@dataclass(frozen=True)
class Glimpse:
    """One detection and what the picture showed there."""

    frame: int
    detection: Detection
    colours: Float[np.ndarray, "3 b"]
    """Histograms of torso, legs and head, each summing to 1, or 0 where not seen."""
    sharpness: float
    """Variance of the Laplacian at standard size; compares within a clip."""


def glimpse(frame: int, rgb: UInt8[np.ndarray, "h w 3"], detection: Detection) -> Glimpse:
    """Measure one detection in its frame."""
    left, top, right, bottom = _inside(detection.box_px, rgb)
    crop = rgb[top:bottom, left:right]
    scale = CROP_HEIGHT_PX / crop.shape[0]
    size = (max(8, round(crop.shape[1] * scale)), CROP_HEIGHT_PX)
    standard = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    sharpness = float(cv2.Laplacian(cv2.cvtColor(standard, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())
    half = cv2.resize(standard, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
    points = (detection.keypoints_px - (left, top)) * (half.shape[1] / crop.shape[1], half.shape[0] / crop.shape[0])
    return Glimpse(frame, detection, _colours(half, points, detection.confidence), sharpness)


def _inside(box_px: Float[np.ndarray, "4"], rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[int, int, int, int]:
    height, width = rgb.shape[:2]
    left, top = int(np.clip(box_px[0], 0, width - 2)), int(np.clip(box_px[1], 0, height - 2))
    right, bottom = int(np.clip(box_px[2], left + 2, width)), int(np.clip(box_px[3], top + 2, height))
    return left, top, right, bottom


def _colours(
    rgb: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "17 2"], confidence: Float[np.ndarray, "17"]
) -> Float[np.ndarray, "3 b"]:
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    light = np.digitize(lab[..., 0], LIGHTNESS_EDGES)
    a, b = np.digitize(lab[..., 1], CHROMA_EDGES), np.digitize(lab[..., 2], CHROMA_EDGES)
    bins = (light * (len(CHROMA_EDGES) + 1) + a) * (len(CHROMA_EDGES) + 1) + b
    sure = confidence > LEAST_CONFIDENCE
    torso = _torso_samples(points) if sure[list(TORSO)].all() else np.empty((0, 2))
    legs = _bone_samples(points, sure, LIMBS)
    head = _bone_samples(points, sure, HEAD)
    return np.stack([_histogram(bins, samples) for samples in (torso, legs, head)])


def _torso_samples(points: Float[np.ndarray, "17 2"]) -> Float[np.ndarray, "n 2"]:
    """A grid over the quadrilateral of shoulders and hips, a little inside it."""
    across, down = (grid[..., None] for grid in np.meshgrid(np.linspace(0.1, 0.9, 9), np.linspace(0.1, 0.9, 12)))
    left_shoulder, right_shoulder, left_hip, right_hip = points[list(TORSO)]
    upper = left_shoulder * (1 - across) + right_shoulder * across
    lower = left_hip * (1 - across) + right_hip * across
    return (upper * (1 - down) + lower * down).reshape(-1, 2)


def _bone_samples(
    points: Float[np.ndarray, "17 2"], sure: np.ndarray, bones: tuple[tuple[int, int], ...]
) -> Float[np.ndarray, "n 2"]:
    steps = np.linspace(0.1, 0.9, 14)[:, None]
    lines = [points[i] * (1 - steps) + points[j] * steps for i, j in bones if sure[i] and sure[j]]
    middle = np.concatenate(lines) if lines else np.empty((0, 2))
    return np.concatenate([middle + np.array((shift, 0)) for shift in (-2, 0, 2)])


def _histogram(bins: np.ndarray, samples: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "b"]:
    height, width = bins.shape
    x, y = np.floor(samples).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    counts = np.bincount(bins[y[inside], x[inside]], minlength=BINS).astype(np.float32)
    return counts / counts.sum() if inside.sum() >= 20 else np.zeros(BINS, np.float32)


class BackgroundMotion:
    """How far the background moves from frame to frame, followed by points outside the people."""

    def __init__(self) -> None:
        self._before: UInt8[np.ndarray, "h w"] | None = None
        self._mask_before: UInt8[np.ndarray, "h w"] | None = None

    def update(self, rgb: UInt8[np.ndarray, "h w 3"], people: list[Detection]) -> float:
        """The mean shift of the image's points since the last frame, as a share of its diagonal."""
        scale = min(1.0, BACKGROUND_SIDE_PX / max(rgb.shape[:2]))
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        mask = _background(gray.shape, [person.box_px * scale for person in people])
        before, mask_before = self._before, self._mask_before
        self._before, self._mask_before = gray, mask
        if before is None or mask_before is None:
            return 0.0
        return _shift(before, gray, mask_before, mask)


def _background(shape: tuple[int, ...], boxes_px: list[Float[np.ndarray, "4"]]) -> UInt8[np.ndarray, "h w"]:
    mask = np.full(shape, 255, np.uint8)
    for left, top, right, bottom in boxes_px:
        margin = 0.06 * (bottom - top)
        low = np.maximum(0, np.floor((left - margin, top - margin))).astype(int)
        high = np.maximum(0, np.ceil((right + margin, bottom + margin))).astype(int)
        mask[low[1] : high[1], low[0] : high[0]] = 0
    return mask


def _shift(before: np.ndarray, now: np.ndarray, mask_before: np.ndarray, mask: np.ndarray) -> float:
    points = cv2.goodFeaturesToTrack(before, 150, 0.01, 7, mask=mask_before)
    if points is None or len(points) < LEAST_POINTS:
        return 0.0
    moved, status, _ = cv2.calcOpticalFlowPyrLK(before, now, points, np.empty_like(points), winSize=(15, 15))
    start, end = points.reshape(-1, 2), moved.reshape(-1, 2)
    height, width = now.shape
    x, y = np.floor(end).astype(int).T
    kept = (status.ravel() == 1) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    kept[kept] = mask[y[kept], x[kept]] > 0
    if kept.sum() < LEAST_POINTS:
        return 0.0
    affine, _ = cv2.estimateAffinePartial2D(start[kept], end[kept], method=cv2.RANSAC, ransacReprojThreshold=1.0)
    if affine is None:
        return 0.0
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height], [width / 2, height / 2]])
    shift = corners @ affine[:, :2].T + affine[:, 2] - corners
    return float(np.linalg.norm(shift, axis=1).mean() / np.hypot(width, height))
