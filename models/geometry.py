"""Camera geometry, and the conventions that every other module follows.

Camera frame (OpenCV): x right, y down, z forward; pixel centres lie at +0.5, so the pixel in column `u` and row `v`
covers (u, v) to (u + 1, v + 1). Units are in the names: metres `_m`, seconds `_s`, radians `_rad`, pixels `_px`.
Depth is z, not the length of the ray; 0 means none. Normals point towards the camera (z < 0). A transform is named
for its frames: `cam_from_body @ point_body == point_cam`. The body's own frame is Anny's: x to the dancer's left,
y to the back, z up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

DEFAULT_FOCAL_PER_LONG_SIDE = 0.85
"""Focal length over the longer image side where nothing is known: a 61 degree field of view, a phone's main camera."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion; `width` and `height` are the image's, in pixels."""

    focal_px: float
    cx: float
    cy: float
    width: int
    height: int

    @classmethod
    def centred(cls, focal_px: float, width: int, height: int) -> Camera:
        """The camera whose principal point is the image's centre."""
        return cls(focal_px, width / 2, height / 2, width, height)

    def crop(self, left: int, top: int, width: int, height: int) -> Camera:
        """The camera of a window of this image; depths back-project to the same camera-space points."""
        return replace(self, cx=self.cx - left, cy=self.cy - top, width=width, height=height)

    def resized(self, width: int, height: int) -> Camera:
        """The camera of this image resized; both sides must keep their ratio to within a pixel."""
        scale = max(width / self.width, height / self.height)
        return Camera(
            self.focal_px * scale, self.cx * width / self.width, self.cy * height / self.height, width, height
        )


def focal_from_fov(fov_rad: float, side_px: int) -> float:
    """Focal length in pixels of a field of view of `fov_rad` across `side_px` pixels."""
    return side_px / (2 * math.tan(fov_rad / 2))


def project(points_cam: Float[Tensor, "*b 3"], camera: Camera) -> Float[Tensor, "*b 2"]:
    """Pixel positions of camera-space points; the caller keeps z > 0."""
    x, y, z = points_cam.unbind(dim=-1)  # an axis of two or three is slow to broadcast over, more so backwards
    return torch.stack((x / z * camera.focal_px + camera.cx, y / z * camera.focal_px + camera.cy), dim=-1)


def pixel_rays(camera: Camera, device: torch.device | str = "cpu") -> Float[Tensor, "h w 3"]:
    """The direction through each pixel's centre, scaled to z = 1, so that `ray * depth` is the point."""
    x = (torch.arange(camera.width, device=device) + 0.5 - camera.cx) / camera.focal_px
    y = (torch.arange(camera.height, device=device) + 0.5 - camera.cy) / camera.focal_px
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x, grid_y, torch.ones_like(grid_x)), dim=-1)


def backproject(depth_m: Float[Tensor, "*b h w"], camera: Camera) -> Float[Tensor, "*b h w 3"]:
    """Camera-space points of a depth map; where the depth is 0 the point is the origin."""
    return pixel_rays(camera, depth_m.device) * depth_m[..., None]


def depth_to_normals(depth_m: Float[Tensor, "h w"], camera: Camera) -> Float[Tensor, "h w 3"]:
    """Unit normals of the surface that a depth map samples; zeros where a pixel or both its neighbours lack depth.

    Each axis takes the central difference where both neighbours have depth, else the one-sided one. At a depth step
    the side with the smaller change is taken, so that silhouettes inside the person do not smear.
    """
    points = backproject(depth_m, camera).movedim(-1, 0).contiguous()  # steps over planes take a third of the time
    valid = depth_m > 0
    along_x, ok_x = _derivative(points, valid, dim=1)
    along_y, ok_y = _derivative(points, valid, dim=0)
    normals = torch.linalg.cross(along_y, along_x, dim=0)
    normals = normals / lengths(normals, dim=0, least=1e-18)
    return torch.where(valid & ok_x & ok_y, normals, 0.0).movedim(0, -1)


def _derivative(
    points: Float[Tensor, "3 h w"], valid: Bool[Tensor, "h w"], dim: int
) -> tuple[Float[Tensor, "3 h w"], Bool[Tensor, "h w"]]:
    """The tangent along one image axis and where it is defined."""
    forward = torch.zeros_like(points)
    size = valid.shape[dim] - 1
    forward.narrow(dim + 1, 0, size).copy_(points.diff(dim=dim + 1))
    has_forward = torch.zeros_like(valid)
    has_forward.narrow(dim, 0, size).copy_(valid.narrow(dim, 0, size) & valid.narrow(dim, 1, size))
    backward, has_backward = forward.roll(1, dim + 1), has_forward.roll(1, dim)
    step_forward = torch.where(has_forward, forward[2].abs(), torch.inf)
    step_backward = torch.where(has_backward, backward[2].abs(), torch.inf)
    one_sided = torch.where(step_forward <= step_backward, forward, backward)
    is_step = torch.maximum(step_forward, step_backward) > 4 * torch.minimum(step_forward, step_backward) + 0.01
    central = (forward + backward) / 2
    use_central = has_forward & has_backward & ~is_step
    return torch.where(use_central, central, one_sided), has_forward | has_backward


def lengths(vectors: Float[Tensor, "..."], dim: int, least: float = 1e-12) -> Float[Tensor, "..."]:
    """Lengths of vectors of three numbers along `dim`, which stays with size 1; no less than `least`.

    Where the numbers lie in planes of an image, torch's own norm takes thirty times longer.
    """
    x, y, z = vectors.unbind(dim)
    return (x * x + y * y + z * z).clamp_min(least**2).sqrt().unsqueeze(dim)


def invert_rigid(transform: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """The inverse of rigid transforms, by transposition."""
    rotation_t = transform[..., :3, :3].transpose(-1, -2)
    inverse = torch.zeros_like(transform)
    inverse[..., :3, :3] = rotation_t
    inverse[..., :3, 3] = -(rotation_t @ transform[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse
