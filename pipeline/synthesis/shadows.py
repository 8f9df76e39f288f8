"""Shadow maps: what a distant light sees, drawn by the same rasteriser, and how much of it reaches a point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from jaxtyping import Float, Int
from torch import Tensor

FAR_M = 60.0
"""The light's distance: from here its rays are parallel to within two degrees over a room."""
BIAS_M = 0.012
"""A point this much behind the surface that the light sees still counts as lit."""


@dataclass(frozen=True)
class ShadowMap:
    """Shadows of one mesh under one light; `cast` makes the map that the questions are put to."""

    to_light: Float[Tensor, "3"]
    """World frame."""
    pixel_m: float
    blur_m: float
    """Half the width of the soft edge."""
    depth_m: Float[Tensor, "h w"] | None = None
    camera: Camera | None = None

    def cast(self, points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> ShadowMap:
        """The map of a mesh in the world."""
        in_light = self._to_light_frame(points)
        focal_px = FAR_M / self.pixel_m
        pixels = in_light[:, :2] / in_light[:, 2:] * focal_px
        border = 2 + math.ceil(self.blur_m / self.pixel_m)
        left, top = (int(value) for value in (pixels.amin(dim=0).floor() - border).tolist())
        right, bottom = (int(value) for value in (pixels.amax(dim=0).ceil() + border).tolist())
        camera = Camera(focal_px, -left, -top, right - left, bottom - top)
        depth = rasterize(in_light, faces, camera, front_only=True).depth_m
        return ShadowMap(self.to_light, self.pixel_m, self.blur_m, torch.where(depth > 0, depth, torch.inf), camera)

    def visibility(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
        """How much of the light reaches each point, 0-1."""
        assert self.camera is not None and self.depth_m is not None, "cast a map first"
        in_light = self._to_light_frame(points)
        x = in_light[:, 0] / in_light[:, 2] * self.camera.focal_px + self.camera.cx
        y = in_light[:, 1] / in_light[:, 2] * self.camera.focal_px + self.camera.cy
        limit = in_light[:, 2] - BIAS_M
        spread = self.blur_m / self.pixel_m
        total = torch.zeros_like(x)
        flat = self.depth_m.flatten()
        for dx, dy in TAPS:
            column = (x + dx * spread).long().clamp(0, self.camera.width - 1)
            row = (y + dy * spread).long().clamp(0, self.camera.height - 1)
            total += flat[row * self.camera.width + column] > limit
        return total / len(TAPS)

    def visibility_grid(self, points: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
        """The same for an image of points; only those behind the map are looked up."""
        assert self.camera is not None, "cast a map first"
        flat = points.view(-1, 3)
        in_light = self._to_light_frame(flat)
        x = in_light[:, 0] / in_light[:, 2] * self.camera.focal_px + self.camera.cx
        y = in_light[:, 1] / in_light[:, 2] * self.camera.focal_px + self.camera.cy
        near = torch.nonzero((x > 0) & (y > 0) & (x < self.camera.width) & (y < self.camera.height))[:, 0]
        out = torch.ones_like(x)
        out[near] = self.visibility(flat[near])
        return out.view(points.shape[:2])

    def _to_light_frame(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        forward = -self.to_light / self.to_light.norm()
        side = torch.linalg.cross(forward, forward.new_tensor([0.0, 1.0, 0.0]))
        side = side / side.norm()
        rotation = torch.stack((side, torch.linalg.cross(forward, side), forward))
        return points @ rotation.T + points.new_tensor([0.0, 0.0, FAR_M])


def _disc(rings: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    taps = [(0.0, 0.0)]
    for index, count in enumerate(rings):
        radius = (index + 1) / len(rings)
        angles = [2 * math.pi * (k + 0.5 * index) / count for k in range(count)]
        taps += [(radius * math.cos(a), radius * math.sin(a)) for a in angles]
    return tuple(taps)


TAPS = _disc((4, 8))
