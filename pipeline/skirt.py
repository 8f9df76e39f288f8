"""A skirt at rest: one piece of cloth around both legs, down to its hem, moved by both of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.pipeline.body_rays import BodyRays
from dancedepth.pipeline.leg_gaps import ARM_BONES, LEG_BONES
from dancedepth.pipeline.skirt_evidence import Hem
from dancedepth.pipeline.surface_samples import SurfaceSamples, spread_samples
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import ConvexHull, cKDTree

SLICE_M, HALF_SLICE_M = 0.01, 0.02
"""Heights at which there is an outline, and how much of the legs each takes in."""
TOP_M = 0.2
"""Above the crotch the outline has sunk into the hips."""
SINK_FROM_M, SUNK_SHARE = 0.12, 0.5
"""From this far above the crotch, down to so much of its size."""
HUG_M = 0.06
"""From this far above the crotch cloth lies on the hips."""
SPOKES = 96
"""Points of an outline."""
INWARDS = 0.015
"""Cloth falls from what is wider above it; each slice may be so much narrower than the one above."""
APRON_M = 0.15
"""The cloth is continued below its hem by this much, for distances beside it."""
SMOOTH_SLICES, SMOOTH_SPOKES, FLARE_SLICES = 1.5, 1.0, 4.0
LEAST_RADIUS_M = 0.01
"""The axis stays inside the cloth, also where that is open in front."""
CLEAR_M = 0.006
"""The cloth is laid so far around the legs, which otherwise show through where outlines are smoothed."""
LID_RINGS = (0.8, 0.6, 0.4, 0.2)
"""Of the size of the outline at the hem."""
THIGH = 0.75
"""Of a leg's width from within: from there on cloth follows that leg alone. From leg to leg weights change evenly, so
that cloth does not fold over where legs that stand apart at rest are closed.
"""
ROOT_SHARE = 0.25
"""Midway between the legs, cloth hangs from the hips by so much: legs turn about themselves, too."""
JOIN_M = (-0.02, 0.08)
"""Above the crotch the legs' own weights give way to the hips' between these."""
INSIDE_M = 0.002
"""Skin this little outside the cloth is under it all the same."""


@dataclass(frozen=True)
class Skin:
    """The rest body's skin, every vertex with its weights."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    weights: Float[np.ndarray, "v j"]
    bone_names: tuple[str, ...]


