"""The frame that the face is taken from: eyes and mouth of several frames never meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from dancedepth.pipeline.color_fill import Head
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.surface import vertex_normals
from dancedepth.pipeline.vertex_colors import VertexLooks, pixels_of, risen
from dancedepth.pipeline.volume_sampling import Samples
from jaxtyping import Bool, Float, Int

SEEN_WEIGHT = 0.4
"""Of a vertex that a portrait shows well."""
FACE_PX = 64
"""Faces are compared at this size, about 3 mm a pixel: what is sharp there is sharp in the texture."""
HANDS_NEAR = 0.15
"""A hand this near to the face, in its widths, may lie on it, wherever exactly the fit put it."""
FACING = 0.1, 0.4
"""Between these cosines to the ray a portrait's vertices begin to count."""
OPAQUE = 127
EDGE_M = 0.01, 0.02
"""And between these distances from the matte's edge: nearer, the background shines through."""
EYE_M = 0.02, 0.012
"""Half the width and height of what is looked at around the middle of an eye."""
EYE_PX = 40, 24
"""Eyes are compared at this size, a millimetre a pixel."""
LASHES_PX = 2.5
"""A blur as wide as this leaves little of a line of lashes, and the iris."""
BRIGHT = 80
"""Percentile of the grey values around an eye that stands for its skin."""
COVERED = 0.05
"""What a face behind a hand counts."""


@dataclass(frozen=True)
class Portrait:
    """The bare face, and the keyframe that paints it."""

    face: Bool[np.ndarray, "v"]
    frame: int
    weight: Float[np.ndarray, "v"]
    """0-1, how well that frame sees each vertex, wherever depth puts the face: it is as far off as in other frames, but
    all of it alike.
    """

    def alone(self, looks: VertexLooks, samples: Samples) -> tuple[VertexLooks, Samples]:
        """What was seen, without what any other frame saw of the face: of turned heads that is an eye on a temple."""
        others = np.arange(len(looks.weight)) != self.frame
        weight = np.where(others[:, None] & self.face, 0, looks.weight)
        weight[self.frame, self.face] = self.weight[self.face]
        mean = np.where(self.face, 0, samples.color_weight)
        return replace(looks, weight=weight), replace(samples, color_weight=mean)


def choose_portrait(
    vertices: Float[np.ndarray, "v 3"],
    head: Head | None,
    hands: Bool[np.ndarray, "v"],
    looks: VertexLooks,
    keyframes: list[Keyframe],
    posed: list[Float[np.ndarray, "v 3"]],
    faces: Int[np.ndarray, "f 3"],
) -> Portrait | None:
    """The keyframe that sees both halves of the face well, sharply, with open eyes, and without a hand before it.

    Args:
        vertices: at rest.
        head: None without one.
        hands: which vertices are theirs.
        posed: the vertices in each keyframe's camera.
        faces: the surface's triangles.
    """
    if head is None or not keyframes:
        return None
    face = head.front(vertices)
    left = vertices[:, 0] > np.median(vertices[face, 0])
    seen = np.clip(looks.weight / SEEN_WEIGHT, 0, 1)
    halves = np.minimum(seen[:, face & left].mean(axis=1), seen[:, face & ~left].mean(axis=1))
    eyes = _eye_vertices(vertices, face, head)
    scores = [
        half
        * _detail(frame, at[face])
        * _openness(frame, [at[eye] for eye in eyes]) ** 2
        * (COVERED if _hand_before(frame, at[face], at[hands]) else 1)
        for half, frame, at in zip(halves, keyframes, posed, strict=True)
    ]
    if max(scores) <= 0:
        return None
    best = int(np.argmax(scores))
    return Portrait(face, best, _seen(keyframes[best], posed[best], faces))


def _seen(frame: Keyframe, posed: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "v"]:
    """1 where a vertex faces the frame and lies in its matte, less towards the edges of both."""
    facing = -np.einsum("vd,vd->v", vertex_normals(posed, faces), posed) / np.linalg.norm(posed, axis=1)
    column, row = np.floor(pixels_of(posed, frame.camera)).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < frame.camera.width) & (row < frame.camera.height)
    within = cv2.distanceTransform((frame.alpha > OPAQUE).astype(np.uint8), cv2.DIST_L2, 3)
    depth_m = float(np.median(posed[:, 2]))
    edge_m = within[np.where(inside, row, 0), np.where(inside, column, 0)] * inside * depth_m / frame.camera.focal_px
    return risen(facing, FACING) * risen(edge_m, EDGE_M)


def _detail(frame: Keyframe, face: Float[np.ndarray, "f 3"]) -> float:
    """Strength of the picture's second differences over the face, all faces reduced to one size."""
    (left, top), (right, bottom) = _box(frame, face)
    crop = frame.rgb[max(int(top), 0) : int(bottom) + 1, max(int(left), 0) : int(right) + 1]
    if min(crop.shape[:2]) < 2:
        return 0.0
    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small.astype(np.float32), cv2.CV_32F).std())


def _eye_vertices(
    vertices: Float[np.ndarray, "v 3"], face: Bool[np.ndarray, "v"], head: Head
) -> list[Int[np.ndarray, "n"]]:
    """The vertices of the face that lie before each eye's middle; none if nothing is known of eyes."""
    if head.eyes is None:
        return []
    near = [np.linalg.norm(vertices[:, [0, 2]] - eye[[0, 2]], axis=1) < EYE_M[1] for eye in head.eyes]
    found = [np.flatnonzero(face & one) for one in near]
    return found if all(len(one) for one in found) else []


def _openness(frame: Keyframe, eyes: list[Float[np.ndarray, "n 3"]]) -> float:
    """How dark the darker part of the less open eye is against its skin, 0-1; 1 if nothing is known of eyes."""
    dark = [1.0]
    for eye in eyes:
        (x, y), depth_m = pixels_of(eye, frame.camera).mean(axis=0), float(eye[:, 2].mean())
        wide, high = (half * frame.camera.focal_px / depth_m for half in EYE_M)
        crop = frame.rgb[max(int(y - high), 0) : int(y + high) + 1, max(int(x - wide), 0) : int(x + wide) + 1]
        if 0 in crop.shape:
            return 0.0
        grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), EYE_PX).astype(np.float32)
        skin = max(float(np.percentile(grey, BRIGHT)), 1.0)
        dark.append(1 - float(cv2.GaussianBlur(grey, (0, 0), LASHES_PX).min()) / skin)
    return max(min(dark), 0.0)


def _hand_before(frame: Keyframe, face: Float[np.ndarray, "f 3"], hands: Float[np.ndarray, "h 3"]) -> bool:
    low, high = _box(frame, face)
    margin = HANDS_NEAR * (high - low)
    at = pixels_of(hands, frame.camera)
    return bool(((at > low - margin) & (at < high + margin)).all(axis=1).any())


def _box(frame: Keyframe, face: Float[np.ndarray, "f 3"]) -> Float[np.ndarray, "2 2"]:
    at = pixels_of(face, frame.camera)
    return np.stack((at.min(axis=0), at.max(axis=0)))
