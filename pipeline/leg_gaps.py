"""What a matte says between and beside the dancer's legs, held against the posed body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.models.geometry import Camera
from jaxtyping import Float, Int, UInt8
from scipy.spatial import cKDTree

LEG_BONES = ("upperleg", "lowerleg", "foot", "toe")
ARM_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger")
"""Names of the bones of legs and arms start so."""
SPACING_M, HALF_SLICE_M = 0.025, 0.02
"""Heights at which the legs are looked at, and how much of them each takes in."""
ANKLE_M = 0.12
"""Above the soles; farther down, shoes meet."""
OPEN_M = 0.03
"""Legs nearer to one another than this do not tell what is between them."""
ACROSS = (0.4, 0.5, 0.6)
"""Places across the gap that are looked at."""
HIDDEN_M = 0.012
"""Where another part of the body is this near in the picture, it may be what is seen."""
EACH_VERTEX = 2
"""Every so-manieth vertex of the body is asked for that; they lie a centimetre apart."""
WALK_M, STEP_M = (-0.08, 0.2), 0.004
"""From a leg's outer edge the matte is followed outwards, this far at most."""
NEAREST_M = 0.1
ARM_M = 0.06
"""A silhouette this near to an arm may be the arm's."""


@dataclass(frozen=True)
class LegLevels:
    """The legs' skin in slices from the crotch to the ankles."""

    crotch_z: float
    heights: Float[np.ndarray, "n"]
    vertices: Int[np.ndarray, "n 2 v"]
    """Of the left and the right leg; slices with fewer vertices repeat them."""
    body: Int[np.ndarray, "b"]
    """Vertices all over the body, arms and all."""
    arms: Int[np.ndarray, "a"]


@dataclass(frozen=True)
class GapLook:
    """What one frame says at each height; NaN where nothing."""

    open_m: Float[np.ndarray, "n"]
    """Width of the gap between the legs in the picture; negative where they overlap."""
    cloth: Float[np.ndarray, "n"]
    """Share of the gap that the matte calls the dancer."""
    beside_m: Float[np.ndarray, "n"]
    """How far the matte reaches beyond the legs' outer edges."""


def leg_levels(body: BodyModel, rest: RestBody) -> LegLevels:
    """Slices of the rest legs."""
    points = rest.vertices.cpu().numpy()
    skin = np.unique(body.faces.cpu().numpy())
    share = [_share(body, skin, LEG_BONES, side) for side in (".L", ".R")]
    crotch_z = float(points[skin[np.abs(points[skin, 0]) < HALF_SLICE_M / 2], 2].min())
    heights = np.arange(crotch_z - SPACING_M, points[skin, 2].min() + ANKLE_M, -SPACING_M)
    rows = [[skin[(s > 0.5) & (np.abs(points[skin, 2] - z) < HALF_SLICE_M)] for s in share] for z in heights]
    most = max(len(leg) for pair in rows for leg in pair)
    legs = np.array([[np.resize(leg, most) for leg in pair] for pair in rows])
    return LegLevels(crotch_z, heights, legs, skin[::EACH_VERTEX], skin[_share(body, skin, ARM_BONES) > 0.5])


def _share(
    body: BodyModel, vertices: Int[np.ndarray, "v"], bones_begin: tuple[str, ...], side: str = ""
) -> Float[np.ndarray, "v"]:
    """How far vertices belong to a leg or to the arms."""
    own = np.array([name.startswith(bones_begin) and name.endswith(side) for name in body.bone_names])
    weights, bones = (part.cpu().numpy()[vertices] for part in (body.skin_weights, body.skin_bones))
    share: np.ndarray = (weights * own[bones]).sum(axis=1)
    return share


def look_between(
    alpha: UInt8[np.ndarray, "h w"], posed: Float[np.ndarray, "v 3"], camera: Camera, levels: LegLevels
) -> GapLook:
    """Hold one frame's matte against the posed body."""
    far_m = posed[levels.vertices, 2].mean(axis=(1, 2))
    px_per_m = (camera.focal_px / far_m.clip(NEAREST_M))[:, None]
    pixels = posed[:, :2] / posed[:, 2:].clip(NEAREST_M) * camera.focal_px + (camera.cx, camera.cy)
    line = _Lines(pixels[levels.vertices])
    left, right = line.extent[:, 0], line.extent[:, 1]
    gap_px = right[:, :1] - left[:, 1:]
    places = line.at(left[:, 1:] + gap_px * np.array(ACROSS))
    near_px, _ = cKDTree(pixels[levels.body]).query(places)
    told = (near_px > HIDDEN_M * px_per_m) & (gap_px > OPEN_M * px_per_m)
    cloth = mean_of_known(np.where(told, _read(alpha, places), np.nan))
    walk = np.arange(*WALK_M, STEP_M) * px_per_m
    arms = cKDTree(pixels[levels.arms])
    sides = []
    for outwards in (line.at(left[:, :1] - walk), line.at(right[:, 1:] + walk)):
        beside_m, ends = _reach(_read(alpha, outwards), outwards)
        sides.append(np.where(arms.query(ends)[0] > ARM_M * px_per_m[:, 0], beside_m, np.nan))
    return GapLook((gap_px / px_per_m)[:, 0], cloth, mean_of_known(np.stack(sides, axis=1)))


class _Lines:
    """In the picture, one line for each height, through the middles of both legs there."""

    def __init__(self, pixels: Float[np.ndarray, "n 2 v 2"]) -> None:
        middles = pixels.mean(axis=2)
        across = middles[:, 1] - middles[:, 0]
        self._across = across / np.linalg.norm(across, axis=1, keepdims=True).clip(1e-6)
        along = np.einsum("nsvk,nk->nsv", pixels, self._across)
        self.extent = np.stack((along.min(axis=2), along.max(axis=2)), axis=2)
        """(n 2 2) where each leg begins and ends along its line."""
        start = middles[:, 0]
        self._start = start - (start * self._across).sum(axis=1, keepdims=True) * self._across

    def at(self, along: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p 2"]:
        """Pixels at places along the lines."""
        return self._start[:, None] + along[..., None] * self._across[:, None]


def _read(alpha: UInt8[np.ndarray, "h w"], places: Float[np.ndarray, "n p 2"]) -> Float[np.ndarray, "n p"]:
    """Alpha 0-1 at pixels; NaN outside the picture."""
    height, width = alpha.shape
    x, y = np.floor(places[..., 0]), np.floor(places[..., 1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = np.where(inside, x, 0).astype(int), np.where(inside, y, 0).astype(int)
    return np.where(inside, alpha[row, column] / 255.0, np.nan)


def _reach(
    alpha: Float[np.ndarray, "n p"], places: Float[np.ndarray, "n p 2"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 2"]]:
    """Metres beyond the leg's edge at which the matte first ends, and that pixel; NaN where it never does, or the
    picture comes first.
    """
    ends = alpha < 0.5
    first = ends.argmax(axis=1)
    row = np.arange(len(alpha))
    sure = ends.any(axis=1) & np.isfinite(alpha[row, :]).cumprod(axis=1)[row, first].astype(bool)
    return np.where(sure, WALK_M[0] + STEP_M * first, np.nan), places[row, first]


def mean_of_known(values: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n"]:
    """Of each row's numbers that are there."""
    some = np.isfinite(values)
    return np.where(some.any(axis=1), np.where(some, values, 0).sum(axis=1) / some.sum(axis=1).clip(1), np.nan)
