"""Looks from near at a dancer's hands and face while the frames pass by, and what they say of the pose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import roma
import torch
from dancedepth.models.articulated import ArticulatedBody, moved
from dancedepth.models.body import ADULT, BodyModel, RestBody
from dancedepth.models.evidence import PartMarks
from dancedepth.models.faces import LEFT_EAR, LEFT_EYE, NOSE, RIGHT_EAR, RIGHT_EYE, Face, FaceFinder
from dancedepth.models.hands import HandFinder, Hands
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.landmarks import Landmarks
from dancedepth.pipeline.fingers import BONES, RestHand, finger_turns
from dancedepth.pipeline.records import Frame, Track
from jaxtyping import Float
from torch import Tensor

HAND_POINTS = {"wrist": (0, 0.02), "index_knuckle": (5, 0.02), "little_knuckle": (17, 0.018)}
"""Of the landmarks of a hand the one that marks each of the body's points, and its spread (metres): 1.4 times how far
it lies off (medians on synthesised, dressed dancers), since errors of a hand come together. The body's own landmarks
are 16-44 mm off there."""
PALM = (
    ("wrist", "index_knuckle", 0.03),
    ("wrist", "little_knuckle", 0.022),
    ("index_knuckle", "little_knuckle", 0.014),
)
"""Pairs of those, and the spread of the step in depth from the first to the second, alike."""
FACE_POINTS = {
    "left_eye": (LEFT_EYE, 0.008),
    "right_eye": (RIGHT_EYE, 0.008),
    "nose": (NOSE, 0.01),
    "left_ear": (LEFT_EAR, 0.0),
    "right_ear": (RIGHT_EAR, 0.0),
}
"""The same of a face; ears count in depth only."""
FACE_STEPS = (
    ("left_eye", "right_eye", 0.004), ("nose", "left_eye", 0.006), ("nose", "right_eye", 0.006),
    ("left_ear", "right_ear", 0.01),
)  # fmt: skip


@dataclass(frozen=True)
class Finders:
    """The networks that look from near; None: do without."""

    hands: HandFinder | None = None
    face: FaceFinder | None = None


class CloseLooks:
    """What is seen of one dancer from near."""

    def __init__(self, dancer: Track, finders: Finders) -> None:
        self._dancer, self._finders = dancer, finders
        count = len(dancer.found)
        self._hands, self._face, self._px_per_m = Hands.unseen(count), Face.unseen(count), np.ones(count)

    def during(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames, after a look at each."""
        dancer, hands, faces = self._dancer, self._hands, self._face
        for frame in frames:
            k = frame.index
            if dancer.visibility[k].any():
                person = Landmarks(dancer.landmarks_px[k], dancer.landmarks_m[k], dancer.visibility[k])
                if self._finders.hands is not None:
                    found = self._finders.hands.find(frame.rgb, person)
                    hands.pixels[k], hands.places_m[k] = found.pixels, found.places_m
                    hands.confidence[k] = found.confidence
                face = self._finders.face.find(frame.rgb, person) if self._finders.face is not None else None
                if face is not None:
                    self._px_per_m[k] = person.px_per_m
                    faces.pixels[k], faces.places_px[k] = face.pixels, face.places_px
                    faces.confidence[k] = face.confidence
            yield frame

    def marks(self, model: ArticulatedBody) -> list[PartMarks]:
        """Of both hands and the face, for the fit."""
        adult = model.moments(torch.tensor(ADULT, device=model.body.device))
        standing = moved(adult.points, torch.eye(3, 4, device=model.body.device).expand(1, len(FIT_JOINTS), 3, 4))[0]

        def span_m(first: str, second: str) -> float:
            ends = [model.point_names.index(name) for name in (first, second)]
            return float((standing[ends[0]] - standing[ends[1]]).norm())

        def tensor(values: Float[np.ndarray, "*n"]) -> Float[Tensor, "*n"]:
            return torch.tensor(values, dtype=torch.float32, device=model.body.device)

        parts = []
        at = [mark for mark, _ in HAND_POINTS.values()]
        for hand, side in enumerate(("left", "right")):
            names = [f"{side}_{name}" for name in HAND_POINTS]
            parts.append(
                PartMarks(
                    names=tuple(names),
                    spread_m=tuple(spread for _, spread in HAND_POINTS.values()),
                    steps=tuple((f"{side}_{a}", f"{side}_{b}", spread) for a, b, spread in PALM),
                    replaced=tuple(names[1:]),
                    pixels=tensor(self._hands.pixels[:, hand, at]),
                    places=tensor(self._hands.places_m[:, hand, at]),
                    confidence=tensor(self._hands.confidence[:, hand]),
                    span_m=span_m(*names[:2]),
                )
            )
        marks = [list(marks) for marks, _ in FACE_POINTS.values()]
        pixels, places = (
            np.stack([values[:, some].mean(axis=1) for some in marks], axis=1)
            for values in (self._face.pixels, self._face.places_px / self._px_per_m[:, None, None])
        )
        parts.append(
            PartMarks(
                names=tuple(FACE_POINTS),
                spread_m=tuple(spread for _, spread in FACE_POINTS.values()),
                steps=FACE_STEPS,
                replaced=(),
                pixels=tensor(pixels),
                places=tensor(places),
                confidence=tensor(self._face.confidence),
                span_m=span_m("left_eye", "right_eye"),
            )
        )
        return parts

    def bend_fingers(
        self, rotations: Float[Tensor, "n j 3 3"], body: BodyModel, rest: RestBody, times_s: Float[np.ndarray, "n"]
    ) -> None:
        """Put the fingers' turns among the rotations of all bones."""
        for hand, side in enumerate("LR"):
            places, confidence = self._hands.places_m[:, hand], self._hands.confidence[:, hand]
            turns = finger_turns(RestHand.of(body, rest, side), places, confidence, times_s)
            bones = [body.bone(f"{name}.{side}") for finger in BONES for name in finger]
            rotations[:, bones] = roma.rotvec_to_rotmat(turns.flatten(1, 2)).to(rotations)
