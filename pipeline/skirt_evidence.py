"""Whether cloth hangs between the dancer's legs, and how far down: the mattes say it, where the legs stand apart.

Trousers leave background there. Where they do not (a low crotch), they still have no hem that steps in beside the legs.
A skirt without an end reaches the ankles. A coat that is open in front hangs there too, seen from behind; from the
front its inside or the background is seen between the legs, of which mattes take in half (0.3 to 0.6; 1 of skirts).
What is seen closed from the front is a skirt, also where only frames from behind show its hem.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody, skin_points
from dancedepth.pipeline.leg_gaps import SPACING_M, STEP_M, GapLook, LegLevels, leg_levels, look_between, mean_of_known
from dancedepth.pipeline.records import BodyMotion, ImageSequence
from jaxtyping import Float

MOST_LOOKS, FEWEST_LOOKS, LOOK_SHARE = 18, 8, 6
"""So many frames are asked: at most, at least, and every so-manieth of the clip between."""
TELLING_FRAMES = 3
"""From so many on, a height has been told of."""
CLOTH_SHARE, BARE_SHARE = 0.8, 0.25
"""Of what is seen between the legs, so much is cloth above the hem, and no more than this below it."""
COAT_BARE_SHARE = 0.45
"""Below a coat's hem its front may still be seen from behind."""
BACK_COS = 0.6
"""A dancer whose hips face away from the camera by so much is seen from behind; towards it, from the front."""
SHORTEST_M = 0.1
"""Below the crotch; trousers hang lower than the body's crotch, too."""
SIDE_STEP_M = 0.015
"""By so much and more the silhouette steps in where a skirt ends."""
SIDE_REACH_M, HEM_NEAR_M = 0.075, 0.1
"""The step is the difference between the means over this much above and below, in the median frame; it lies this near
to the cloth's end between the legs."""
NO_SKIRT = "no skirt: %s"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hem:
    """Where a skirt ends, at rest."""

    crotch_z: float
    z: float
    heights: Float[np.ndarray, "k"]
    """Falling, from the crotch to the hem."""
    beside_m: Float[np.ndarray, "k"]
    """How far the cloth usually reaches beyond the legs' outer edges there; not negative."""
    open_front: bool = False
    """Whether the legs stick out of it in front: a coat."""


def find_hem(
    motion: BodyMotion, mattes: ImageSequence, usable: list[int], body: BodyModel, rest: RestBody
) -> Hem | None:
    """Ask the mattes of some frames in which the legs stand farthest apart; None without a skirt, or if none tells.

    If all of these see no skirt, those from behind may see a coat.
    """
    levels = leg_levels(body, rest)

    def asked(frames: list[int]) -> list[GapLook]:
        looks = []
        for index in _telling(frames, motion, levels, rest):
            transforms = torch.as_tensor(motion.cam_from_rest[index : index + 1], dtype=torch.float32)
            posed = skin_points(rest.vertices, body.skin_weights, body.skin_bones, transforms.to(rest.vertices.device))
            looks.append(look_between(mattes.load(index), posed[0].cpu().numpy(), motion.camera, levels))
        return looks

    if not usable:
        return None
    skirt = hem_of(levels, asked(usable))
    behind, front = ([i for i in usable if side * _away(motion, i) > BACK_COS] for side in (1, -1))
    if skirt is not None or len(behind) < TELLING_FRAMES:
        return skirt
    back = asked(behind)
    return hem_of(levels, back, open_front=not (front and _closed(asked(front), back)))


def _closed(front: list[GapLook], back: list[GapLook]) -> bool:
    """Whether frames from the front see cloth between the legs, too, as high as frames from behind do."""
    share = _cloth_share(front)[_cloth_share(back) > CLOTH_SHARE]
    return bool(np.isfinite(share).any()) and float(np.nanmean(share)) > CLOTH_SHARE


def _away(motion: BodyMotion, index: int) -> float:
    """How far the hips face away from the camera: -1 to 1. At rest they face -y."""
    return -float(motion.cam_from_rest[index, motion.bone_names.index("root"), 2, 1])


