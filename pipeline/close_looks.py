"""Looks from near at a dancer's hands and face while the frames pass by, and what they say of the pose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import roma
import torch
from dancedepth.models.articulated import FACE_VERTICES, HEAD, ArticulatedBody, moved
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.models.body_fit import ClipFit
from dancedepth.models.evidence import PartMarks
from dancedepth.models.faces import Face, FaceFinder
from dancedepth.models.geometry import Camera, project
from dancedepth.models.hands import HandFinder, Hands
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
    "left_eye_corner": (263, 0.01), "right_eye_corner": (33, 0.01), "left_tear_duct": (362, 0.008),
    "right_tear_duct": (133, 0.008), "nose_tip": (1, 0.01), "left_mouth_corner": (291, 0.012),
    "right_mouth_corner": (61, 0.012),
}  # fmt: skip
"""The same of a face; people's faces differ by as much as the network errs."""
FACE_STEPS = (
    ("left_eye_corner", "right_eye_corner", 0.006, 0.0), ("left_tear_duct", "right_tear_duct", 0.004, 0.0),
    ("left_mouth_corner", "right_mouth_corner", 0.005, 0.0),
    ("left_eye_corner", "nose_tip", 0.006, -0.0047), ("right_eye_corner", "nose_tip", 0.006, -0.0047),
    ("left_eye_corner", "left_mouth_corner", 0.006, 0.0059),
    ("right_eye_corner", "right_mouth_corner", 0.006, 0.0059),
)  # fmt: skip
"""With what the network has too far in front, of the nose and the mouth: on the same 39 people."""
FACE_MARKS = [FACE_POINTS[name][0] for name in FACE_VERTICES]
SURE_FACE = 0.9
"""Confidence from which on a face tells the head's size."""
USUAL_EXTENT = 1.02
"""How far the network's `FACE_POINTS` lie apart against the body's: on the same people, who vary by 3 %."""
BELIEVED = 0.8
"""Exponent of what is measured of a head's size: people vary by twice as much as that errs."""
FACE_PRIOR = 0.25
"""How sure it is that people's faces are the body's (sd 4 mm), against what a clip's looks tell (2 mm)."""
FACE_REACH_M = 0.012
"""Nobody's eyes, nose or mouth are farther from the body's in any direction."""
HEAD_SCALES = 0.8, 1.6
"""Heads of grown-up bodies; children's are larger against theirs."""


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

    def head_scale(self, fit: ClipFit, model: ArticulatedBody, camera: Camera) -> float:
        """How large the dancer's head is against the body's, from the face's size where the fit has it; 1 if unseen."""
        points, _ = _fitted_face(fit, model)
        px_per_m = camera.focal_px / points[..., 2].mean(dim=1).cpu().numpy()
        sure = self._face.confidence > SURE_FACE
        if not sure.any():
            return 1.0
        seen_px = _extent(self._face.places_px[sure][:, FACE_MARKS])
        own_m = _extent(points[:1].cpu().numpy())
        ratio = float(np.median(seen_px / px_per_m[sure] / own_m)) / USUAL_EXTENT
        return float(np.clip(ratio**BELIEVED, *HEAD_SCALES))

    def face_moves(self, fit: ClipFit, model: ArticulatedBody, camera: Camera) -> Float[np.ndarray, "p 3"] | None:
        """How far the dancer's eyes, nose and mouth lie from the fitted body's, at rest; None if unseen.

        Least squares over the frames, each of which tells two of three directions, drawn to none.
        """
        sure = self._face.confidence > SURE_FACE
        if not sure.any():
            return None
        points, turns = _fitted_face(fit, model)
        missed_px = self._face.pixels[:, FACE_MARKS] - project(points, camera).cpu().numpy()
        missed_m = missed_px * points[..., 2:].cpu().numpy() / camera.focal_px
        turn = turns[:, :2].cpu().numpy()[sure]  # the image's two directions in the head's axes
        known = np.einsum("nij,nik->jk", turn, turn) / sure.sum() + FACE_PRIOR * np.eye(3)
        moves: np.ndarray = np.linalg.solve(known, np.einsum("nij,npi->jp", turn, missed_m[sure]) / sure.sum()).T
        return moves.clip(-FACE_REACH_M, FACE_REACH_M).astype(np.float32)

    def marks(self, model: ArticulatedBody, head_scale: float) -> list[PartMarks]:
        """Of both hands and the face, for the fit."""
        standing = dict(zip(model.point_names, model.adult_points(), strict=True))

        def tensor(values: Float[np.ndarray, "*n"]) -> Float[Tensor, "*n"]:
            return torch.tensor(values, dtype=torch.float32, device=model.body.device)

        def hand(index: int, side: str) -> PartMarks:
            names = [f"{side}_{name}" for name in HAND_POINTS]
            at, spread_m = zip(*HAND_POINTS.values(), strict=True)
            return PartMarks(
                names=tuple(names),
                spread_m=spread_m,
                steps=tuple((f"{side}_{a}", f"{side}_{b}", spread, 0.0) for a, b, spread in PALM),
                replaced=tuple(names[1:]),
                pixels=tensor(self._hands.pixels[:, index, at]),
                places=tensor(self._hands.places_m[:, index, at]),
                confidence=tensor(self._hands.confidence[:, index]),
                span_m=float((standing[names[0]] - standing[names[1]]).norm()),
            )

        face = PartMarks(
            names=tuple(FACE_VERTICES),
            spread_m=tuple(FACE_POINTS[name][1] for name in FACE_VERTICES),
            steps=FACE_STEPS,
            replaced=(),
            pixels=tensor(self._face.pixels[:, FACE_MARKS]),
            places=tensor(self._face.places_px[:, FACE_MARKS] / self._px_per_m[:, None, None]),
            confidence=tensor(self._face.confidence),
            span_m=head_scale * float((standing["left_eye_corner"] - standing["right_eye_corner"]).norm()),
        )
        return [hand(0, "left"), hand(1, "right"), face]

    def bend_fingers(
        self, rotations: Float[Tensor, "n j 3 3"], body: BodyModel, rest: RestBody, times_s: Float[np.ndarray, "n"]
    ) -> None:
        """Put the fingers' turns among the rotations of all bones."""
        for hand, side in enumerate("LR"):
            places, confidence = self._hands.places_m[:, hand], self._hands.confidence[:, hand]
            turns = finger_turns(RestHand.of(body, rest, side), places, confidence, times_s)
            bones = [body.bone(f"{name}.{side}") for finger in BONES for name in finger]
            rotations[:, bones] = roma.rotvec_to_rotmat(turns.flatten(1, 2)).to(rotations)


def _fitted_face(fit: ClipFit, model: ArticulatedBody) -> tuple[Float[Tensor, "n p 3"], Float[Tensor, "n 3 3"]]:
    """Where the fit has the points of `FACE_VERTICES`, and how it has turned the head."""
    moments = model.moments(fit.phenotype, fit.head_scale)
    transforms = model.transforms(moments, fit.pose)
    at = [model.point_names.index(name) for name in FACE_VERTICES]
    return moved(moments.points[at], transforms), transforms[:, HEAD, :, :3]


def _extent(points: Float[np.ndarray, "n p 3"]) -> Float[np.ndarray, "n"]:
    """Root mean square distance from their middle."""
    off = points - points.mean(axis=1, keepdims=True)
    extent: np.ndarray = np.sqrt(np.square(off).sum(axis=-1).mean(axis=1))
    return extent
