"""A z-buffer rasteriser for CPU and CUDA: exact coverage, perspective-correct interpolation.

Every triangle is cut into its pixel rows, every row's span is solved in closed form from the three edge functions, and
only the covered pixels are written, so the work grows with the pixels and rows covered, not with bounding boxes. Plain
torch does so on every device; on the processor, where Numba is installed, a compiled loop comes to the same sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.geometry import Camera, project
from dancedepth.models.kernels import has_numba
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAR_M = 0.05
"""Triangles that reach nearer to the camera than this are left out; nobody dances there."""
EDGE_SLACK_PX = 1e-3
"""Spans are widened by this much so that rounding leaves no cracks between triangles that share an edge."""
DEPTH_STEPS_PER_M = 1e6
"""Resolution of the z-buffer: depth and triangle share one 64-bit key."""


@dataclass(frozen=True)
class Raster:
    """What each pixel sees: the triangle (-1: none), the weights of its corners, and its z in metres (0: none)."""

    face_index: Int[Tensor, "h w"]
    barycentric: Float[Tensor, "h w 3"]
    depth_m: Float[Tensor, "h w"]

    def interpolate(self, faces: Int[Tensor, "f 3"], values: Float[Tensor, "v c"]) -> Float[Tensor, "h w c"]:
        """Vertex values at the pixels; 0 where no triangle is seen."""
        seen = self.face_index >= 0
        out = values.new_zeros((*self.face_index.shape, values.shape[1]))
        corners = values[faces[self.face_index[seen]]]
        out[seen] = (corners * self.barycentric[seen][..., None]).sum(dim=1)
        return out


def rasterize(
    vertices_cam: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    opaque: Callable[[Int[Tensor, "p"], Float[Tensor, "p 3"]], Bool[Tensor, "p"]] | None = None,
    front_only: bool = False,
) -> Raster:
    """Render triangles to the nearest one at each pixel centre.

    Both sides of a triangle are drawn, unless `front_only`: then only those whose corners run counter-clockwise seen
    from outside, which for a closed surface is the same picture for half the work.
    `opaque`, if given, is asked for each candidate's (triangle, corner weights) whether it is seen or seen through.
    """
    pixels = project(vertices_cam.clamp_min(torch.tensor([-torch.inf, -torch.inf, NEAR_M]).to(vertices_cam)), camera)
    if opaque is None and vertices_cam.device.type == "cpu" and vertices_cam.dtype == torch.float32 and has_numba():
        return _drawn(pixels, vertices_cam[:, 2], faces, camera, front_only)
    kept = _faces_in_view(vertices_cam, pixels, faces, camera, front_only)
    corners = pixels[faces[kept]]
    inverse_z = 1.0 / vertices_cam[faces[kept]][..., 2]
    rows_face, rows_y = _rows(corners.double(), camera)
    face, y, x = _spans(corners.double(), rows_face, rows_y, camera)
    depth = 1.0 / _inverse_depth(corners, inverse_z, face, x, y)
    if opaque is not None:
        weights = _screen_weights(corners[face], x, y) * inverse_z[face]
        solid = opaque(kept[face], weights / weights.sum(dim=1, keepdim=True))
        face, y, x, depth = face[solid], y[solid], x[solid], depth[solid]
    key = (depth.double().clamp(0, 2000) * DEPTH_STEPS_PER_M).long() * (len(kept) + 1) + face
    nearest = torch.full((camera.height * camera.width,), torch.iinfo(torch.int64).max, device=key.device)
    nearest.scatter_reduce_(0, y * camera.width + x, key, "amin")
    return _resolve(nearest, len(kept) + 1, kept, corners, inverse_z, camera, vertices_cam.dtype)


def _drawn(
    pixels: Float[Tensor, "v 2"], z: Float[Tensor, "v"], faces: Int[Tensor, "f 3"], camera: Camera, front_only: bool
) -> Raster:
    """In a compiled loop."""
    from dancedepth.models.raster_kernel import FARTHEST, draw

    size = (camera.height, camera.width)
    found = Raster(torch.full(size, -1), torch.zeros((*size, 3)), torch.zeros(size))
    draw(
        pixels.detach().contiguous().numpy(),
        z.detach().contiguous().numpy(),
        faces.contiguous().numpy(),
        front_only,
        np.float32(NEAR_M),
        EDGE_SLACK_PX,
        DEPTH_STEPS_PER_M,
        np.full(size, FARTHEST),
        found.face_index.numpy(),
        found.barycentric.numpy(),
        found.depth_m.numpy(),
    )
    return found


def _faces_in_view(
    vertices_cam: Float[Tensor, "v 3"],
    pixels: Float[Tensor, "v 2"],
    faces: Int[Tensor, "f 3"],
    camera: Camera,
    front_only: bool,
) -> Int[Tensor, "k"]:
    in_front = (vertices_cam[faces][..., 2] > NEAR_M).all(dim=1)
    low, high = pixels[faces].amin(dim=1), pixels[faces].amax(dim=1)
    on_image = (high[:, 0] > 0) & (high[:, 1] > 0) & (low[:, 0] < camera.width) & (low[:, 1] < camera.height)
    a, b, c = pixels[faces].unbind(dim=1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    drawn = area < -1e-9 if front_only else area.abs() > 1e-9
    return torch.nonzero(in_front & on_image & drawn)[:, 0]


def _rows(corners: Float[Tensor, "k 3 2"], camera: Camera) -> tuple[Int[Tensor, "r"], Int[Tensor, "r"]]:
    """(triangle, pixel row) for every row whose centre line a triangle crosses."""
    first = (corners[..., 1].amin(dim=1) - 0.5 - EDGE_SLACK_PX).ceil().long().clamp(0, camera.height)
    last = (corners[..., 1].amax(dim=1) - 0.5 + EDGE_SLACK_PX).floor().long().clamp(-1, camera.height - 1)
    return _enumerate(first, (last - first + 1).clamp_min(0))


def _spans(
    corners: Float[Tensor, "k 3 2"], rows_face: Int[Tensor, "r"], rows_y: Int[Tensor, "r"], camera: Camera
) -> tuple[Int[Tensor, "p"], Int[Tensor, "p"], Int[Tensor, "p"]]:
    """(triangle, row, column) of every covered pixel."""
    start, end = corners, corners.roll(-1, dims=1)
    edge = (end - start)[rows_face]
    centre_y = rows_y.double() + 0.5
    to_row = centre_y[:, None] - start[rows_face][..., 1]
    crosses = edge[..., 1].abs() > 1e-12
    at_x = start[rows_face][..., 0] + to_row * edge[..., 0] / torch.where(crosses, edge[..., 1], 1.0)
    inside = crosses & (to_row * (centre_y[:, None] - end[rows_face][..., 1]) <= EDGE_SLACK_PX)
    low = torch.where(inside, at_x, torch.inf).amin(dim=1)
    high = torch.where(inside, at_x, -torch.inf).amax(dim=1)
    box_low, box_high = corners[..., 0].amin(dim=1)[rows_face], corners[..., 0].amax(dim=1)[rows_face]
    low, high = torch.maximum(low, box_low), torch.minimum(high, box_high)
    bounded = low <= high
    first = (torch.where(bounded, low, 0.0) - 0.5 - EDGE_SLACK_PX).ceil().long().clamp(0, camera.width)
    last = (torch.where(bounded, high, -1.0) - 0.5 + EDGE_SLACK_PX).floor().long().clamp(-1, camera.width - 1)
    row, x = _enumerate(first, torch.where(bounded, last - first + 1, 0).clamp_min(0))
    return rows_face[row], rows_y[row], x


def _enumerate(first: Int[Tensor, "n"], count: Int[Tensor, "n"]) -> tuple[Int[Tensor, "m"], Int[Tensor, "m"]]:
    """For each i, `count[i]` pairs (i, first[i]), (i, first[i] + 1), ..."""
    owner = torch.repeat_interleave(torch.arange(len(first), device=first.device), count)
    begin = count.cumsum(0) - count
    return owner, first[owner] + torch.arange(len(owner), device=first.device) - begin[owner]


def _inverse_depth(
    corners: Float[Tensor, "k 3 2"],
    inverse_z: Float[Tensor, "k 3"],
    face: Int[Tensor, "p"],
    x: Int[Tensor, "p"],
    y: Int[Tensor, "p"],
) -> Float[Tensor, "p"]:
    """1 / z at pixel centres, which is affine in the image over each triangle."""
    (ux, uy), (vx, vy) = ((corners[:, i] - corners[:, 0]).unbind(dim=1) for i in (1, 2))
    du, dv = inverse_z[:, 1] - inverse_z[:, 0], inverse_z[:, 2] - inverse_z[:, 0]
    area = ux * vy - uy * vx
    along_x, along_y = (du * vy - dv * uy) / area, (dv * ux - du * vx) / area
    low, high = inverse_z.amin(dim=1), inverse_z.amax(dim=1)
    plane = torch.stack((corners[:, 0, 0], corners[:, 0, 1], inverse_z[:, 0], along_x, along_y, low, high), dim=1)[face]
    at = plane[:, 2] + plane[:, 3] * (x + 0.5 - plane[:, 0]) + plane[:, 4] * (y + 0.5 - plane[:, 1])
    return torch.minimum(torch.maximum(at, plane[:, 5]), plane[:, 6])


def _screen_weights(corners: Float[Tensor, "p 3 2"], x: Int[Tensor, "p"], y: Int[Tensor, "p"]) -> Float[Tensor, "p 3"]:
    """Barycentric weights in the image plane, clamped to the triangle."""
    to_pixel = torch.stack((x + 0.5 - corners[:, 0, 0], y + 0.5 - corners[:, 0, 1]), dim=1)
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    weight_b = (to_pixel[:, 0] * v[:, 1] - to_pixel[:, 1] * v[:, 0]) / area
    weight_c = (u[:, 0] * to_pixel[:, 1] - u[:, 1] * to_pixel[:, 0]) / area
    weights = torch.stack((1 - weight_b - weight_c, weight_b, weight_c), dim=1).clamp(0, 1)
    return weights / weights.sum(dim=1, keepdim=True)


def _resolve(
    nearest: Int[Tensor, "hw"],
    radix: int,
    kept: Int[Tensor, "k"],
    corners: Float[Tensor, "k 3 2"],
    inverse_z: Float[Tensor, "k 3"],
    camera: Camera,
    dtype: torch.dtype,
) -> Raster:
    seen = torch.nonzero(nearest != torch.iinfo(torch.int64).max)[:, 0]
    face = nearest[seen] % radix
    weights = _screen_weights(corners[face], seen % camera.width, seen // camera.width) * inverse_z[face]
    total = weights.sum(dim=1, keepdim=True)
    face_index = torch.full_like(nearest, -1)
    face_index[seen] = kept[face]
    barycentric = torch.zeros((len(nearest), 3), dtype=dtype, device=nearest.device)
    barycentric[seen] = (weights / total).to(dtype)
    depth = torch.zeros(len(nearest), dtype=dtype, device=nearest.device)
    depth[seen] = (1.0 / total[:, 0]).to(dtype)
    size = (camera.height, camera.width)
    return Raster(face_index.view(size), barycentric.view(*size, 3), depth.view(size))
