"""People and their keypoints in one frame after another: YOLO pose and ByteTrack, both of ultralytics."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from dancedepth.models.errors import WeightsError
from dancedepth.models.landmarks import Landmarks
from dancedepth.models.yolo import load_yolo, predicted
from jaxtyping import Float, UInt8

KEYPOINTS = 17
"""COCO's, in its order: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; the left one first."""
LOOKS_AT_ONCE = 2
"""Frames that a processor looks at side by side, each with a model of its own: ultralytics' take one at a time."""
TRUNK = (5, 6, 11, 12)
"""Shoulders and hips."""
SURE = 0.5
"""Keypoints from this confidence on tell how the trunk leans."""
WEAKEST_SCORE = 0.1
"""Detections below this are noise; those between it and `min_confidence` only continue a track, never start one."""
LOST_FRAMES = 30
"""A track that nobody continues for so many frames is closed."""
MATCH_COST = 0.8
"""ByteTrack's largest cost (1 - overlap x score) at which a detection continues a track."""


@dataclass(frozen=True)
class Detection:
    """One person in one frame, pixels of that frame."""

    track_id: int | None
    """The tracker's number; None if it holds this for nobody yet."""
    box_px: Float[np.ndarray, "4"]
    """Left, top, right, bottom."""
    keypoints_px: Float[np.ndarray, "17 2"]
    confidence: Float[np.ndarray, "17"]
    score: float
    landmarks: Landmarks | None = None
    """None: nobody looked for them."""

    @property
    def lean_rad(self) -> float:
        """How far the trunk leans to the right in the picture: 0 upright, or where it is not surely seen."""
        if self.confidence[list(TRUNK)].min() < SURE:
            return 0.0
        up = self.keypoints_px[list(TRUNK[:2])].mean(axis=0) - self.keypoints_px[list(TRUNK[2:])].mean(axis=0)
        return math.atan2(up[0], -up[1])


class PersonDetector(Protocol):
    """Finds people in the frames of one clip, and knows them again from frame to frame."""

    looks_at_once: int
    """So many threads may look at once."""

    def reset(self) -> None:
        """Another clip begins."""

    def look(self, rgb: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Everybody in a frame, whoever they are; in any thread and order."""

    def follow(self, people: list[Detection]) -> list[Detection]:
        """Who they are, frame after frame in order; without those that were hardly seen, and continue no track."""


class PoseDetector:
    """YOLO pose with ByteTrack.

    ByteTrack rather than BoT-SORT: both lose or swap people who cross, which `pipeline.tracks` mends from the whole
    clip with appearance, so that BoT-SORT's estimate of the camera's motion would be work for nothing.

    Raises:
        WeightsError: `weights` is broken, or no pose model with COCO's 17 keypoints.
    """

    def __init__(self, weights: Path, device: str, min_confidence: float = 0.25) -> None:
        self.looks_at_once = LOOKS_AT_ONCE if device == "cpu" and torch.get_num_threads() > 1 else 1
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.looks_at_once):
            self._idle.put(_person_model(weights, device))
        self._device, self._min_confidence = device, min_confidence
        self._tracker = self._new_tracker()

    def reset(self) -> None:
        """Another clip begins: track ids start again."""
        self._tracker = self._new_tracker()

    def detect(self, rgb: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Everybody in the next frame of the clip, known again."""
        return self.follow(self.look(rgb))

    def look(self, rgb: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Everybody in a frame, nobody known again."""
        model = self._idle.get()
        try:
            result = predicted(
                model,
                cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR),  # numpy's reversal takes 20 ms at 1080x1920, this 1
                self._device,
                conf=min(WEAKEST_SCORE, self._min_confidence),
                classes=[0],
            )
        finally:
            self._idle.put(model)
        boxes, scores = result.boxes.xyxy.cpu().numpy(), result.boxes.conf.cpu().numpy()
        keypoints = result.keypoints.data.cpu().numpy().astype(np.float64)
        return [_detection(boxes[i], keypoints[i], float(scores[i]), None) for i in range(len(boxes))]

    def follow(self, people: list[Detection]) -> list[Detection]:
        """With the tracker's numbers."""
        from ultralytics.engine.results import Boxes

        rows = [[*person.box_px, person.score, 0] for person in people]
        found = Boxes(np.array(rows, np.float32).reshape(-1, 6), (1, 1))
        ids = {int(row[-1]): int(row[4]) for row in self._tracker.update(found)}
        return [
            replace(person, track_id=ids.get(i))
            for i, person in enumerate(people)
            if i in ids or person.score >= self._min_confidence
        ]

    def _new_tracker(self) -> Any:
        from ultralytics.trackers import BYTETracker

        return BYTETracker(
            SimpleNamespace(
                track_high_thresh=self._min_confidence,
                track_low_thresh=WEAKEST_SCORE,
                new_track_thresh=self._min_confidence,
                track_buffer=LOST_FRAMES,
                match_thresh=MATCH_COST,
                fuse_score=True,
            )
        )


def _person_model(weights: Path, device: str) -> Any:
    """Ultralytics' model, if it finds COCO's keypoints."""
    model = load_yolo(weights, "pose", device)
    shape = getattr(model.model.model[-1], "kpt_shape", (0,))
    if shape[0] != KEYPOINTS:
        what = f"this pose model finds {shape[0]} keypoints, not COCO's {KEYPOINTS} of a person"
        raise WeightsError(what, str(weights), "Give a person pose model, such as yolo11n-pose")
    return model


def _detection(
    box: Float[np.ndarray, "4"], keypoints: Float[np.ndarray, "17 c"], score: float, track_id: int | None
) -> Detection:
    confidence = keypoints[:, 2] if keypoints.shape[1] > 2 else np.ones(len(keypoints))
    return Detection(track_id, box.astype(np.float64), keypoints[:, :2], confidence, score)
