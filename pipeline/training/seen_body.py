"""One frame as correspondences are sought in it: the fitted body in the network's camera, and the matted picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.body_maps import vertex_normals
from dancedepth.models.geometry import Camera, project
from dancedepth.models.inputs import PosedBody
from dancedepth.models.raster import Raster, rasterize
from dancedepth.pipeline.training.optical_flow import grey_levels
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool2d, normalize

SAME_SURFACE = 0.012
"""Body heights (2 cm): a point lies this near to what its pixel sees, or it is hidden."""
EDGE_PX = 2
"""Pixels beside the matte's edge, and beside steps of the body's depth, are left out."""


@dataclass(frozen=True)
class SeenBody:
    """The body in one frame."""

    camera: Camera
    vertices_cam: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    raster: Raster
    clear: Bool[Tensor, "h w"]
    """Pixels well inside the matte and away from steps of the body's depth."""
    grey: Float[Tensor, "h w"]
    """The picture, see `optical_flow.grey_levels`."""
    height_m: float

    @property
    def visible(self) -> Bool[Tensor, "v"]:
        """Vertices that the camera sees."""
        return self.sees(self.vertices_cam) & (self.normals[:, 2] < 0)

    def sees(self, points_cam: Float[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
        """Which points of the body are the nearest ones at clear pixels."""
        pixels = project(points_cam.clamp_min(points_cam.new_tensor([-torch.inf, -torch.inf, 0.05])), self.camera)
        x, y = pixels.floor().long().unbind(dim=1)
        inside = (x >= 0) & (y >= 0) & (x < self.camera.width) & (y < self.camera.height)
        x, y = torch.where(inside, x, 0), torch.where(inside, y, 0)
        near = (points_cam[:, 2] - self.raster.depth_m[y, x]).abs() < SAME_SURFACE * self.height_m
        return inside & self.clear[y, x] & near

    def carry(
        self, corners: Int[Tensor, "n 3"], shares: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n"]]:
        """Surface points in this frame, and the cosines between their normals and the line of sight."""
        points = (self.vertices_cam[corners] * shares[..., None]).sum(dim=1)
        normals = normalize((self.normals[corners] * shares[..., None]).sum(dim=1), dim=1)
        return points, -(normals * normalize(points, dim=1)).sum(dim=1)


def see_body(posed: PosedBody, camera: Camera, image: Float[Tensor, "3 h w"], alpha: Float[Tensor, "h w"]) -> SeenBody:
    """Rasterise the posed body in the network's camera; image and matte are the network's."""
    raster = rasterize(posed.vertices_cam, posed.faces, camera, front_only=True)
    clear = _clear(raster.depth_m / posed.height_m, alpha)
    normals = vertex_normals(posed.vertices_cam, posed.faces)
    return SeenBody(camera, posed.vertices_cam, normals, raster, clear, grey_levels(image, alpha), posed.height_m)


def _clear(depth: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Away from the matte's edge and from the body's own edges, where a pixel's width decides what is seen."""
    inside = -_spread(-(alpha >= 0.5).to(depth), 2 * EDGE_PX + 1) > 0
    step = _spread(depth, 3) + _spread(-depth, 3)
    return inside & (_spread(step, 3) < 3 * SAME_SURFACE)


def _spread(values: Float[Tensor, "h w"], side: int) -> Float[Tensor, "h w"]:
    return max_pool2d(values[None, None], side, 1, side // 2)[0, 0]
