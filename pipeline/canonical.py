"""The canonical volume: a sparse truncated signed distance field around the rest body that moves with its bones."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import open3d as o3d
import torch
from dancedepth.pipeline.body_field import SKIN_BONES_KEPT, BodyField
from dancedepth.pipeline.config import FusionConfig
from jaxtyping import Bool, Float, Int
from torch import Tensor

SIDE = 4
"""Voxels along a block's edge: small blocks follow the surface closely."""
VOXELS = SIDE**3
CAPACITY_AREA_M2, CAPACITY_DEPTH_M = 5.0, 0.2
"""Room for this much surface with clothes this deep; a person's skin is about 1.8 m2, and a long coat in the networks'
depth took more than half of it. Memory is taken only where blocks are.
"""
RESERVE = 0.2
"""Share of it that frames leave to the completion: what that lacks are holes."""
MAX_CAPACITY = 500_000
SKIN_CHUNK = 2048
"""Blocks whose skinning weights are computed at once."""
CELLS_A_SIDE = 1 << 20
"""Of the space in which cells have numbers."""
NEAR_SKIN_M = 0.03
"""Blocks whose centres are farther from the skin than this and their own side have the body's field at their corners
alone, nearer ones at the middles between them, too; it is interpolated in between.
"""

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
    """Voxel blocks of Open3D's `VoxelBlockGrid`, activated where surface is seen; `integration` writes into them.

    Open3D owns the hash map of blocks and the attribute memory and extracts the surface; a block's slot in the hash
    map is its row in every tensor here. The last axis of the tensors are a block's voxels (x fastest).
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
        self.color = torch.zeros((self.capacity, 3, VOXELS), device=device)
        self.origins = torch.zeros((self.capacity, 3), device=device)
        self.skin = torch.empty((self.capacity, SKIN_BONES_KEPT, VOXELS), device=device)
        self.normals = torch.empty((self.capacity, 3, VOXELS), device=device)
        self.bones = torch.zeros((self.capacity, SKIN_BONES_KEPT), dtype=torch.long, device=device)
        self.slots = torch.zeros(0, dtype=torch.long, device=device)
        self._full = False
        self._done: dict[float, Int[Tensor, "d"]] = {}
        local = torch.arange(VOXELS, device=device)
        grid = torch.stack((local % SIDE, local // SIDE % SIDE, local // SIDE**2))
        self.offsets = grid * config.voxel_m
        """(3 n) places of a block's voxels from its origin."""
        self._halves, self._corners = (_lattice(grid.T.float() / SIDE, steps) for steps in (2, 1))

    @property
    def block_count(self) -> int:
        """Active blocks."""
        return len(self.slots)

    def activate(self, points: Float[Tensor, "p 3"], reach_m: float, reserve: float = 0.0) -> None:
        """Activate the blocks within `reach_m` of canonical points, as far as there is room beside a reserve."""
        half = self.block_m / 2
        places = self._new_places(_packed(torch.floor(points / half).long()), reach_m)
        if not len(places):
            return
        steps = torch.tensor([-1.0, 0.0, 1.0], device=points.device) * reach_m
        shifts = torch.cartesian_prod(steps, steps, steps)
        near = (_unpacked(places).float() + 0.5) * half
        keys = _cells((near[:, None] + shifts).reshape(-1, 3) / self.block_m).to(torch.int32).cpu()
        hashmap = self._grid.hashmap()
        table = o3d.core.Tensor.from_numpy(keys.numpy())
        _, known = hashmap.find(table)
        fresh = keys[torch.from_numpy(~known.numpy())]
        room = max(int(self.capacity * (1 - reserve)) - self.block_count, 0)
        if len(fresh) > room and not self._full:
            self._full = True
            logger.warning("the canonical volume is full; surface farther out is left away")
        fresh = fresh[:room]
        if not len(fresh):
            return
        slots, _ = hashmap.activate(o3d.core.Tensor.from_numpy(fresh.numpy()))
        self._prepare(torch.from_numpy(slots.numpy().astype(np.int64)), fresh)

    def _new_places(self, packed: Int[Tensor, "p"], reach_m: float) -> Int[Tensor, "n"]:
        """Those around which blocks within `reach_m` were not activated before, each once; they are remembered."""
        places, done = torch.unique(packed), self._done.get(reach_m)
        if done is not None:
            at = torch.searchsorted(done, places).clamp_max(len(done) - 1)
            places = places[done[at] != places]
        if len(places):
            self._done[reach_m] = places if done is None else torch.cat((done, places)).sort().values
        return places

    def _prepare(self, slots: Int[Tensor, "b"], keys: Int[Tensor, "b 3"]) -> None:
        """Skinning weights and body normals of new blocks; far from the skin their corners tell enough."""
        centres = (keys.float().numpy() + 0.5) * np.float32(self.block_m)
        near = torch.from_numpy(self.field.within(centres, NEAR_SKIN_M + self.block_m))
        for some, lattice in ((near, self._halves), (~near, self._corners)):
            every = torch.nonzero(some)[:, 0]
            for first in range(0, len(every), SKIN_CHUNK):
                rows = every[first : first + SKIN_CHUNK]
                self._interpolate(slots[rows].to(self.device), keys[rows], lattice)
        self.slots = torch.cat((self.slots, slots.to(self.device)))

    def _interpolate(self, slots: Int[Tensor, "b"], keys: Int[Tensor, "b 3"], lattice: _Lattice) -> None:
        """The body's field at the points of a lattice in each block, spread over its voxels."""
        nodes, which = unique_cells((keys[:, None].long() * lattice.steps + lattice.places).view(-1, 3))
        values = self.field.at((nodes.float() * (self.block_m / lattice.steps)).numpy())
        skin = torch.from_numpy(values.skin).index_select(0, which).view(len(keys), len(lattice.places), -1)
        bones = skin.amax(dim=1).topk(SKIN_BONES_KEPT, dim=1).indices
        kept = skin.gather(2, bones[:, None].expand(-1, skin.shape[1], -1)).to(self.device)
        known = kept.sum(dim=-1, keepdim=True) > 0  # in large blocks a corner may follow none of its block's bones
        kept = torch.where(known, kept, kept.mean(dim=1, keepdim=True))
        kept = (kept / kept.sum(dim=-1, keepdim=True)).transpose(1, 2) @ lattice.spread
        normals = torch.from_numpy(values.normal)[which].view(len(keys), -1, 3).to(self.device)
        self.skin[slots], self.bones[slots] = kept, bones.to(self.device)
        self.normals[slots] = normals.transpose(1, 2) @ lattice.spread
        self.origins[slots] = (keys.float() * self.block_m).to(self.device)

    def voxels(self) -> Voxels:
        """What the volume holds, as arrays."""
        points = self.origins[self.slots, None] + self.offsets.T
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
        return _in_order(mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy().astype(np.int64))

    def locate(
        self, voxels: Int[np.ndarray, "v 3"]
    ) -> tuple[Int[Tensor, "v"], Int[Tensor, "v"], Bool[np.ndarray, "v"]]:
        """Slot and place in the block of voxels given by their integer coordinates, and which of them are active."""
        block, local = np.divmod(voxels, SIDE)
        slots, found = self._grid.hashmap().find(o3d.core.Tensor.from_numpy(block.astype(np.int32)))
        known = found.numpy()
        slot = np.where(known, slots.numpy().astype(np.int64), 0)
        index = local[:, 0] + SIDE * local[:, 1] + SIDE**2 * local[:, 2]
        return torch.from_numpy(slot).to(self.device), torch.from_numpy(index).to(self.device), known