@dataclass(frozen=True)
class LegChains:
    """The bones that move either leg's cloth at each height, and where the legs stand."""

    heights: Float[np.ndarray, "z"]
    """Rising."""
    sides_x: Float[np.ndarray, "2 z"]
    """From here on outwards cloth follows one leg alone."""
    weights: Float[np.ndarray, "2 z j"]
    root: int
    """The bone of the hips."""

    def skin(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q j"]:
        """From the left leg's weights to the right one's, smoothly across the gap."""
        place = np.clip((points[:, 2] - self.heights[0]) / SLICE_M, 0, len(self.heights) - 1.001)
        low = place.astype(np.int64)
        share = (place - low)[:, None]
        left, right = (w[low] * (1 - share) + w[low + 1] * share for w in self.weights)
        x = [np.interp(points[:, 2], self.heights, middle) for middle in self.sides_x]
        t = np.clip((points[:, 0] - x[1]) / (x[0] - x[1]), 0, 1)
        t = t[:, None]
        blended: np.ndarray = t * left + (1 - t) * right
        blended *= 1 - ROOT_SHARE * 4 * t * (1 - t)
        blended[:, self.root] += (ROOT_SHARE * 4 * t * (1 - t))[:, 0]
        return blended


class Skirt:
    """Its shape: the legs' convex outline at each height, closed by a lid at the hem.

    Attributes:
        vertices, faces, weights: the closed cloth as a mesh with skinning weights.
    """

    def __init__(self, skin: Skin, hem: Hem) -> None:
        self.hem = hem
        self._chains = _chains(skin, hem)
        self._hips = cKDTree(skin.vertices[_lower(skin)])
        self._hip_weights = skin.weights[_lower(skin)]
        outline = _Outline(skin, hem)
        count = 1 + round((outline.top_z - hem.z) / SLICE_M)
        self.vertices, self.faces = _closed(outline.rings(np.linspace(outline.top_z, hem.z, count)))
        self.weights = self.skin(self.vertices)
        apron = np.linspace(outline.top_z, outline.bottom_z, count)
        self._closed = BodyRays(self.vertices, self.faces)
        self._around = BodyRays(*_closed(outline.rings(apron)))

    def covers(self, points: Float[np.ndarray, "q 3"]) -> Bool[np.ndarray, "q"]:
        """Whether skin at these points is under the cloth."""
        under: np.ndarray = self._closed.signed_distance(points) < INSIDE_M
        return under

    def distance(
        self, points: Float[np.ndarray, "q 3"], thickness_m: Float[np.ndarray, "q"] | float = 0.0
    ) -> Float[np.ndarray, "q"]:
        """Metres to the cloth, laid out by a thickness, which moves its sides and not its hem; negative inside."""
        around = self._around.signed_distance(points) - thickness_m
        result: np.ndarray = np.maximum(around, self.hem.z - points[:, 2])
        return result

    def signed_distance(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q"]:
        """Metres to its sides, as if it had no hem."""
        return self._around.signed_distance(points)

    def skin(self, points: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "q j"]:
        """Skinning weights of the cloth: the legs', and the hips' above them."""
        own = self._chains.skin(points)
        _, nearest = self._hips.query(points)
        over = np.clip((points[:, 2] - self.hem.crotch_z - JOIN_M[0]) / (JOIN_M[1] - JOIN_M[0]), 0, 1)[:, None]
        joined: np.ndarray = own + over * over * (3 - 2 * over) * (self._hip_weights[nearest] - own)
        return joined.astype(np.float32)

    def samples(self, spacing_m: float) -> SurfaceSamples:
        """Points all over the cloth."""
        return spread_samples(self.vertices, self.faces, self.weights, spacing_m)


class _Outline:
    """The convex outline of the legs at each height, as distances along spokes from an upright axis."""

    def __init__(self, skin: Skin, hem: Hem) -> None:
        points = skin.vertices[_lower(skin)]
        self.top_z, self.bottom_z = hem.crotch_z + TOP_M, hem.z - APRON_M
        angles = np.arange(SPOKES) * (2 * np.pi / SPOKES)
        self._spokes = np.stack((np.cos(angles), np.sin(angles)), axis=1)
        own = points[(points[:, 2] < self.top_z) & (points[:, 2] > self.bottom_z)]
        self._middle = np.array([0.0, (own[:, 1].min() + own[:, 1].max()) / 2])
        self._heights = np.arange(self.bottom_z, self.top_z + SLICE_M, SLICE_M)
        radii, fallen = [], np.zeros((0, 2))
        for z in self._heights[::-1]:
            flat = points[np.abs(points[:, 2] - z) < HALF_SLICE_M, :2] - self._middle
            hull = ConvexHull(np.concatenate((flat, fallen)))
            fallen = hull.points[hull.vertices] * (1 - INWARDS)
            towards = hull.equations[:, :2] @ self._spokes.T
            far = np.where(towards > 1e-6, -hull.equations[:, 2:] / towards.clip(1e-6), np.inf)
            radii.append(far.min(axis=0))
        table = gaussian_filter1d(np.stack(radii[::-1]), SMOOTH_SLICES, axis=0, mode="nearest")
        table = gaussian_filter1d(table, SMOOTH_SPOKES, axis=1, mode="wrap")
        over = np.clip((self._heights - hem.crotch_z - SINK_FROM_M) / (TOP_M - SINK_FROM_M), 0, 1)
        flare = self._flare(hem)
        radii = table + CLEAR_M + flare[:, None]
        if hem.open_front:
            radii = gaussian_filter1d(np.minimum(radii, self._opening(points, hem)), SMOOTH_SPOKES, axis=1, mode="wrap")
        self._radii = radii * (1 - (1 - SUNK_SHARE) * over**2)[:, None]

    def _opening(self, points: Float[np.ndarray, "l 3"], hem: Hem) -> Float[np.ndarray, "z k"]:
        """How far the spokes reach that leave between the legs' middles, through the front: to the plane of these."""
        reach = np.full((len(self._heights), SPOKES), np.inf)
        across, ahead = self._spokes[:, 0], -self._spokes[:, 1]
        for row, z in enumerate(np.minimum(self._heights, hem.crotch_z - HALF_SLICE_M)):
            legs = points[np.abs(points[:, 2] - z) < HALF_SLICE_M]
            middle_x, middle_y = np.abs(legs[:, 0]).mean(), legs[:, 1].mean()
            front_m = max(self._middle[1] - legs[:, 1].min(), LEAST_RADIUS_M)
            open_spokes = (ahead > 0) & (np.abs(across) * front_m < middle_x * ahead)
            to_plane = (self._middle[1] - middle_y) / ahead.clip(1e-6)
            reach[row, open_spokes] = to_plane[open_spokes].clip(LEAST_RADIUS_M)
        return reach

    def _flare(self, hem: Hem) -> Float[np.ndarray, "z"]:
        """How far the cloth stands off the legs: as far all around as on both sides, where the silhouette shows it; no
        less farther down.
        """
        if not len(hem.heights):
            return np.zeros_like(self._heights)
        heights = np.concatenate((hem.heights[::-1], [hem.crotch_z + HUG_M]))
        beside_m = np.concatenate((np.maximum.accumulate(hem.beside_m)[::-1], [0.0]))
        return gaussian_filter1d(np.interp(self._heights, heights, beside_m), FLARE_SLICES, mode="nearest")

    def rings(self, heights: Float[np.ndarray, "r"]) -> Float[np.ndarray, "r k 3"]:
        """A point on every spoke at each of these heights."""
        radius = np.stack([np.interp(heights, self._heights, spoke) for spoke in self._radii.T], axis=1)
        flat = self._middle + radius[..., None] * self._spokes
        return np.concatenate((flat, np.broadcast_to(heights[:, None, None], (*radius.shape, 1))), axis=2)


def _lower(skin: Skin) -> Int[np.ndarray, "l"]:
    """Skin vertices that do not belong to the arms; hands hang beside the hips."""
    arms = [name.startswith(ARM_BONES) for name in skin.bone_names]
    used = np.unique(skin.faces)
    lower: np.ndarray = used[skin.weights[used][:, arms].sum(axis=1) < 0.5]
    return lower


def _chains(skin: Skin, hem: Hem) -> LegChains:
    used = np.unique(skin.faces)
    points, weights = skin.vertices[used], skin.weights[used]
    heights = np.arange(hem.z - APRON_M, hem.crotch_z + TOP_M, SLICE_M)
    sides, chains = [], []
    for side, outer in ((".L", THIGH), (".R", 1 - THIGH)):
        own = np.array([name.startswith(LEG_BONES) and name.endswith(side) for name in skin.bone_names])
        leg = weights[:, own].sum(axis=1) > 0.5
        slices = [leg & (np.abs(points[:, 2] - min(z, hem.crotch_z - HALF_SLICE_M)) < HALF_SLICE_M) for z in heights]
        sides.append([(1 - outer) * points[s, 0].min() + outer * points[s, 0].max() for s in slices])
        mean = gaussian_filter1d([weights[s].mean(axis=0) * own for s in slices], 2.0, axis=0, mode="nearest")
        chains.append(_simplified(mean, skin.bone_names, side))
    smooth = gaussian_filter1d(np.array(sides), 2.0, axis=1, mode="nearest")
    return LegChains(heights, smooth, np.stack(chains), skin.bone_names.index("root"))


def _simplified(weights: Float[np.ndarray, "z j"], names: tuple[str, ...], side: str) -> Float[np.ndarray, "z j"]:
    """The thigh's two bones as one, which only move together, and no feet: a surface's vertex keeps four bones."""
    thigh = weights[:, [names.index(f"upperleg0{k}{side}") for k in (1, 2)]].sum(axis=1)
    shin = weights[:, [names.index(f"lowerleg0{k}{side}") for k in (1, 2)]].sum(axis=1)
    result = np.zeros_like(weights)
    result[:, names.index(f"upperleg02{side}")] = thigh / (thigh + shin)
    result[:, names.index(f"lowerleg01{side}")] = shin / (thigh + shin)
    return result


def _closed(rings: Float[np.ndarray, "r k 3"]) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """A closed mesh of rings from above, seen from outside counter-clockwise, with a lid at both ends."""
    middle = rings[-1].mean(axis=0)
    rings = np.concatenate((rings, [middle + share * (rings[-1] - middle) for share in LID_RINGS]))
    count, spokes = rings.shape[:2]
    vertices = np.concatenate((rings.reshape(-1, 3), rings[[0, -1]].mean(axis=1)))
    ring, spoke = np.meshgrid(np.arange(count - 1), np.arange(spokes), indexing="ij")
    a, b = ring * spokes + spoke, ring * spokes + (spoke + 1) % spokes
    c, d = a + spokes, b + spokes
    sides = np.stack((np.stack((a, c, b), -1), np.stack((b, c, d), -1))).reshape(-1, 3)
    k = np.arange(spokes)
    top = np.stack((np.full(spokes, count * spokes), k, (k + 1) % spokes), axis=1)
    last = (count - 1) * spokes
    lid = np.stack((np.full(spokes, count * spokes + 1), last + (k + 1) % spokes, last + k), axis=1)
    return vertices.astype(np.float32), np.concatenate((sides, top, lid))
