"""The frame that the face is taken from: eyes and mouth of several frames never meet."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from dancedepth.pipeline.color_fill import Head
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.vertex_colors import VertexLooks, pixels_of
from jaxtyping import Bool, Float

SEEN_WEIGHT = 0.4
"""Of a vertex that a portrait shows well."""
FACE_PX = 64
"""Faces are compared at this size, about 3 mm a pixel: what is sharp there is sharp in the texture."""
HANDS_NEAR = 0.15
"""A hand this near to the face, in its widths, may lie on it, wherever exactly the fit put it."""
COVERED = 0.05
"""What a face behind a hand counts."""


@dataclass(frozen=True)
class Portrait:
    """The bare face, and the keyframe that paints it."""

    face: Bool[np.ndarray, "v"]
    frame: int


def choose_portrait(
    vertices: Float[np.ndarray, "v 3"],
    head: Head | None,
    hands: Bool[np.ndarray, "v"],
    looks: VertexLooks,
    keyframes: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
) -> Portrait | None:
    """The keyframe that sees both halves of the face well, sharply, and without a hand before it.

    Args:
        vertices: at rest.
        head: None without one.
        hands: which vertices are theirs.
        posed: the vertices in each keyframe's camera.
    """
    if head is None or not keyframes:
        return None
    face = head.own & (vertices[:, 1] < head.middle_y)
    left = vertices[:, 0] > np.median(vertices[face, 0])
    seen = np.clip(looks.weight / SEEN_WEIGHT, 0, 1)
    halves = np.minimum(seen[:, face & left].mean(axis=1), seen[:, face & ~left].mean(axis=1))
    scores = [
        half * _detail(frame, at[face]) * (COVERED if _hand_before(frame, at[face], at[hands]) else 1)
        for half, frame, at in zip(halves, keyframes, posed, strict=True)
    ]
    return Portrait(face, int(np.argmax(scores))) if max(scores) > 0 else None


def _detail(frame: Keyframe, face: Float[np.ndarray, "f 3"]) -> float:
    """Strength of the picture's second differences over the face, all faces reduced to one size."""
    (left, top), (right, bottom) = _box(frame, face)
    crop = frame.rgb[max(int(top), 0) : int(bottom) + 1, max(int(left), 0) : int(right) + 1]
    if min(crop.shape[:2]) < 2:
        return 0.0
    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small.astype(np.float32), cv2.CV_32F).std())


def _hand_before(frame: Keyframe, face: Float[np.ndarray, "f 3"], hands: Float[np.ndarray, "h 3"]) -> bool:
    low, high = _box(frame, face)
    margin = HANDS_NEAR * (high - low)
    at = pixels_of(hands, frame.camera)
    return bool(((at > low - margin) & (at < high + margin)).all(axis=1).any())


def _box(frame: Keyframe, face: Float[np.ndarray, "f 3"]) -> Float[np.ndarray, "2 2"]:
    at = pixels_of(face, frame.camera)
    return np.stack((at.min(axis=0), at.max(axis=0)))
