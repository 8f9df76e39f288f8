"""The fitted body as images: what a pixel would see if the dancer wore nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.geometry import Camera, project
from dancedepth.models.raster import NEAR_M, Raster, rasterize
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class BodyMaps:
    """A window of the image that holds the whole body; `camera` is the window's own."""

    left: int
    top: int
    camera: Camera
    raster: Raster
    normals: Float[Tensor, "h w 3"]

    @property
    def depth_m(self) -> Float[Tensor, "h w"]:
        """0 where the body is not seen."""
        return self.raster.depth_m

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the window lies in the image."""
        height, width = self.depth_m.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def render_body(
    vertices_cam: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    normals_cam: Float[Tensor, "v 3"] | None = None,
) -> BodyMaps | None:
    """Depth and smooth normals of a posed body; None where it lies outside the image.

    Args:
        vertices_cam, faces: its surface.
        normals_cam: `vertex_normals` of these, if they are known.
    """
    used = torch.zeros(len(vertices_cam), dtype=torch.bool, device=faces.device)
    used[faces.flatten()] = True
    seen = vertices_cam[used]
    pixels = project(seen[seen[:, 2] > NEAR_M], camera)
    if len(pixels) == 0:
        return None
    left, top = (max(int(pixels[:, i].min()) - 1, 0) for i in range(2))
    right = min(int(pixels[:, 0].max()) + 2, camera.width)
    bottom = min(int(pixels[:, 1].max()) + 2, camera.height)
    if right - left < 2 or bottom - top < 2:
        return None
    window = camera.crop(left, top, right - left, bottom - top)
    raster = rasterize(vertices_cam, faces, window, front_only=True)
    normals_cam = vertex_normals(vertices_cam, faces) if normals_cam is None else normals_cam
    normals = raster.interpolate(faces, normals_cam)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    return BodyMaps(left, top, window, raster, normals)


def vertex_normals(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Area-weighted unit normals; they point out of the body where faces are counter-clockwise seen from outside."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices).index_add_(0, faces.flatten(), face_normals.repeat_interleave(3, dim=0))
    return torch.nn.functional.normalize(normals, dim=1)
