"""One frame into the canonical volume: the blocks in view are moved into the camera and take its distances there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.canonical import SIDE, VOXELS, CanonicalVolume
from dancedepth.pipeline.frame_view import (
    CANONICAL,
    COLOR,
    NORMAL,
    POINT,
    TOLERANCE,
    WEIGHT,
    FrameView,
)
from dancedepth.pipeline.integration_kernel import MIDDLE_VOXEL, Held, Look, Rules, fold
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool2d, normalize

BACK_COS = 0.6
"""Blocks whose body surface is turned away from the camera by more than this show nothing to it."""
FACING = 0.5, 1.5
"""A voxel counts by the cosine between its body normal and the surface seen: this much, and so much more by it."""
BLOCKS_AT_ONCE = 512
"""Blocks integrated at once: what they need fits the processor's cache."""
CARVE_TRUNCATIONS = 1.5
"""Space is known to be free up to this many truncations in front of the surface, if it is the same body part's."""
CARVE_WEIGHT = 0.1
STRETCH = 1.3
"""Canonical distances may differ by this factor from those in the camera, where skin bends."""
COLOR_REACH_VOXELS = 1.5
NEAREST_M = 0.05


def integrate(
    volume: CanonicalVolume, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"], frame_weight: float
) -> None:
    """Fold one frame into the volume, where its pixels show the voxel's own part of the body."""
    if volume.device.type == "cpu":
        _fold(volume, view, cam_from_rest, frame_weight)
    else:
        integrate_tensors(volume, view, cam_from_rest, frame_weight)


def integrate_tensors(
    volume: CanonicalVolume, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"], frame_weight: float
) -> None:
    """`integrate` on any device."""
    for some in slots_in_view(volume, view, cam_from_rest).split(BLOCKS_AT_ONCE):
        _integrate_blocks(volume, some, view, cam_from_rest, frame_weight)


