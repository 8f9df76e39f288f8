"""Hands whose bends are known, as a network would see them: turned, of another size, with noise."""

import math

import numpy as np
import pytest
import roma
import torch
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.pipeline.fingers import BONES, RestHand, finger_turns

FIST, OPEN = (1.3, 1.4, 0.7), (0.0, 0.1, 0.05)
TIMES_S = np.arange(9) / 12


@pytest.fixture(scope="module", params=["L", "R"])
def hand(request: pytest.FixtureRequest, body: BodyModel) -> RestHand:
    return RestHand.of(body, body.rest(torch.tensor(ADULT)), request.param)


def _posed(hand: RestHand, bends: tuple[float, float, float]) -> torch.Tensor:
    """(5 3 3) directions of the bones of a hand whose fingers bend so far."""
    along = hand.along.clone()
    for finger in range(1, 5):
        turned = torch.eye(3)
        for bone in range(3):
            hinge = torch.linalg.cross(hand.along[finger, bone], hand.inwards)
            turned = turned @ roma.rotvec_to_rotmat(bends[bone] * hinge / hinge.norm())
            along[finger, bone] = turned @ hand.along[finger, bone]
    return along


def _places(hand: RestHand, along: torch.Tensor, seed: int = 0, noise_m: float = 0.0) -> np.ndarray:
    """(21 3) landmarks in axes of their own, at 0.8 of the size."""
    generator = torch.Generator().manual_seed(seed)
    roots = torch.cat((hand.palm[:1] + 0.04 * along[:1, 0], hand.palm[1:]))
    fingers = torch.cat((roots[:, None], roots[:, None] + (0.03 * along).cumsum(dim=1)), dim=1)
    points = torch.cat((hand.palm[:1], fingers.flatten(0, 1)))
    turn = roma.rotvec_to_rotmat(torch.randn(3, generator=generator))
    seen = 0.8 * points @ turn.T + torch.randn(3, generator=generator)
    return (seen + noise_m * torch.randn(seen.shape, generator=generator)).numpy()


def _directions(hand: RestHand, turns: torch.Tensor) -> torch.Tensor:
    """(n 5 3 3) where the bones point after these turns."""
    made = torch.zeros(*turns.shape[:-1], 3)
    for finger in range(len(BONES)):
        turned = torch.eye(3).expand(len(turns), 3, 3)
        for bone in range(3):
            turned = turned @ roma.rotvec_to_rotmat(turns[:, finger, bone])
            made[:, finger, bone] = turned @ hand.along[finger, bone]
    return made


def _off_deg(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(dim=-1).clamp(-1, 1).acos().rad2deg()


@pytest.mark.parametrize("bends", [FIST, OPEN, (0.2, 1.2, 0.3)])
def test_fingers_point_as_they_were_seen(hand: RestHand, bends: tuple[float, float, float]) -> None:
    along = _posed(hand, bends)
    places = np.stack([_places(hand, along, seed) for seed in range(len(TIMES_S))])
    turns = finger_turns(hand, places, np.ones(len(TIMES_S)), TIMES_S)
    off = _off_deg(_directions(hand, turns), along)
    assert off[:, 1:].mean() < 4
    assert off[:, 1:].max() < 12


def test_fists_close_towards_the_palm(hand: RestHand) -> None:
    first = (_posed(hand, FIST) - hand.along)[1:, 0]
    assert (first @ hand.inwards > 0).all()


def test_a_hand_that_nobody_saw_is_at_ease(hand: RestHand) -> None:
    turns = finger_turns(hand, np.zeros((9, 21, 3)), np.zeros(9), TIMES_S)
    bent = turns.norm(dim=-1)
    assert bent[:, 1:].min() > 0.2
    assert bent.max() < 0.6
    torch.testing.assert_close(turns, turns[:1].expand_as(turns), atol=1e-4, rtol=0)


def test_between_two_looks_a_fist_stays_closed(hand: RestHand) -> None:
    """And one bad look in between does not open it."""
    places = np.stack([_places(hand, _posed(hand, FIST))] * len(TIMES_S))
    confidence = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1.0])
    kept = finger_turns(hand, places, confidence, TIMES_S)[4]
    seen = finger_turns(hand, places, np.ones(9), TIMES_S)[4]
    assert (kept - seen)[1:].norm(dim=-1).max() < 0.15
    places[4], confidence[4] = _places(hand, _posed(hand, OPEN)), 0.6
    misled = finger_turns(hand, places, confidence, TIMES_S)[4]
    assert (misled - seen)[1:].norm(dim=-1).max() < 0.4


def test_fingers_do_not_bend_backwards(hand: RestHand) -> None:
    places = np.stack([_places(hand, _posed(hand, (-1.2, -0.8, -0.8)))] * len(TIMES_S))
    turns = finger_turns(hand, places, np.ones(9), TIMES_S)
    assert turns[:, 1:, 1:].norm(dim=-1).max() < 0.2
    assert turns[:, 1:, 0].norm(dim=-1).max() < math.radians(40)


def test_noise_is_held_together_over_time(hand: RestHand) -> None:
    along = _posed(hand, (0.8, 0.9, 0.4))
    places = np.stack([_places(hand, along, seed, noise_m=0.003) for seed in range(len(TIMES_S))])
    alone = torch.cat([finger_turns(hand, one[None], np.ones(1), TIMES_S[:1]) for one in places])
    together = finger_turns(hand, places, np.ones(len(TIMES_S)), TIMES_S)
    assert together[:, 1:].diff(dim=0).norm(dim=-1).mean() < 0.8 * alone[:, 1:].diff(dim=0).norm(dim=-1).mean()
