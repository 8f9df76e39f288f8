"""A dancer whose face and hands are where the body's own are, as the networks would mark them."""

from collections.abc import Iterator

import numpy as np
import pytest
import roma
import torch
from dancedepth.models.articulated import FACE_VERTICES, ArticulatedBody, Pose, moved
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.body_fit import ClipFit, silhouette_points
from dancedepth.models.face_shape import with_face
from dancedepth.models.faces import Face
from dancedepth.models.geometry import Camera, project
from dancedepth.models.hands import Hands
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.landmarks import Landmarks
from dancedepth.pipeline.close_looks import FACE_POINTS, USUAL_EXTENT, CloseLooks, Finders
from dancedepth.pipeline.fingers import RestHand
from dancedepth.pipeline.records import Frame, Track

CAMERA, FRAMES, HEIGHT_M = Camera.centred(1000, 720, 1280), 3, 1.7


class OwnFace:
    """Marks the face of a body whose points are known, so many times as large."""

    def __init__(self, points_cam: torch.Tensor, scale: float) -> None:
        self._points, self._scale = points_cam, scale

    def find(self, rgb: np.ndarray, person: Landmarks) -> Face:
        face = Face.unseen()
        marks = [mark for mark, _ in FACE_POINTS.values()]
        middle = self._points.mean(dim=0)
        grown = middle + self._scale * (self._points - middle)
        face.pixels[marks] = project(grown, CAMERA).numpy()
        face.places_px[marks] = (grown * CAMERA.focal_px / middle[2]).numpy()
        return Face(face.pixels, face.places_px, np.array(1.0))


@pytest.fixture(scope="module")
def model(body: BodyModel) -> ArticulatedBody:
    return ArticulatedBody(body, HEIGHT_M, silhouette_points(body)[0])


@pytest.fixture(scope="module")
def fit() -> ClipFit:
    angles = torch.zeros(FRAMES, len(FIT_JOINTS), 3)
    angles[:, 0] = torch.tensor([np.pi / 2, 0.0, 0.0])
    return ClipFit(Pose(angles, torch.tensor([0.0, 0.1, 3.0]).repeat(FRAMES, 1)), torch.tensor(ADULT))


class Fists:
    """Sees the left hand closed, and no right one."""

    def __init__(self, hand: RestHand) -> None:
        bones = hand.along.clone()
        bones[1:, 1:] = hand.inwards  # from the knuckles on into the palm
        roots = hand.palm  # the thumb begins at the wrist
        fingers = torch.cat((roots[:, None], roots[:, None] + (0.03 * bones).cumsum(dim=1)), dim=1)
        self._places = torch.cat((hand.palm[:1], fingers.flatten(0, 1))).numpy()

    def find(self, rgb: np.ndarray, person: Landmarks) -> Hands:
        hands = Hands.unseen()
        hands.places_m[0], hands.confidence[0] = self._places, 1.0
        return hands


def test_a_fist_is_bent_in_every_frame_and_the_other_hand_at_ease(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    dancer = Track.unseen(1, FRAMES)
    dancer.landmarks_px[:], dancer.landmarks_m[:], dancer.visibility[:] = 0.0, 0.0, 1.0
    close = CloseLooks(dancer, Finders(hands=Fists(RestHand.of(body, rest, "L"))))
    assert len(list(close.during(_frames()))) == FRAMES
    rotations = torch.eye(3).repeat(FRAMES, len(body.bone_names), 1, 1)
    close.bend_fingers(rotations, body, rest, np.arange(FRAMES) / 12)
    turned = roma.rotmat_to_rotvec(rotations).norm(dim=-1)
    left, right = ([body.bone(f"finger{finger}-2.{side}") for finger in "2345"] for side in "LR")
    assert turned[:, left].min() > 0.9
    assert 0.3 < turned[:, right].mean() < 0.6
    fingers = torch.tensor([name.startswith("finger") for name in body.bone_names])
    assert turned[:, ~fingers].max() < 1e-6


def _looked(model: ArticulatedBody, fit: ClipFit, scale: float, visible: float = 1.0) -> CloseLooks:
    """After all frames."""
    moments = model.moments(fit.phenotype)
    points = moved(moments.points, model.transforms(moments, fit.pose))
    face = points[0, [model.point_names.index(name) for name in FACE_POINTS]]
    dancer = Track.unseen(1, FRAMES)
    dancer.landmarks_px[:] = np.random.default_rng(0).uniform(100, 600, (33, 2))
    dancer.landmarks_m[:] = np.random.default_rng(0).uniform(-1, 1, (33, 3))
    dancer.visibility[:] = visible
    close = CloseLooks(dancer, Finders(face=OwnFace(face, scale)))
    seen = list(close.during(_frames()))
    assert len(seen) == FRAMES, "the frames pass by"
    return close


def _frames() -> Iterator[Frame]:
    for index in range(FRAMES):
        yield Frame(index, index / 12, np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.2])
def test_a_heads_size_is_that_of_its_face(model: ArticulatedBody, fit: ClipFit, scale: float) -> None:
    told = _looked(model, fit, scale * USUAL_EXTENT).head_scale(fit, model, CAMERA)
    assert (told - 1) * (scale - 1) >= 0
    assert told == pytest.approx(scale, abs=0.05)


def test_a_head_that_nobody_saw_keeps_its_size(model: ArticulatedBody, fit: ClipFit) -> None:
    assert _looked(model, fit, 1.2, visible=0.0).head_scale(fit, model, CAMERA) == 1.0


def test_marks_are_of_points_that_the_fit_knows(model: ArticulatedBody, fit: ClipFit) -> None:
    left, right, face = _looked(model, fit, 1.0).marks(model, 1.1)
    for part in (left, right, face):
        assert set(part.names) <= set(model.point_names)
        assert {name for a, b, *_ in part.steps for name in (a, b)} <= set(part.names)
    assert not left.confidence.any() and not right.confidence.any()
    assert face.confidence.tolist() == [1.0] * FRAMES


def test_a_face_moves_to_where_it_is_seen(model: ArticulatedBody, fit: ClipFit, body: BodyModel) -> None:
    """A mouth 6 mm lower than the body's, in frames that look at the face from in front."""
    close = _looked(model, fit, 1.0)
    mouth = [name.endswith("mouth_corner") for name in FACE_POINTS]
    marks = np.array([mark for mark, _ in FACE_POINTS.values()])[mouth]
    close._face.pixels[:, marks, 1] += 0.006 * CAMERA.focal_px / 2.9
    moves = close.face_moves(fit, model, CAMERA)
    assert moves is not None
    assert -0.006 < moves[mouth, 2].mean() < -0.004
    assert np.abs(moves[~np.array(mouth)]).max() < 5e-4
    rest = body.scaled_to_height(body.rest(torch.tensor(ADULT)), HEIGHT_M)
    moved_m = with_face(rest, torch.from_numpy(moves)).vertices - rest.vertices
    at = dict(zip(FACE_VERTICES, moved_m[list(FACE_VERTICES.values())], strict=True))
    assert at["left_mouth_corner"][2] < -0.003
    assert at["left_eye_corner"].norm() < 0.001
    far = (rest.vertices - rest.vertices[FACE_VERTICES["nose_tip"]]).norm(dim=1) > 0.2
    assert moved_m[far].norm(dim=1).max() < 1e-4


def test_a_face_that_nobody_saw_is_the_bodys(model: ArticulatedBody, fit: ClipFit) -> None:
    assert _looked(model, fit, 1.2, visible=0.0).face_moves(fit, model, CAMERA) is None
