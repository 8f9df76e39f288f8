"""The face of a keyframe, laid onto the face of the surface: eyes, nose and mouth where their relief is.

A fitted head is off by a centimetre or two in each frame, which is little for a body and much for a mouth. What the
network for heads sees of the face's relief is held against the surface's own, by normalised cross-correlation of the
normals' fine part, and the head moves across the line of sight to where they agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.color_fill import Head
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.surface import vertex_normals
from dancedepth.pipeline.vertex_colors import pixels_of
from jaxtyping import Bool, Float, Int, UInt8

FACE_PX = 72
"""Faces are compared this wide, about 2 mm a pixel."""
REACH_PX = 16
"""How far a face may be off: 3 cm."""
TALLEST = 4
"""Of a face's height over its width; a narrower one is no face."""
FINE_PX = 7.0
"""Relief that is wider than this says how a face is turned, not where it is."""
SEEN = 0.35
"""Share of its box that a face must fill: less is a profile."""
CUT_OUT = 0.8
"""Share of it that must lie in the matte."""
OPAQUE = 127
ALIKE = 0.3
"""Correlation from which two faces are taken for the same,"""
GAIN = 0.04
"""and by which they must agree better than where they were."""
FAR_COST = 0.15
"""Of correlation, for a face that is off by all of `REACH_PX`."""


def face_aligned(
    frame: Keyframe,
    posed: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    head: Head,
    rest: Float[np.ndarray, "v 3"],
) -> Float[np.ndarray, "v 3"]:
    """The posed vertices, those of the head moved across the line of sight; as they are where no face is seen.

    Args:
        frame: with the networks' normals, or nothing is moved.
        posed: the surface's vertices in its camera.
        faces: the surface's triangles.
        head: which of them are the head's.
        rest: the vertices at rest.
    """
    face = head.front(rest)
    if frame.normals is None or not face.any() or float(posed[face, 2].min()) <= 0:
        return posed
    window = _window(pixels_of(posed[face], frame.camera))
    seen = _seen(frame.normals, frame.alpha, window)
    off_px = _off(seen, _drawn(frame.camera, posed, faces, face, window))
    if off_px is None:
        return posed
    moved = posed.copy()
    across = off_px / window.scale * posed[:, 2:] / frame.camera.focal_px
    moved[:, :2] += (head.share[:, None] * across).astype(posed.dtype)
    return moved


@dataclass(frozen=True)
class _Window:
    """Around a face, with `REACH_PX` on each side."""

    corner: Float[np.ndarray, "2"]
    """In the frame."""
    scale: float
    """Of its pixels, a pixel of the frame."""
    size: tuple[int, int]
    """Width and height."""


@dataclass(frozen=True)
class _Relief:
    """Normals in a window, and where they are meant."""

    normals: Float[np.ndarray, "h w 3"]
    known: Float[np.ndarray, "h w"]
    """0 or 1."""

    @property
    def fine(self) -> Float[np.ndarray, "h w 2"]:
        """What of x and y is finer than `FINE_PX`."""
        flat = self.normals[..., :2] * self.known[..., None]
        mass = cv2.GaussianBlur(self.known, (0, 0), FINE_PX)
        broad = cv2.GaussianBlur(flat, (0, 0), FINE_PX) / np.maximum(mass, 1e-3)[..., None]
        result: np.ndarray = ((flat - broad) * self.known[..., None]).astype(np.float32)
        return result


def _window(at_px: Float[np.ndarray, "n 2"]) -> _Window:
    extent = np.maximum(np.ptp(at_px, axis=0), 1.0)
    scale = FACE_PX / float(extent[0])
    width, height = (int(side) for side in np.ceil(extent * scale).clip(max=TALLEST * FACE_PX) + 2 * REACH_PX)
    return _Window(at_px.min(axis=0) - REACH_PX / scale, scale, (width, height))


def _seen(normals: UInt8[np.ndarray, "n m 3"], alpha: UInt8[np.ndarray, "n m"], window: _Window) -> _Relief:
    """The networks' normals."""
    (x, y), scale = window.corner, window.scale
    to_window = np.array([[scale, 0, -scale * x], [0, scale, -scale * y]])
    encoded, matte = (cv2.warpAffine(image, to_window, window.size) for image in (normals, alpha))
    return _Relief(encoded.astype(np.float32) / np.float32(127.5) - 1, (matte > OPAQUE).astype(np.float32))


def _drawn(
    own: Camera,
    posed: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    face: Bool[np.ndarray, "v"],
    window: _Window,
) -> _Relief:
    """The surface's normals, where they are the face's."""
    (x, y), scale = window.corner, window.scale
    camera = Camera(own.focal_px * scale, (own.cx - x) * scale, (own.cy - y) * scale, *window.size)
    triangles = torch.from_numpy(faces)
    raster = rasterize(torch.from_numpy(np.ascontiguousarray(posed, np.float32)), triangles, camera, front_only=True)
    values = np.column_stack((vertex_normals(posed, faces), face)).astype(np.float32)
    found = raster.interpolate(triangles, torch.from_numpy(values)).numpy()
    return _Relief(found[..., :3], (found[..., 3] > 0.5).astype(np.float32))


def _off(seen: _Relief, drawn: _Relief) -> Float[np.ndarray, "2"] | None:
    """How far what is seen lies from what is drawn, across and down; None where nothing better is found."""
    height, width = drawn.known.shape
    inner = slice(REACH_PX, height - REACH_PX), slice(REACH_PX, width - REACH_PX)
    part = drawn.known[inner]
    if part.mean() < SEEN or seen.known[drawn.known > 0].mean() < CUT_OUT:
        return None
    both = np.repeat(part[..., None], 2, axis=2)
    alike = cv2.matchTemplate(seen.fine, drawn.fine[inner], cv2.TM_CCORR_NORMED, mask=both)
    alike = np.nan_to_num(alike, nan=-1.0, posinf=-1.0, neginf=-1.0)
    down, across = np.mgrid[-REACH_PX : REACH_PX + 1, -REACH_PX : REACH_PX + 1] / REACH_PX
    score = alike - FAR_COST * (down**2 + across**2)
    row, column = np.unravel_index(score.argmax(), score.shape)
    if alike[row, column] < ALIKE or score[row, column] < score[REACH_PX, REACH_PX] + GAIN:
        return None
    return np.array([column - REACH_PX, row - REACH_PX], np.float64)
