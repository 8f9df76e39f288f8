"""The canonical volume: a sparse truncated signed distance field around the rest body that moves with its bones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import open3d as o3d
import torch
from dancedepth.models.geometry import project
from dancedepth.pipeline.body_field import SKIN_BONES_KEPT, BodyField
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.frame_view import CANONICAL, COLOR, NORMAL, POINT, TOLERANCE, WEIGHT, FrameView
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import max_pool2d

SIDE = 4
"""Voxels along a block's edge: small blocks follow the surface closely."""
VOXELS = SIDE**3
MIDDLE_VOXEL = SIDE // 2 * (1 + SIDE + SIDE**2)
BACK_COS = 0.6
"""Blocks whose body surface is turned away from the camera by more than this show nothing to it."""
BLOCKS_AT_ONCE = 512
"""Blocks integrated at once: what they need fits the processor's cache."""
CARVE_TRUNCATIONS = 1.5
"""Space is known to be free up to this many truncations in front of the surface, if it is the same body part's."""
CARVE_WEIGHT = 0.1
STRETCH = 1.3
"""Canonical distances may differ by this factor from those in the camera, where skin bends."""
COLOR_REACH_VOXELS = 1.5
CAPACITY_AREA_M2, CAPACITY_DEPTH_M = 3.5, 0.1
"""Room for this much surface with clothes this deep; a person's skin is about 1.8 m2."""
MAX_CAPACITY = 500_000
SKIN_CHUNK = 2048
"""Blocks whose skinning weights are computed at once."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Voxels:
    """All active voxels, block by block."""

    points: Float[np.ndarray, "b n 3"]
    tsdf: Float[np.ndarray, "b n"]
    weight: Float[np.ndarray, "b n"]
    variance: Float[np.ndarray, "b n"]
    """Of the distances that frames gave, in squared truncations."""


class CanonicalVolume:
    """Voxel blocks of Open3D's `VoxelBlockGrid`, activated where surface is seen, integrated by our own warped rule.

    Open3D owns the hash map of blocks and the attribute memory (shared through DLPack on the CPU) and extracts the
    surface; a block's slot in the hash map is its row in every tensor here.
    """

    def __init__(self, field: BodyField, config: FusionConfig, device: torch.device) -> None:
        self.field, self.config, self.device = field, config, device
        self.block_m = config.voxel_m * SIDE
        room = CAPACITY_AREA_M2 * (2 * config.truncation_m + CAPACITY_DEPTH_M) / self.block_m**3
        self.capacity = int(min(room, MAX_CAPACITY))
        self._grid = o3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight"),
            (o3d.core.float32,) * 2,
            (o3d.core.SizeVector([1]),) * 2,
            voxel_size=config.voxel_m,
            block_resolution=SIDE,
            block_count=self.capacity,
            device=o3d.core.Device("CPU:0"),
        )
        self.tsdf, self.weight, self.scatter, self.color_weight = torch.zeros((4, self.capacity, VOXELS), device=device)
        self.color = torch.zeros((self.capacity, VOXELS, 3), device=device)
        self._origins = torch.zeros((self.capacity, 3), device=device)
        self._skin = torch.empty((self.capacity, VOXELS, SKIN_BONES_KEPT), device=device)
        self._normals = torch.empty((self.capacity, VOXELS, 3), device=device)
        self._bones = torch.zeros((self.capacity, SKIN_BONES_KEPT), dtype=torch.long, device=device)
        self.slots = torch.zeros(0, dtype=torch.long, device=device)
        self._full = False
        local = torch.arange(VOXELS, device=device)
        grid = torch.stack((local % SIDE, local // SIDE % SIDE, local // SIDE**2), dim=1)
        self._offsets = grid * config.voxel_m
        self._spread = _trilinear(grid.float() / SIDE)

    @property
    def block_count(self) -> int:
        """Active blocks."""
        return len(self.slots)

    def activate(self, points: Float[Tensor, "p 3"], reach_m: float) -> None:
        """Activate the blocks within `reach_m` of canonical points, as far as there is room."""
        steps = torch.tensor([-1.0, 0.0, 1.0], device=points.device) * reach_m
        shifts = torch.cartesian_prod(steps, steps, steps)
        half = self.block_m / 2
        near = (_unique(points / half) + 0.5) * half
        keys = _unique((near[:, None] + shifts).reshape(-1, 3) / self.block_m).to(torch.int32).cpu()
        hashmap = self._grid.hashmap()
        table = o3d.core.Tensor.from_numpy(keys.numpy())
        _, known = hashmap.find(table)
        fresh = keys[torch.from_numpy(~known.numpy())]
        room = self.capacity - self.block_count
        if len(fresh) > room and not self._full:
            self._full = True
            logger.warning("the canonical volume is full; surface farther out is left away")
        fresh = fresh[:room]
        if not len(fresh):
            return
        slots, _ = hashmap.activate(o3d.core.Tensor.from_numpy(fresh.numpy()))
        self._prepare(torch.from_numpy(slots.numpy().astype(np.int64)), fresh)

    def _prepare(self, slots: Int[Tensor, "b"], keys: Int[Tensor, "b 3"]) -> None:
        """Skinning weights and body normals of new blocks: the field on a lattice of half blocks, interpolated."""
        lattice = torch.cartesian_prod(*(torch.arange(3.0),) * 3) * (self.block_m / 2)
        for some in torch.arange(len(slots)).split(SKIN_CHUNK):
            origins = keys[some].float() * self.block_m
            values = self.field.at((origins[:, None] + lattice).reshape(-1, 3).numpy())
            skin = torch.from_numpy(values.skin).view(len(some), len(lattice), -1).to(self.device)
            bones = skin.amax(dim=1).topk(SKIN_BONES_KEPT, dim=1).indices
            kept = skin.gather(2, bones[:, None].expand(-1, len(lattice), -1))
            kept = self._spread @ (kept / kept.sum(dim=-1, keepdim=True))
            normals = torch.from_numpy(values.normal).float().view(len(some), len(lattice), 3).to(self.device)
            slot = slots[some].to(self.device)
            self._skin[slot], self._bones[slot], self._normals[slot] = kept, bones, self._spread @ normals
            self._origins[slot] = origins.to(self.device)
        self.slots = torch.cat((self.slots, slots.to(self.device)))

    def integrate(self, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"], frame_weight: float) -> None:
        """Fold one frame into the volume, where its pixels show the voxel's own part of the body."""
        slots = self._slots_in_view(view, cam_from_rest)
        for some in slots.split(BLOCKS_AT_ONCE):
            self._integrate_blocks(some, view, cam_from_rest, frame_weight)

    def _slots_in_view(self, view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"]) -> Int[Tensor, "s"]:
        """Blocks that may hold voxels near the surface seen, judged at their centres.

        Where a centre's pixel shows surface, the block must be near that, and of the same body part; where it does
        not, the depth range of the pixels around decides.
        """
        rows = cam_from_rest[:, :3].reshape(-1, 12)[self._bones[self.slots]]
        matrices = (self._skin[self.slots, MIDDLE_VOXEL][:, None] @ rows).view(-1, 3, 4)
        centres = self._origins[self.slots] + self.block_m / 2
        at = (matrices[:, :, :3] @ centres[..., None])[..., 0] + matrices[:, :, 3]
        axis = (matrices[:, :, :3] @ self._normals[self.slots, MIDDLE_VOXEL, :, None])[..., 0]
        away = (axis * torch.nn.functional.normalize(at, dim=1)).sum(dim=1) > BACK_COS
        radius = self.block_m * 0.87 * STRETCH
        behind, before = radius + self.config.truncation_m, radius + CARVE_TRUNCATIONS * self.config.truncation_m
        pixel, inside = _pixels(at, view)
        seen = view.rows[pixel]
        gap = at - seen[:, POINT]
        signed = (gap * seen[:, NORMAL]).sum(dim=1)
        apart = (centres - seen[:, CANONICAL]).norm(dim=1)
        near = (
            (signed > -behind) & (signed < before) & (apart < STRETCH * gap.norm(dim=1) + seen[:, TOLERANCE] + radius)
        )
        low, high = _depth_range(view, pixel, radius)
        maybe = (at[:, 2] > low - before) & (at[:, 2] < high + behind)
        return self.slots[inside & ~away & torch.where(seen[:, WEIGHT] > 0, near, maybe)]

    def _integrate_blocks(
        self, slots: Int[Tensor, "s"], view: FrameView, cam_from_rest: Float[Tensor, "j 4 4"], frame_weight: float
    ) -> None:
        at, facing_axis = self._warp(slots, cam_from_rest)
        pixel, inside = _pixels(at, view)
        rows = view.rows[pixel]
        gap = at - rows[:, POINT]
        normals = rows[:, NORMAL]
        signed = (gap * normals).sum(dim=1)
        points = (self._origins[slots, None] + self._offsets).view(-1, 3)
        apart = (points - rows[:, CANONICAL]).norm(dim=1)
        same_part = apart < STRETCH * gap.norm(dim=1) + rows[:, TOLERANCE]
        facing = (0.5 + 1.5 * (facing_axis * normals).sum(dim=1)).clamp(0, 1)
        weight = rows[:, WEIGHT] * (inside & same_part) * facing * frame_weight
        weight = weight * self._depth_share(signed)
        self._update(slots, signed, weight, rows[:, COLOR])

    def _warp(
        self, slots: Int[Tensor, "s"], cam_from_rest: Float[Tensor, "j 4 4"]
    ) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "v 3"]]:
        """Camera-space places of the voxels of blocks, and the body's normals turned with them."""
        rows = cam_from_rest[:, :3].reshape(-1, 12)[self._bones[slots]]
        matrices = (self._skin[slots] @ rows).view(-1, 3, 4)
        points = (self._origins[slots, None] + self._offsets).view(-1, 3, 1)
        at = torch.baddbmm(matrices[:, :, 3:], matrices[:, :, :3], points)[..., 0]
        return at, (matrices[:, :, :3] @ self._normals[slots].view(-1, 3, 1))[..., 0]

    def _depth_share(self, signed: Float[Tensor, "v"]) -> Float[Tensor, "v"]:
        """Weight by signed distance: full near the surface, falling behind it (nobody saw there), little in front."""
        reach = self.config.truncation_m
        share = ((signed + reach) / (reach - self.config.voxel_m)).clamp(0, 1)
        share = torch.where(signed > reach, CARVE_WEIGHT, share)
        return share * (signed < CARVE_TRUNCATIONS * reach)

    def _update(
        self, slots: Int[Tensor, "s"], signed: Float[Tensor, "v"], weight: Float[Tensor, "v"], rgb: Float[Tensor, "v 3"]
    ) -> None:
        """Running weighted means of distance and colour, and the distance's scatter (West 1979)."""
        added = weight.view(-1, VOXELS)
        before = self.weight[slots]
        total = before + added
        value = (signed / self.config.truncation_m).clamp(-1, 1).view(-1, VOXELS)
        mean = self.tsdf[slots]
        moved = mean + added / total.clamp_min(1e-12) * (value - mean)
        self.scatter[slots] += added * (value - mean) * (value - moved)
        self.tsdf[slots], self.weight[slots] = moved, total
        close = signed.abs() < COLOR_REACH_VOXELS * self.config.voxel_m
        share = (weight * weight * close).view(-1, VOXELS)
        total = self.color_weight[slots] + share
        step = (share / total.clamp_min(1e-12))[..., None]
        self.color[slots] += step * (rgb.view(-1, VOXELS, 3) - self.color[slots])
        self.color_weight[slots] = total

    def voxels(self) -> Voxels:
        """What the volume holds, as arrays."""
        points = self._origins[self.slots, None] + self._offsets
        tsdf, weight, scatter = (t[self.slots].cpu().numpy() for t in (self.tsdf, self.weight, self.scatter))
        return Voxels(points.cpu().numpy(), tsdf, weight, scatter / np.maximum(weight, 1e-9))

    def extract(
        self, tsdf: Float[np.ndarray, "b n"], known: Bool[np.ndarray, "b n"]
    ) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
        """The zero surface of given distances in the active voxels, where they are `known`."""
        slots = self.slots.cpu().numpy()
        # The arrays share the grid's memory; writing them is writing the grid.
        self._grid.attribute("tsdf").numpy().reshape(-1, VOXELS)[slots] = tsdf
        self._grid.attribute("weight").numpy().reshape(-1, VOXELS)[slots] = known
        mesh = self._grid.extract_triangle_mesh(weight_threshold=0.5)
        return mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy().astype(np.int64)

    def interpolate_corners(
        self, function: Callable[[Float[np.ndarray, "q 3"]], Float[np.ndarray, "q"]]
    ) -> Float[np.ndarray, "b n"]:
        """A smooth function at every voxel, evaluated at the blocks' corners only."""
        corners = torch.cartesian_prod(*(torch.arange(2.0),) * 3) * self.block_m
        at = self._origins[self.slots].cpu()[:, None] + corners
        values = function(at.reshape(-1, 3).numpy()).reshape(-1, len(corners))
        local = (self._offsets / self.block_m).cpu()
        hats = torch.stack((1 - local, local), dim=-1)
        share = hats[:, 0, :, None, None] * hats[:, 1, None, :, None] * hats[:, 2, None, None, :]
        return values @ share.reshape(VOXELS, 8).numpy().T

    def sample(
        self, points: Float[np.ndarray, "v 3"]
    ) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v"], Float[np.ndarray, "v"]]:
        """Colour, its weight and the distance's weight at canonical points, interpolated between voxels."""
        base = np.floor(points / self.config.voxel_m).astype(np.int64)
        rest = points / self.config.voxel_m - base
        color, color_weight = np.zeros((len(points), 3)), np.zeros(len(points))
        weight = np.zeros(len(points))
        for corner in np.ndindex(2, 2, 2):
            share = np.prod(np.where(corner, rest, 1 - rest), axis=1)
            slot, voxel, found = self._locate(base + np.array(corner))
            own = share * found
            weight += own * self.weight[slot, voxel].cpu().numpy()
            own = own * self.color_weight[slot, voxel].cpu().numpy()
            color += own[:, None] * self.color[slot, voxel].cpu().numpy()
            color_weight += own
        return color / np.maximum(color_weight, 1e-12)[:, None], color_weight, weight

    def _locate(
        self, voxels: Int[np.ndarray, "v 3"]
    ) -> tuple[Int[Tensor, "v"], Int[Tensor, "v"], Bool[np.ndarray, "v"]]:
        block, local = np.divmod(voxels, SIDE)
        slots, found = self._grid.hashmap().find(o3d.core.Tensor.from_numpy(block.astype(np.int32)))
        known = found.numpy()
        slot = np.where(known, slots.numpy().astype(np.int64), 0)
        index = local[:, 0] + SIDE * local[:, 1] + SIDE**2 * local[:, 2]
        return torch.from_numpy(slot).to(self.device), torch.from_numpy(index).to(self.device), known


