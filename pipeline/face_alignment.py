"""The face of a keyframe, laid onto the face of the surface: eyes, nose and mouth where their relief is.

A fitted head is off by a centimetre or two in each frame, which is little for a body and much for a mouth. What the
network for heads sees of the face's relief is held against the surface's own, by normalised cross-correlation of the
normals' fine part, and the head moves across the line of sight to where they agree.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.color_fill import Head
from dancedepth.pipeline.keyframes import Keyframe
from dancedepth.pipeline.surface import vertex_normals
from dancedepth.pipeline.vertex_colors import pixels_of
from jaxtyping import Bool, Float, Int

FACE_PX = 72
"""Faces are compared this wide, about 2 mm a pixel."""
REACH = 0.22
"""How far a face may be off, in its widths: 3 cm."""
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
"""Of correlation, for a face that is off by all of `REACH`."""


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
    if frame.normals is None:
        return posed
    at = pixels_of(posed[face], frame.camera)
    wide_px = float(np.ptp(at[:, 0])) if len(at) else 0.0
    if wide_px < 1 or float(posed[face, 2].min()) <= 0:
        return posed
    scale, reach = FACE_PX / wide_px, round(REACH * FACE_PX)
    corner = at.min(axis=0) - reach / scale
    width, height = (int(side) for side in np.ceil(np.ptp(at, axis=0) * scale) + 2 * reach)
    seen, known = _seen(frame, corner, scale, (width, height))
    drawn, part = _drawn(frame, posed, faces, face, corner, scale, (width, height))
    inner = slice(reach, height - reach), slice(reach, width - reach)
    if part[inner].mean() < SEEN or known[part > 0].mean() < CUT_OUT:
        return posed
    alike = cv2.matchTemplate(
        _fine(seen, known), _fine(drawn, part)[inner], cv2.TM_CCORR_NORMED, mask=np.repeat(part[inner][..., None], 2, 2)
    )
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1] / reach
    score = np.nan_to_num(alike, nan=-1.0, posinf=-1.0) - FAR_COST * (down**2 + across**2)
    row, column = np.unravel_index(score.argmax(), score.shape)
    if alike[row, column] < ALIKE or score[row, column] < score[reach, reach] + GAIN:
        return posed
    moved_px = np.array([column - reach, row - reach]) / scale
    moved = posed.copy()
    moved[:, :2] += (head.share[:, None] * moved_px * posed[:, 2:] / frame.camera.focal_px).astype(posed.dtype)
    return moved


def _seen(
    frame: Keyframe, corner: Float[np.ndarray, "2"], scale: float, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The networks' normals in a window, and where there are any."""
    to_window = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    encoded, alpha = (cv2.warpAffine(image, to_window, size) for image in (frame.normals, frame.alpha))
    return encoded.astype(np.float32) / np.float32(127.5) - 1, (alpha > OPAQUE).astype(np.float32)


def _drawn(
    frame: Keyframe,
    posed: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    face: Bool[np.ndarray, "v"],
    corner: Float[np.ndarray, "2"],
    scale: float,
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """The surface's normals in the window, and where they are the face's."""
    left, top = corner
    own = frame.camera
    camera = Camera(own.focal_px * scale, (own.cx - left) * scale, (own.cy - top) * scale, *size)
    triangles = torch.from_numpy(faces)
    raster = rasterize(torch.from_numpy(np.ascontiguousarray(posed, np.float32)), triangles, camera, front_only=True)
    values = np.column_stack((vertex_normals(posed, faces), face)).astype(np.float32)
    found = raster.interpolate(triangles, torch.from_numpy(values)).numpy()
    return found[..., :3], (found[..., 3] > 0.5).astype(np.float32)


def _fine(normals: Float[np.ndarray, "h w 3"], known: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    """What of x and y is finer than `FINE_PX`."""
    flat = normals[..., :2] * known[..., None]
    mass = cv2.GaussianBlur(known, (0, 0), FINE_PX)
    broad = cv2.GaussianBlur(flat, (0, 0), FINE_PX) / np.maximum(mass, 1e-3)[..., None]
    result: np.ndarray = ((flat - broad) * known[..., None]).astype(np.float32)
    return result