def _fold(volume: CanonicalVolume, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"], frame_weight: float) -> None:
    """The same in one loop, four times as fast on the processor."""
    single, reach_m, voxel_m = np.float32, volume.config.truncation_m, volume.config.voxel_m
    rules = Rules(
        voxel_m=single(voxel_m),
        truncation_m=single(reach_m),
        carve_m=single(CARVE_TRUNCATIONS * reach_m),
        carve_weight=single(CARVE_WEIGHT),
        color_m=single(COLOR_REACH_VOXELS * voxel_m),
        stretch=single(STRETCH),
        facing=single(FACING[0]),
        facing_rise=single(FACING[1]),
        back_cos=single(BACK_COS),
        nearest_m=single(NEAREST_M),
    )
    held = Held(*(getattr(volume, name).numpy() for name in Held._fields))
    camera, cells = view.camera, _depth_cells(view, _radius(volume))
    look = Look(
        rows=view.rows.numpy(),
        focal_px=single(camera.focal_px),
        cx=single(camera.cx),
        cy=single(camera.cy),
        width=camera.width,
        height=camera.height,
        used=_used(view).numpy(),
        near=cells.near.numpy(),
        far=cells.far.numpy(),
        cell=cells.side,
    )
    fold(volume.slots.numpy(), _bone_rows(cam_from_rest).numpy(), held, look, rules, np.float32(frame_weight))


def slots_in_view(volume: CanonicalVolume, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"]) -> Int[Tensor, "s"]:
    """Blocks that may hold voxels near the surface seen, judged at their centres.

    Where a centre's pixel shows surface, the block must be near that, and of the same body part; where it does not,
    the depth range of the pixels around decides.
    """
    slots = volume.slots
    rows = _bone_rows(cam_from_rest).index_select(0, volume.bones[slots].view(-1)).view(len(slots), -1, 12)
    matrices = (volume.skin[slots, :, None, MIDDLE_VOXEL] * rows).sum(dim=1).view(-1, 3, 4)
    centres = volume.origins[slots] + volume.block_m / 2
    at = (matrices[:, :, :3] @ centres[..., None])[..., 0] + matrices[:, :, 3]
    axis = (matrices[:, :, :3] @ volume.normals[slots, :, MIDDLE_VOXEL, None])[..., 0]
    away = (axis * normalize(at, dim=1)).sum(dim=1) > BACK_COS
    radius, truncation = _radius(volume), volume.config.truncation_m
    behind, before = radius + truncation, radius + CARVE_TRUNCATIONS * truncation
    pixel, inside = _pixels(at[:, 0], at[:, 1], at[:, 2], view.camera)
    seen = view.rows.index_select(0, pixel)
    gap = at - seen[:, POINT]
    signed = (gap * seen[:, NORMAL]).sum(dim=1)
    apart = (centres - seen[:, CANONICAL]).norm(dim=1)
    near = (signed > -behind) & (signed < before) & (apart < STRETCH * gap.norm(dim=1) + seen[:, TOLERANCE] + radius)
    low, high = _depth_cells(view, radius).around(pixel, view.camera.width)
    maybe = (
        (at[:, 2] > low - before)
        & (at[:, 2] < high + behind)
        & _shows_something(view, at, matrices, volume.config.voxel_m)
    )
    return slots[inside & ~away & torch.where(seen[:, WEIGHT] > 0, near, maybe)]


def _shows_something(
    view: FrameView, at: Float[Tensor, "s 3"], matrices: Float[Tensor, "s 3 4"], voxel_m: float
) -> Bool[Tensor, "s"]:
    """Whether any pixel that a block covers is used."""
    width, height = view.camera.width, view.camera.height
    scale = view.camera.focal_px / at[:, 2:].clamp_min(NEAREST_M)
    middle = (at[:, :2] - matrices[:, :2, :3].sum(dim=2) * (voxel_m / 2)) * scale + torch.tensor(
        (view.camera.cx, view.camera.cy), device=at.device
    )
    reach = matrices[:, :2, :3].abs().sum(dim=2) * (STRETCH * (SIDE - 1) / 2 * voxel_m) * scale + 1
    size = torch.tensor((width, height), device=at.device)
    left, top = torch.minimum((middle - reach).clamp_min(0), size).long().unbind(dim=1)
    right, bottom = torch.minimum((middle + reach).ceil().clamp_min(0), size).long().unbind(dim=1)
    flat, row = _used(view).view(-1), width + 1
    count = flat[bottom * row + right] - flat[top * row + right] - flat[bottom * row + left] + flat[top * row + left]
    return count > 0


def _used(view: FrameView) -> Int[Tensor, "h1 w1"]:
    """Summed-area table (Crow 1984) of the pixels that are used."""
    used = view.depth_m.new_zeros((view.camera.height + 1, view.camera.width + 1), dtype=torch.int32)
    used[1:, 1:] = (view.depth_m > 0).cumsum(dim=0, dtype=torch.int32).cumsum(dim=1, dtype=torch.int32)
    return used


def _integrate_blocks(
    volume: CanonicalVolume,
    slots: Int[Tensor, "s"],
    view: FrameView,
    cam_from_rest: Float[Tensor, "j 4 4"],
    frame_weight: float,
) -> None:
    """All of a chunk's voxels, axis by axis: columns of numbers are several times faster than rows of three."""
    points = volume.origins.index_select(0, slots)[..., None] + volume.offsets
    at, axis = _warp(volume, slots, points, cam_from_rest)
    pixel, inside = _pixels(at[:, 0], at[:, 1], at[:, 2], view.camera)
    seen = view.rows.index_select(0, pixel.view(-1)).view(len(slots), VOXELS, -1)
    gaps = [at[:, k] - seen[..., POINT.start + k] for k in range(3)]
    normals = [seen[..., NORMAL.start + k] for k in range(3)]
    signed = _dot(gaps, normals)
    facing = (FACING[0] + FACING[1] * _dot(list(axis.unbind(dim=1)), normals)).clamp_(0, 1)
    away = [points[:, k] - seen[..., CANONICAL.start + k] for k in range(3)]
    same_part = _dot(away, away).sqrt_() < STRETCH * _dot(gaps, gaps).sqrt_() + seen[..., TOLERANCE]
    weight = seen[..., WEIGHT] * (inside & same_part) * facing * frame_weight
    weight = weight * _depth_share(signed, volume.config.truncation_m, volume.config.voxel_m)
    _update(volume, slots, signed, weight, seen[..., COLOR])


def _warp(
    volume: CanonicalVolume,
    slots: Int[Tensor, "s"],
    points: Float[Tensor, "s 3 n"],
    cam_from_rest: Float[Tensor, "j 4 4"],
) -> tuple[Float[Tensor, "s 3 n"], Float[Tensor, "s 3 n"]]:
    """Camera-space places of the voxels of blocks, and the body's normals turned with them."""
    rows = _bone_rows(cam_from_rest).index_select(0, volume.bones.index_select(0, slots).view(-1))
    matrices = torch.bmm(rows.view(len(slots), -1, 12).transpose(1, 2), volume.skin.index_select(0, slots))
    x, y, z, shift = matrices.view(len(slots), 3, 4, VOXELS).unbind(dim=2)
    normals = volume.normals.index_select(0, slots)
    at = shift.addcmul(x, points[:, :1]).addcmul_(y, points[:, 1:2]).addcmul_(z, points[:, 2:])
    return at, (x * normals[:, :1]).addcmul_(y, normals[:, 1:2]).addcmul_(z, normals[:, 2:])


def _bone_rows(cam_from_rest: Float[Tensor, "j 4 4"]) -> Float[Tensor, "j 12"]:
    return cam_from_rest[:, :3].reshape(-1, 12)


def _dot(a: list[Tensor], b: list[Tensor]) -> Tensor:
    return (a[0] * b[0]).addcmul_(a[1], b[1]).addcmul_(a[2], b[2])


def _depth_share(signed: Float[Tensor, "s n"], reach_m: float, voxel_m: float) -> Float[Tensor, "s n"]:
    """Weight by signed distance: full near the surface, falling behind it (nobody saw there), little in front."""
    share = ((signed + reach_m) / (reach_m - voxel_m)).clamp_(0, 1)
    share = torch.where(signed > reach_m, CARVE_WEIGHT, share)
    return share * (signed < CARVE_TRUNCATIONS * reach_m)


def _update(
    volume: CanonicalVolume,
    slots: Int[Tensor, "s"],
    signed: Float[Tensor, "s n"],
    added: Float[Tensor, "s n"],
    rgb: Float[Tensor, "s n 3"],
) -> None:
    """Running weighted means of distance and colour, and the distance's scatter (West 1979)."""
    total = volume.weight.index_select(0, slots) + added
    value = (signed / volume.config.truncation_m).clamp_(-1, 1)
    mean = volume.tsdf.index_select(0, slots)
    moved = mean + added / total.clamp_min(1e-12) * (value - mean)
    scatter = volume.scatter.index_select(0, slots) + added * (value - mean) * (value - moved)
    volume.scatter.index_copy_(0, slots, scatter)
    volume.tsdf.index_copy_(0, slots, moved)
    volume.weight.index_copy_(0, slots, total)
    close = signed.abs() < COLOR_REACH_VOXELS * volume.config.voxel_m
    share = added * added * close
    total = volume.color_weight.index_select(0, slots) + share
    step = share / total.clamp_min(1e-12)
    color = volume.color.index_select(0, slots)
    for k in range(3):
        color[:, k] += step * (rgb[..., k] - color[:, k])
    volume.color.index_copy_(0, slots, color)
    volume.color_weight.index_copy_(0, slots, total)


def _radius(volume: CanonicalVolume) -> float:
    """A block's voxels lie within this of its centre in the camera."""
    return volume.block_m * 0.87 * STRETCH


@dataclass(frozen=True)
class _DepthCells:
    """Depth ranges around square cells of an image; greatest below least where nothing is seen."""

    near: Float[Tensor, "y x"]
    far: Float[Tensor, "y x"]
    side: int
    """In pixels."""

    def around(self, pixel: Int[Tensor, "v"], width: int) -> tuple[Float[Tensor, "v"], Float[Tensor, "v"]]:
        """Least and greatest depth around pixels of an image so wide."""
        at = pixel // width // self.side * self.far.shape[1] + pixel % width // self.side
        return self.near.view(-1)[at], self.far.view(-1)[at]


def _depth_cells(view: FrameView, radius_m: float) -> _DepthCells:
    """Cells that are at least `radius_m` wide at the depths seen."""
    seen = view.depth_m > 0
    nearest_m = float(torch.where(seen, view.depth_m, torch.inf).amin().clamp(0.1, 100))
    side = int(np.ceil(radius_m * view.camera.focal_px / nearest_m))

    def around(image: Float[Tensor, "h w"]) -> Float[Tensor, "y x"]:
        """Maxima over square cells of the image and the cells around each."""
        return max_pool2d(max_pool2d(image[None, None], side, side, ceil_mode=True), 3, 1, 1)[0, 0]

    return _DepthCells(-around(-torch.where(seen, view.depth_m, torch.inf)), around(view.depth_m), side)


def _pixels(
    x: Float[Tensor, "*n"], y: Float[Tensor, "*n"], z: Float[Tensor, "*n"], camera: Camera
) -> tuple[Int[Tensor, "*n"], Bool[Tensor, "*n"]]:
    """The flat index of the pixel that each camera-space point falls in (0 outside), and whether it is inside."""
    scale = camera.focal_px / z.clamp_min(NEAREST_M)
    column, row = (x * scale + camera.cx).floor_(), (y * scale + camera.cy).floor_()
    inside = (z > NEAREST_M) & (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    return torch.where(inside, row * camera.width + column, 0).long(), inside
