"""The same points of the dancer in two frames, through the surface of the fitted body.

A pixel of one frame sees a point of the body's surface; where the body has that point in the other frame, and nothing
lies before it, the other frame's pixel shows the same point of the dancer, as far as body and clothes move together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.models.body_maps import vertex_normals
from dancedepth.models.geometry import Camera, project
from dancedepth.models.raster import Raster, rasterize
from dancedepth.pipeline.training.body_parts import BodyParts
from jaxtyping import Bool, Float, Int
from torch import Tensor

POINTS = 4096
"""Correspondences kept of a pair of frames."""
SAME_SURFACE = 0.012
"""Body heights (2 cm): a point lies this near to what its pixel sees, or it is hidden."""
LEAST_HOLD = 0.6
"""Points that are shared by two parts belong to neither."""
LEAST_FACING = 0.25
"""Cosine of the angle to the line of sight; what is seen more aslant than 75 degrees is left out."""
EDGE_PX = 2
"""Pixels beside the matte's edge, and beside steps of the body's depth, are left out."""


@dataclass(frozen=True)
class SeenBody:
    """The fitted body in one frame, as the network's camera sees it."""

    camera: Camera
    vertices_cam: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    raster: Raster
    clear: Bool[Tensor, "h w"]
    """Pixels well inside the matte and away from steps of the body's depth."""
    height_m: float

    @property
    def visible(self) -> Bool[Tensor, "v"]:
        """Vertices that the camera sees."""
        z = self.vertices_cam[:, 2]
        seen_z, inside = _at_pixels(self.raster.depth_m, self.clear, project(self.vertices_cam, self.camera))
        return inside & ((z - seen_z).abs() < SAME_SURFACE * self.height_m) & (self.normals[:, 2] < 0)


@dataclass(frozen=True)
class Correspondences:
    """Pairs of pixels that show the same point of the dancer."""

    source_px: Float[Tensor, "n 2"]
    """Pixel centres of the first frame."""
    target_px: Float[Tensor, "n 2"]
    """Where the second frame shows the same points."""
    part: Int[Tensor, "n"]
    weight: Float[Tensor, "n"]
    """0-1; how much the pair is to be believed."""


def see_body(
    vertices_cam: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    alpha: Float[Tensor, "h w"],
    height_m: float,
) -> SeenBody:
    """Rasterise the posed body in the network's camera."""
    raster = rasterize(vertices_cam, faces, camera, front_only=True)
    clear = _clear(raster.depth_m / height_m, alpha)
    return SeenBody(camera, vertices_cam, vertex_normals(vertices_cam, faces), raster, clear, height_m)


def correspond(
    source: SeenBody, target: SeenBody, faces: Int[Tensor, "f 3"], parts: BodyParts, generator: torch.Generator
) -> Correspondences:
    """At most `POINTS` correspondences, drawn from all that both frames see; part by part as many as there are pixels."""
    rows = torch.nonzero((source.raster.face_index >= 0) & source.clear)
    corners = faces[source.raster.face_index[rows[:, 0], rows[:, 1]]]
    shares = source.raster.barycentric[rows[:, 0], rows[:, 1]]
    part = parts.part[corners.gather(1, shares.argmax(dim=1, keepdim=True))[:, 0]]
    hold = (parts.hold[corners] * shares).sum(dim=1)
    points, facing = _carried(target, corners, shares)
    facing = torch.minimum(facing, _carried(source, corners, shares)[1])
    pixels = project(points, target.camera)
    seen_z, inside = _at_pixels(target.raster.depth_m, target.clear, pixels)
    same = inside & ((points[:, 2] - seen_z).abs() < SAME_SURFACE * target.height_m)
    kept = torch.nonzero(same & (hold > LEAST_HOLD) & (facing > LEAST_FACING))[:, 0]
    if len(kept) > POINTS:
        kept = kept[torch.randperm(len(kept), generator=generator)[:POINTS].sort().values]
    centres = rows[kept].flip(1).to(points) + 0.5
    return Correspondences(centres, pixels[kept], part[kept], (hold * facing)[kept])


def _carried(
    body: SeenBody, corners: Int[Tensor, "n 3"], shares: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n"]]:
    """Surface points in a frame, and the cosine between their normals and the line of sight."""
    points = (body.vertices_cam[corners] * shares[..., None]).sum(dim=1)
    normals = torch.nn.functional.normalize((body.normals[corners] * shares[..., None]).sum(dim=1), dim=1)
    return points, -(normals * torch.nn.functional.normalize(points, dim=1)).sum(dim=1)


def _at_pixels(
    depth: Float[Tensor, "h w"], clear: Bool[Tensor, "h w"], pixels: Float[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n"], Bool[Tensor, "n"]]:
    """Depth at the pixels that hold image positions, and whether these are clear."""
    height, width = depth.shape
    x, y = pixels.floor().long().unbind(dim=1)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    x, y = torch.where(inside, x, 0), torch.where(inside, y, 0)
    return depth[y, x], inside & clear[y, x]


def _clear(depth: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Away from the matte's edge and from the body's own edges, where a pixel's width decides what is seen."""
    size = 2 * EDGE_PX + 1

    def spread(values: Float[Tensor, "h w"], side: int) -> Float[Tensor, "h w"]:
        return torch.nn.functional.max_pool2d(values[None, None], side, 1, side // 2)[0, 0]

    inside = -spread(-(alpha >= 0.5).to(depth), size) > 0
    step = spread(depth, 3) + spread(-depth, 3)
    return inside & (spread(step, 3) < 3 * SAME_SURFACE)
