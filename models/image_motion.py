"""How a dancer's picture moves from frame to frame, as a body fit takes it: dense optical flow in a window around them.

Keypoints of neighbouring frames err apart, by centimetres; flow knows to a pixel how the surface between them moved.
A fit that must also move as the picture does has its errors averaged over time, and turns seen in perspective as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.geometry import Camera, project
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

NEXT_TO_M, BEFORE_M = 0.05, 0.08
"""A surface point is hidden by another that is seen so near to it and lies so much nearer to the camera."""
LEAST_FACING = 0.2
"""Cosine of the angle to the line of sight; what is seen more aslant tells nothing."""
FRAMES_A_CHUNK = 4
"""Frames looked at together: their tables of pairs stay in the processor's cache."""


@dataclass(frozen=True)
class ImageMotion:
    """Shifts to the next frame on a grid over a window of each of a clip's frames; of the last frame none is known."""

    shift_px: Float[Tensor, "n 2 g g"]
    """Not a number where unknown."""
    origin_px: Float[Tensor, "n 2"]
    """The window's corner."""
    size_px: Float[Tensor, "n 2"]

    def carried(self, pixels: Float[Tensor, "n s 2"], frames: int) -> Float[Tensor, "m s 2"]:
        """Where positions in all but the last `frames` frames are so many frames later; not a number where lost."""
        count = len(pixels) - frames
        arrived = pixels[:count]
        for step in range(frames):
            arrived = arrived + self._shift(arrived, step)
        return arrived

    def _shift(self, pixels: Float[Tensor, "m s 2"], first: int) -> Float[Tensor, "m s 2"]:
        """The shifts of positions in the frames from `first` on."""
        some = slice(first, first + len(pixels))
        in_window = (pixels - self.origin_px[some, None]) / self.size_px[some, None] * 2 - 1
        known = in_window.isfinite().all(dim=-1, keepdim=True) & (in_window.abs() <= 1).all(dim=-1, keepdim=True)
        grid = torch.where(known, in_window, 0.0)[:, None]
        found = grid_sample(self.shift_px[some], grid, padding_mode="border", align_corners=False)
        return torch.where(known, found[:, :, 0].transpose(1, 2), torch.nan)


@dataclass(frozen=True)
class Moves:
    """How points of a surface should move in the image within some frames."""

    frames: int
    shift_px: Float[Tensor, "m s 2"]
    """From the first m frames to those so many frames later."""
    known: Bool[Tensor, "m s"]


def moves_of(
    surface_cam: Float[Tensor, "n s 3"],
    normals_cam: Float[Tensor, "n s 3"],
    camera: Camera,
    motion: ImageMotion,
    spans: tuple[int, ...],
) -> list[Moves]:
    """What the flow says of points of the fitted surface that are seen in both frames, for each number of frames."""
    pixels, seen = project(surface_cam, camera), visible(surface_cam, normals_cam, camera)
    moves = []
    for frames in spans:
        if frames < len(pixels):
            shift = motion.carried(pixels, frames) - pixels[:-frames]
            known = seen[:-frames] & seen[frames:] & shift.isfinite().all(dim=-1)
            moves.append(Moves(frames, torch.where(known[..., None], shift, 0.0), known))
    return moves


def visible(
    points_cam: Float[Tensor, "n s 3"], normals_cam: Float[Tensor, "n s 3"], camera: Camera
) -> Bool[Tensor, "n s"]:
    """Which points of a surface face the camera, and are not behind others of them."""
    chunks = zip(points_cam.split(FRAMES_A_CHUNK), normals_cam.split(FRAMES_A_CHUNK), strict=True)
    return torch.cat([_visible(points, normals, camera) for points, normals in chunks])


def _visible(
    points_cam: Float[Tensor, "n s 3"], normals_cam: Float[Tensor, "n s 3"], camera: Camera
) -> Bool[Tensor, "n s"]:
    facing = -(normals_cam * normalize(points_cam, dim=-1)).sum(dim=-1)
    z = points_cam[..., 2].clamp_min(0.2)
    pixels = project(points_cam, camera)
    near = torch.cdist(pixels, pixels) < (NEXT_TO_M * camera.focal_px / z)[:, None]
    before = z[:, None] < (z - BEFORE_M)[:, :, None]
    hidden = (near & before).any(dim=-1)
    return (facing > LEAST_FACING) & ~hidden
