"""A skirt in the canonical distances: cloth around both legs, as far out as it was seen, down to a clean hem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_field import COARSE_NEIGHBOURS, BodyField, neighbour_weights
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.skirt import SINK_FROM_M, TOP_M, Skirt
from dancedepth.pipeline.surface_samples import SurfaceSamples
from dancedepth.pipeline.volume_sampling import BlockCorners
from jaxtyping import Bool, Float

SHELL_SPACING_M = 0.012
FOLD_M, FREE_GAIN = 0.015, 0.3
"""Folds are no deeper, nor higher: cloth does not move quite as the legs do, and where frames disagree, bulges come up.
Over the crotch the surface seen is left more and more alone, by the second for each metre.
"""
END_M, AIR_M = 0.12, 0.2
"""So far around the cloth's sides, and so far below its hem, there is nothing but legs."""
HEM_M, LEG_M = 0.008, 0.02
"""What was seen farther below the hem than the first, and farther outside the legs than the second, swung there."""


@dataclass(frozen=True)
class Zones:
    """Voxels whose distances a skirt changes."""

    hangs: Bool[np.ndarray, "b n"]
    """As high as the skirt, and near its sides."""
    ends: Bool[np.ndarray, "b n"]
    """Near below its hem."""
    hips: Bool[np.ndarray, "b n"]
    """Of those as high as the skirt, such over the crotch: lower down the legs are under the cloth everywhere."""


@dataclass(frozen=True)
class LaidCloth:
    """Truncated distances to the cloth, and where it rules."""

    around: Float[np.ndarray, "b n"]
    """1 far from it and below its hem."""
    outermost: Bool[np.ndarray, "b n"]
    """Where it is what is worn over all."""
    zones: Zones
    air: Float[np.ndarray, "e"]
    """The least distances below the hem: nothing is there but legs."""
    folds: Float[np.ndarray, "b n"]
    """How far the surface may lie off the cloth."""
    hips: Float[np.ndarray, "b n"]
    """How far the cloth has become what the hips wear: 0 at the crotch and below, 1 where it sinks into them."""

    def shaped(
        self, distances: Float[np.ndarray, "b n"], outlined: Float[np.ndarray, "b n"]
    ) -> Float[np.ndarray, "b n"]:
        """Distances as the cloth allows them; `outlined` are those that the mattes' edges at the body allow."""
        share = np.where(self.outermost, self.hips, 1)
        shaped = (share * outlined + (1 - share) * distances).astype(np.float32)
        shaped[self.zones.ends] = np.maximum(shaped[self.zones.ends], self.air)
        rows = self.zones.hangs & self.outermost
        shaped[rows] = np.clip(shaped[rows], (self.around - self.folds)[rows], (self.around + self.folds)[rows])
        return shaped


class HungCloth:
    """A skirt and how far out of it the cloth lies, at its coarse samples."""

    def __init__(self, skirt: Skirt, samples: SurfaceSamples, thickness_m: Float[np.ndarray, "s"]) -> None:
        self._skirt, self._samples, self._thickness_m = skirt, samples, thickness_m

    @classmethod
    def over(cls, field: BodyField, thickness_m: Float[np.ndarray, "s"]) -> HungCloth | None:
        """The field's skirt; None without one."""
        if field.skirt is None:
            return None
        cloth = np.arange(len(field.clothed.points)) >= len(field.coarse.points)
        return cls(field.skirt, field.clothed.kept(cloth), thickness_m)

    @property
    def shell(self) -> Float[np.ndarray, "p 3"]:
        """Points all over it."""
        samples = self._skirt.samples(SHELL_SPACING_M)
        laid: np.ndarray = samples.points + samples.normals * self._thickness(samples.points)[:, None]
        return laid

    def _thickness(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        weights, _ = neighbour_weights(self._samples, points, COARSE_NEIGHBOURS)
        blended: np.ndarray = weights @ self._thickness_m
        return blended

    def zones(self, points: Float[np.ndarray, "b n 3"]) -> Zones:
        """Where the skirt may change something."""
        under = self._skirt.hem.z - points[..., 2]
        high = points[..., 2] < self._skirt.hem.crotch_z + TOP_M
        off_m = np.full(len(points), np.inf)
        some = (high & (under < AIR_M)).any(axis=1)
        off_m[some] = self._skirt.signed_distance(points[some].mean(axis=1))
        hangs = (under < 0) & high & (np.abs(off_m) < END_M)[:, None]
        ends = (under > 0) & (under < AIR_M) & (off_m < END_M)[:, None]
        return Zones(hangs, ends, hangs & (points[..., 2] > self._skirt.hem.crotch_z))

    def laid(
        self,
        volume: CanonicalVolume,
        points: Float[np.ndarray, "b n 3"],
        corners: BlockCorners,
        zones: Zones,
        wanted: Bool[np.ndarray, "b n"],
        body: Float[np.ndarray, "b n"],
    ) -> LaidCloth:
        """The cloth at the `wanted` voxels, among them its zones; `body` are the truncated distances without it."""
        truncation_m, hem_z, crotch_z = volume.config.truncation_m, self._skirt.hem.z, self._skirt.hem.crotch_z
        thickness_m, reach = corners.of(self._thickness), volume.block_m * np.sqrt(3) / 2
        middle_m = self._skirt.distance(points.mean(axis=1), thickness_m.mean(axis=1))
        rows = wanted & (np.abs(middle_m) < truncation_m + 2 * reach)[:, None]
        around = np.broadcast_to(np.where(middle_m < 0, -1, 1).astype(np.float32)[:, None], wanted.shape).copy()
        away_m = self._skirt.distance(points[rows], thickness_m[rows])
        around[rows] = np.clip(away_m / truncation_m, -1, 1)
        under_m = hem_z - HEM_M - points[..., 2][zones.ends]
        air = np.minimum(under_m / truncation_m, body[zones.ends] - LEG_M / truncation_m)
        free_m = FREE_GAIN * (points[..., 2] - crotch_z).clip(0)
        hips = np.clip((points[..., 2] - crotch_z) / SINK_FROM_M, 0, 1)
        outermost = (around < 1) & (around <= body)
        return LaidCloth(around, outermost, zones, air, (FOLD_M + free_m) / truncation_m, hips)