def _cells(points: Float[Tensor, "p 3"]) -> Int[Tensor, "u 3"]:
    """The cells of side 1 that points fall in, each once."""
    return _unpacked(torch.unique(_packed(torch.floor(points).long())))


def unique_cells(cells: Int[Tensor, "p 3"]) -> tuple[Int[Tensor, "u 3"], Int[Tensor, "p"]]:
    """Every cell once, and which of them each given cell is."""
    keys, which = torch.unique(_packed(cells), return_inverse=True)
    return _unpacked(keys), which


def _packed(cells: Int[Tensor, "p 3"]) -> Int[Tensor, "p"]:
    """One number for each cell."""
    shifted = cells + CELLS_A_SIDE // 2
    return (shifted[:, 0] * CELLS_A_SIDE + shifted[:, 1]) * CELLS_A_SIDE + shifted[:, 2]


def _unpacked(keys: Int[Tensor, "p"]) -> Int[Tensor, "p 3"]:
    side = CELLS_A_SIDE
    return torch.stack((keys // side**2, keys // side % side, keys % side), dim=1) - side // 2


@dataclass(frozen=True)
class _Lattice:
    """Points in a block: where they are, in so many steps along its edge, and their weights at its voxels."""

    steps: int
    places: Int[Tensor, "k 3"]
    spread: Float[Tensor, "k n"]


def _lattice(voxels: Float[Tensor, "n 3"], steps: int) -> _Lattice:
    """Trilinear interpolation at voxels that lie 0-1 in their block."""
    places = torch.cartesian_prod(*(torch.arange(steps + 1),) * 3)
    hats = (1 - (voxels[None] * steps - places[:, None].to(voxels)).abs()).clamp_min(0)
    return _Lattice(steps, places, hats.prod(dim=-1))


def _in_order(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """The same mesh, sorted: Open3D's threads hand out vertices and triangles in another order each time."""
    order = np.lexsort(vertices.T)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    faces = rank[faces]
    first = faces.argmin(axis=1)[:, None]
    turned = np.take_along_axis(faces, (first + np.arange(3)) % 3, axis=1)
    return vertices[order], turned[np.lexsort(turned.T)]