def _telling(usable: list[int], motion: BodyMotion, levels: LegLevels, rest: RestBody) -> list[int]:
    """Of each stretch of the clip, the frame in which the thighs stand farthest apart in the picture."""
    knees = [levels.vertices[len(levels.heights) // 2, side] for side in (0, 1)]
    at = np.stack([rest.vertices.cpu().numpy()[knee].mean(axis=0) for knee in knees])
    bones = [motion.bone_names.index(f"lowerleg01{side}") for side in (".L", ".R")]
    moved = motion.cam_from_rest[usable][:, bones]
    places = np.einsum("nsij,sj->nsi", moved[..., :3, :3], at) + moved[..., :3, 3]
    apart = np.linalg.norm(places[:, 0, :2] - places[:, 1, :2], axis=1)
    count = min(len(usable), int(np.clip(len(usable) // LOOK_SHARE, FEWEST_LOOKS, MOST_LOOKS)))
    stretches = np.array_split(np.arange(len(usable)), count)
    return [usable[stretch[apart[stretch].argmax()]] for stretch in stretches]


def hem_of(levels: LegLevels, looks: list[GapLook], open_front: bool = False) -> Hem | None:
    """The skirt's end, from what all frames say: cloth down to it, bare legs below it, and a step beside the legs.

    With `open_front` they are frames from behind, and it is a coat's.
    """
    beside = _beside(looks)
    z = _end(levels, looks, beside, COAT_BARE_SHARE if open_front else BARE_SHARE)
    if z is None:
        return None
    below_cm = 100 * (levels.crotch_z - z)
    what = "a coat, open in front" if open_front else "a skirt"
    logger.info("%s: cloth hangs between the legs, to %.0f cm below the crotch (%d frames)", what, below_cm, len(looks))
    covered = np.isfinite(beside) & (levels.heights > z + SPACING_M / 2)
    return Hem(levels.crotch_z, z, levels.heights[covered], beside[covered].clip(0), open_front)


def _end(levels: LegLevels, looks: list[GapLook], beside: Float[np.ndarray, "n"], most_below: float) -> float | None:
    """The height at which the cloth between the legs ends, `most_below` of what is seen there being cloth below it."""
    share = _cloth_share(looks)
    told = np.flatnonzero(np.isfinite(share))
    if len(told) < 2:
        logger.info(NO_SKIRT, "the legs never stand apart, so that nothing tells what is between them")
        return None
    bare = told[share[told] < 0.5]
    if not len(bare):
        if told[-1] == len(levels.heights) - 1 and share[told].min() > CLOTH_SHARE:
            return float(levels.heights[-1])
        logger.info(NO_SKIRT, "no end of it is seen")
        return None
    if bare[0] == told[0]:
        logger.info(NO_SKIRT, "background is seen between the legs")
        return None
    above, below = told[told < bare[0]], told[told >= bare[0]]
    middle_z = _crossing(levels.heights[[above[-1], bare[0]]], share[[above[-1], bare[0]]])
    covered = levels.heights[above] > middle_z + 2 * SPACING_M
    clear = levels.heights[below] < middle_z - 2 * SPACING_M
    if share[above[covered]].min(initial=1) < CLOTH_SHARE or share[below[clear]].max(initial=0) > most_below:
        logger.info(NO_SKIRT, "what is between the legs is neither cloth nor background")
        return None
    if levels.crotch_z - middle_z < SHORTEST_M:
        logger.info(NO_SKIRT, "cloth between the legs ends at once, as trousers do")
        return None
    z = _step(levels.heights, looks, beside, middle_z)
    if z is None or levels.crotch_z - z < SHORTEST_M:
        logger.info(NO_SKIRT, "cloth between the legs has no hem beside them: a low crotch")
        return None
    return z


def _cloth_share(looks: list[GapLook]) -> Float[np.ndarray, "n"]:
    """How much of what is seen between the legs is cloth, wide gaps counting more; NaN where too few frames tell."""
    cloth = np.stack([look.cloth for look in looks])
    weight = np.where(np.isfinite(cloth), np.stack([look.open_m for look in looks]), 0)
    share = np.nansum(weight * np.nan_to_num(cloth), axis=0) / weight.sum(axis=0).clip(1e-9)
    return np.where(np.isfinite(cloth).sum(axis=0) >= TELLING_FRAMES, share, np.nan)


def _crossing(heights: Float[np.ndarray, "2"], share: Float[np.ndarray, "2"]) -> float:
    """The height at which a share falls through one half."""
    return float(np.interp(0.5, share[::-1], heights[::-1]))


def _beside(looks: list[GapLook]) -> Float[np.ndarray, "n"]:
    """The median over the frames; NaN where too few tell."""
    beside = np.stack([look.beside_m for look in looks])
    known = np.isfinite(beside).sum(axis=0) >= TELLING_FRAMES
    return np.array([np.nanmedian(column) if ok else np.nan for column, ok in zip(beside.T, known, strict=True)])


def _step(
    heights: Float[np.ndarray, "n"], looks: list[GapLook], beside_m: Float[np.ndarray, "n"], middle_z: float
) -> float | None:
    """Where the silhouette beside the legs steps in most, near the end of the cloth between them; None if it does not.

    This is the hem's height: between the legs its front is seen, which cameras above it see lower than it is. Steps are
    each frame's own, since other frames have the legs elsewhere beside the silhouette.
    """
    beside = np.stack([look.beside_m for look in looks])
    best_m, found = SIDE_STEP_M, None
    for z in np.arange(middle_z - HEM_NEAR_M, middle_z + HEM_NEAR_M, STEP_M):
        over, under = (np.abs(heights - z - side * SIDE_REACH_M / 2) < SIDE_REACH_M / 2 for side in (1, -1))
        step_m = _known(mean_of_known(beside[:, over]) - mean_of_known(beside[:, under]))
        if len(step_m) >= TELLING_FRAMES and np.median(step_m) > best_m:
            best_m = float(np.median(step_m))
            known = np.isfinite(beside_m)
            level = _known(beside_m[over]).mean() - best_m / 2
            found = _halfway(heights[known], beside_m[known], float(level), float(z))
    return found


def _known(values: Float[np.ndarray, "k"]) -> Float[np.ndarray, "l"]:
    return values[np.isfinite(values)]


def _halfway(heights: Float[np.ndarray, "n"], values: Float[np.ndarray, "n"], level: float, near: float) -> float:
    """Where falling values pass a level, nearest to a height."""
    passes = np.flatnonzero((values[:-1] >= level) & (values[1:] < level))
    if not len(passes):
        return near
    share = (values[passes] - level) / (values[passes] - values[passes + 1])
    places = heights[passes] + share * np.diff(heights)[passes]
    return float(places[np.abs(places - near).argmin()])