def _unique(points: Float[Tensor, "p 3"]) -> Float[Tensor, "u 3"]:
    """The cells of side 1 that points fall in, each once."""
    half, side = 1 << 19, 1 << 20
    packed = torch.floor(points).long() + half
    keys = torch.unique((packed[:, 0] * side + packed[:, 1]) * side + packed[:, 2])
    return torch.stack((keys // side**2, keys // side % side, keys % side), dim=1).sub(half).float()


def _depth_range(
    view: FrameView, pixel: Int[Tensor, "v"], radius_m: float
) -> tuple[Float[Tensor, "v"], Float[Tensor, "v"]]:
    """Least and greatest depth seen within about `radius_m` around pixels; greatest below least where there is none."""
    width, seen = view.camera.width, view.depth_m > 0
    nearest_m = float(torch.where(seen, view.depth_m, torch.inf).amin().clamp(0.1, 100))
    cell = int(np.ceil(radius_m * view.camera.focal_px / nearest_m))

    def around(image: Float[Tensor, "h w"]) -> Float[Tensor, "y x"]:
        """Maxima over square cells of the image and the cells around each."""
        return max_pool2d(max_pool2d(image[None, None], cell, cell, ceil_mode=True), 3, 1, 1)[0, 0]

    far, near = around(view.depth_m), -around(-torch.where(seen, view.depth_m, torch.inf))
    at = pixel // width // cell * far.shape[1] + pixel % width // cell
    return near.view(-1)[at], far.view(-1)[at]


def _pixels(at: Float[Tensor, "v 3"], view: FrameView) -> tuple[Int[Tensor, "v"], Bool[Tensor, "v"]]:
    """The flat index of the pixel that each camera-space point falls in (0 outside), and whether it is inside."""
    camera = view.camera
    x, y = torch.floor(project(at.clamp_min(-1e3), camera)).unbind(dim=1)
    inside = (at[:, 2] > 0.05) & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
    return torch.where(inside, y * camera.width + x, 0).long(), inside


def _trilinear(at: Float[Tensor, "n 3"]) -> Float[Tensor, "n 27"]:
    """Weights of a 3 x 3 x 3 lattice (x slowest) at points 0-1 inside it."""
    nodes = torch.tensor([0.0, 0.5, 1.0], device=at.device)
    hats = (1 - 2 * (at[..., None] - nodes).abs()).clamp_min(0)
    product = hats[:, 0, :, None, None] * hats[:, 1, None, :, None] * hats[:, 2, None, None, :]
    return product.reshape(len(at), 27)
