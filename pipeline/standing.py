"""A body and its feet put where they stand: ankles turn, hips and knees follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dancedepth.pipeline.footing import Footing
from dancedepth.pipeline.ground import FEET, SolePoints
from dancedepth.pipeline.leg_reach import Leg, reach, shortest_turn
from dancedepth.pipeline.skeleton import SkeletonMotion
from jaxtyping import Float


def stand_firm(
    motion: SkeletonMotion, bone_names: tuple[str, ...], soles: SolePoints, footing: Footing
) -> SkeletonMotion:
    """The motion with body and feet moved as the footing says, as far as the legs reach."""
    motion = replace(motion, root=motion.root + footing.body)
    for number, side in enumerate(FEET):
        pair = slice(2 * number, 2 * number + 2)
        points = soles.posed(motion.bones())[:, pair]
        motion = _foot_moved(motion, bone_names, side, points, points + footing.soles[:, pair])
    return motion


def _foot_moved(
    motion: SkeletonMotion,
    bone_names: tuple[str, ...],
    side: str,
    sole: Float[np.ndarray, "n 2 3"],
    target: Float[np.ndarray, "n 2 3"],
) -> SkeletonMotion:
    """Move a foot's heel and ball from `sole` to `target`: turn the foot, and let the leg follow."""
    hip, knee, ankle = (bone_names.index(f"{name}.{side}") for name in ("upperleg01", "lowerleg01", "foot"))
    bones = motion.bones()
    heads = bones[..., :3, 3]
    turn = shortest_turn(sole[:, 1] - sole[:, 0], target[:, 1] - target[:, 0])
    arm = heads[:, ankle] - sole.mean(axis=1)
    goal = target.mean(axis=1) + (turn @ arm[..., None])[..., 0]
    leg = Leg(heads[:, hip], heads[:, knee], heads[:, ankle], _left(bones[:, 0]))
    turns = reach(leg, goal)
    world = bones[..., :3, :3].copy()
    local = motion.turns.copy()
    for bone, by in ((hip, turns.thigh), (knee, turns.shank), (ankle, turn)):
        world[:, bone] = by @ world[:, bone]
    local[:, hip] = world[:, motion.parents[hip]].swapaxes(1, 2) @ world[:, hip]
    for bone, above in ((knee, hip), (ankle, knee)):
        between = _between(motion, bone, above)
        local[:, bone] = (world[:, above] @ between).swapaxes(1, 2) @ world[:, bone]
    return replace(motion, turns=local)


def _between(motion: SkeletonMotion, bone: int, above: int) -> Float[np.ndarray, "n 3 3"]:
    """The turn from `above`'s axes to those of `bone`'s parent, over the twist bones between them."""
    turn = np.broadcast_to(np.eye(3), (len(motion.turns), 3, 3))
    parent = motion.parents[bone]
    while parent != above:
        turn = motion.turns[:, parent] @ turn
        parent = motion.parents[parent]
    return turn


def _left(root: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 3"]:
    """To the dancer's left: the root's x, since its rest axes are the body's."""
    left: np.ndarray = root[:, :3, 0]
    return left
