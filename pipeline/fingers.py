"""How the fingers bend: the fit ends at the wrists, and what was seen of each hand says the rest.

Bones are turned one after the other from the palm to the tips so that they point as the landmarks do: fingers bend at
hinges, and spread at their roots; thumbs swing. The turns are then held together over time, by how sure each frame is,
and where nobody saw a hand it is at ease.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from jaxtyping import Float
from scipy.linalg import solveh_banded
from torch import Tensor

BONES = tuple(tuple(f"finger{finger}-{bone}" for bone in (1, 2, 3)) for finger in (1, 2, 3, 4, 5))
"""Of the thumb and the fingers, from the root; each begins at one of the landmarks 1 to 20, in order."""
KNUCKLES = (0, 5, 9, 13, 17)
"""Landmarks of the palm: the wrist and the fingers' roots, all but the thumb's."""
BENDS = ((-0.5, 1.7), (-0.1, 2.0), (-0.1, 1.4))
"""How far fingers bend at their three joints, radians from the rest pose, towards the palm positive."""
SPREAD = 0.45
"""How far they move sideways at their roots."""
SWINGS = (0.8, 1.0, 1.4)
"""How far the thumb's three joints turn."""
AT_EASE = (0.3, 0.5, 0.3)
"""How far the fingers of a hand that does nothing are bent."""
SEEN_SPREAD, EASE_SPREAD = 0.2, 1.0
"""How far off turns are that were seen in one frame, and how far fingers are from being at ease: radians."""
CHANGE = 2.0
"""How far joints turn in a second, as a random walk does: radians by the root of a second."""
ASTRAY = 0.6
"""Turns that are so far off stop pulling (Geman-McClure)."""
STIFFNESS = (27.0, 9.0, 3.0, 1.0)
"""How much stronger the walk holds in each round, so that one bad look among good ones is found out."""


@dataclass(frozen=True)
class RestHand:
    """One hand of a body in its rest pose, whose axes everything is in; on the CPU."""

    palm: Float[Tensor, "5 3"]
    """Where `KNUCKLES` lie."""
    along: Float[Tensor, "5 3 3"]
    """Unit vectors along `BONES`."""
    inwards: Float[Tensor, "3"]
    """Out of the palm."""

    @classmethod
    def of(cls, body: BodyModel, rest: RestBody, side: str) -> RestHand:
        """The hand on this side, `L` or `R`."""
        names = [[f"{name}.{side}" for name in finger] for finger in BONES]
        heads = torch.stack([torch.stack([_head(body, rest, name) for name in finger]) for finger in names])
        tips = torch.stack([_middle(body, rest, finger[-1]) for finger in names])
        along = torch.nn.functional.normalize(torch.cat((heads, tips[:, None]), dim=1).diff(dim=1), dim=-1)
        wrist = _head(body, rest, f"wrist.{side}")
        across = torch.linalg.cross(heads[1, 0] - wrist, heads[4, 0] - wrist)
        curl = (along[1:, 1] - along[1:, 0]).sum(dim=0)
        inwards = torch.nn.functional.normalize(across * (across @ curl).sign(), dim=0)
        return cls(torch.cat((wrist[None], heads[1:, 0])).cpu(), along.cpu(), inwards.cpu())


def finger_turns(
    hand: RestHand,
    places: Float[np.ndarray, "n 21 3"],
    confidence: Float[np.ndarray, "n"],
    times_s: Float[np.ndarray, "n"],
) -> Float[Tensor, "n 5 3 3"]:
    """Rotation vectors of `BONES` against their parents in every frame, in the rest pose's axes.

    Args:
        hand: whose fingers they are.
        places: the hand's landmarks in space, in any axes and of any scale.
        confidence: 0-1; 0 where the hand was not seen.
        times_s: of the frames.
    """
    seen = confidence > 0
    ease = _at_ease(hand)
    turns = ease.repeat(len(seen), 1, 1, 1)
    if seen.any():
        turns[torch.from_numpy(seen)] = _bent(hand, _directions(hand, torch.from_numpy(places[seen]).float()))
    flat = turns.double().numpy().reshape(len(seen), -1)
    held = _held_together(flat, confidence, times_s, ease.double().numpy().ravel())
    return torch.from_numpy(held).float().view(-1, *ease.shape)


def _head(body: BodyModel, rest: RestBody, name: str) -> Float[Tensor, "3"]:
    return rest.bone_poses[body.bone(name), :3, 3]


def _middle(body: BodyModel, rest: RestBody, name: str) -> Float[Tensor, "3"]:
    """Of the skin that moves with a bone."""
    share = torch.where(body.skin_bones == body.bone(name), body.skin_weights, 0).sum(dim=1)[:SKIN_VERTICES]
    middle: Tensor = (share[:, None] * rest.vertices[:SKIN_VERTICES]).sum(dim=0) / share.sum()
    return middle


def _directions(hand: RestHand, places: Float[Tensor, "m 21 3"]) -> Float[Tensor, "m 5 3 3"]:
    """Unit vectors along the bones as they were seen, in axes in which the palm is at rest."""
    palm = places[:, list(KNUCKLES)]
    rest = hand.palm - hand.palm.mean(dim=0)
    turn = roma.special_procrustes(rest.T @ (palm - palm.mean(dim=1, keepdim=True)))
    bones = places[:, 1:].view(-1, 5, 4, 3).diff(dim=2)
    return torch.nn.functional.normalize(torch.einsum("mij,mfkj->mfki", turn, bones), dim=-1)


def _bent(hand: RestHand, wanted: Float[Tensor, "m 5 3 3"]) -> Float[Tensor, "m 5 3 3"]:
    """The rotation vectors that point the bones where they are wanted, within what joints can do."""
    turns = []
    for finger in range(len(BONES)):
        done = torch.eye(3).repeat(len(wanted), 1, 1)
        of_finger = []
        for bone in range(3):
            along = hand.along[finger, bone]
            target = torch.einsum("mji,mj->mi", done, wanted[:, finger, bone])
            if finger == 0:
                turn = _swing(along, target, SWINGS[bone])
            else:
                turn = _bend(along, _hinge(hand, finger, bone), target, BENDS[bone], SPREAD if bone == 0 else 0.0)
            of_finger.append(turn)
            done = done @ roma.rotvec_to_rotmat(turn)
        turns.append(torch.stack(of_finger, dim=1))
    return torch.stack(turns, dim=1)


def _hinge(hand: RestHand, finger: int, bone: int) -> Float[Tensor, "3"]:
    """The axis about which a finger bends towards the palm."""
    return torch.nn.functional.normalize(torch.linalg.cross(hand.along[finger, bone], hand.inwards), dim=0)


def _swing(along: Float[Tensor, "3"], target: Float[Tensor, "m 3"], most: float) -> Float[Tensor, "m 3"]:
    """The shortest turn towards the target, no farther than this."""
    across = torch.linalg.cross(along.expand_as(target), target)
    sine = across.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (target @ along)[:, None]).clamp_max(most)
    return across / sine.clamp_min(1e-6) * angle


def _bend(
    along: Float[Tensor, "3"],
    hinge: Float[Tensor, "3"],
    target: Float[Tensor, "m 3"],
    bends: tuple[float, float],
    spread: float,
) -> Float[Tensor, "m 3"]:
    """A turn about the hinge after one sideways."""
    down = torch.linalg.cross(hinge, along)
    bend = torch.atan2(target @ down, target @ along).clamp(*bends)
    aside = torch.asin((target @ hinge).clamp(-1, 1)).clamp(-spread, spread)
    both = roma.rotvec_composition((bend[:, None] * hinge, -aside[:, None] * down))
    rotation: Tensor = both
    return rotation


def _at_ease(hand: RestHand) -> Float[Tensor, "5 3 3"]:
    bent = [[bend * _hinge(hand, finger, bone) for bone, bend in enumerate(AT_EASE)] for finger in range(1, 5)]
    return torch.stack([torch.zeros(3, 3), *(torch.stack(finger) for finger in bent)])


def _held_together(
    turns: Float[np.ndarray, "n k"],
    confidence: Float[np.ndarray, "n"],
    times_s: Float[np.ndarray, "n"],
    ease: Float[np.ndarray, "k"],
) -> Float[np.ndarray, "n k"]:
    """The likeliest rotation vectors of joints that walk at random around being at ease, and were seen with errors."""
    between = 1 / (CHANGE**2 * np.diff(times_s).clip(1e-3))
    bonds = np.zeros((3, len(turns)))  # of three diagonals, since LAPACK's way with two wants more than one frame
    bonds[1, 1:] = -between
    bonds[2, 1:] += between
    bonds[2, :-1] += between
    trust = confidence / SEEN_SPREAD**2
    held = turns
    for stiffness in STIFFNESS:
        precision = stiffness * bonds
        precision[2] += trust + 1 / EASE_SPREAD**2
        held = solveh_banded(precision, trust[:, None] * turns + ease / EASE_SPREAD**2)
        off = 3 * np.square(turns - held).mean(axis=1) / ASTRAY**2
        trust = confidence / SEEN_SPREAD**2 / np.square(1 + off)
    return held
