"""Smooth values in and out of the canonical volume: interpolated between its voxels, or from its blocks' corners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import VOXELS, CanonicalVolume, unique_cells
from jaxtyping import Float


@dataclass(frozen=True)
class Samples:
    """What the volume holds at points in it."""

    color: Float[np.ndarray, "v 3"]
    """0-1; black where nobody saw a colour."""
    color_weight: Float[np.ndarray, "v"]
    weight: Float[np.ndarray, "v"]
    """Of the distances."""


def sample(volume: CanonicalVolume, points: Float[np.ndarray, "v 3"]) -> Samples:
    """Interpolate between the eight voxels around each canonical point."""
    base = np.floor(points / volume.config.voxel_m).astype(np.int64)
    rest = points / volume.config.voxel_m - base
    color, color_weight, weight = np.zeros((len(points), 3)), np.zeros(len(points)), np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, rest, 1 - rest), axis=1)
        slot, voxel, found = volume.locate(base + np.array(corner))
        own = share * found
        weight += own * volume.weight[slot, voxel].cpu().numpy()
        own = own * volume.color_weight[slot, voxel].cpu().numpy()
        color += own[:, None] * volume.color[slot, :, voxel].cpu().numpy()
        color_weight += own
    return Samples(color / np.maximum(color_weight, 1e-12)[:, None], color_weight, weight)


class BlockCorners:
    """The corners of a volume's active blocks, where smooth values are evaluated; at voxels they are interpolated."""

    def __init__(self, volume: CanonicalVolume, field: BodyField) -> None:
        steps = torch.cartesian_prod(*(torch.arange(2),) * 3)
        blocks = (volume.origins[volume.slots].cpu() / volume.block_m).round().long()
        nodes, which = unique_cells((blocks[:, None] + steps).view(-1, 3))
        self._points, self._which = (nodes.float() * volume.block_m).numpy(), which.numpy().reshape(-1, len(steps))
        self._samples = field.sharing(self._points)
        local = (volume.offsets.T / volume.block_m).cpu()
        hats = torch.stack((1 - local, local), dim=-1)
        share = hats[:, 0, :, None, None] * hats[:, 1, None, :, None] * hats[:, 2, None, None, :]
        self._share = share.reshape(VOXELS, 8).numpy().T

    def of(self, function: Callable[[Float[np.ndarray, "q 3"]], Float[np.ndarray, "q"]]) -> Float[np.ndarray, "b n"]:
        """A function of places."""
        return self._between(function(self._points))

    def spread(self, values: Float[np.ndarray, "s"]) -> Float[np.ndarray, "b n"]:
        """Values of the body field's coarse samples."""
        return self._between(self._samples @ values)

    def _between(self, values: Float[np.ndarray, "q"]) -> Float[np.ndarray, "b n"]:
        interpolated: np.ndarray = values[self._which] @ self._share
        return interpolated
