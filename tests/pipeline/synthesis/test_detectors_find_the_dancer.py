"""The synthetic dancer is a person to the networks that real clips go through."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.evidence import LANDMARK_POINTS
from dancedepth.models.faces import LEFT_EYE, RIGHT_EYE, MediaPipeFace
from dancedepth.models.geometry import project
from dancedepth.models.hands import MediaPipeHands
from dancedepth.models.landmarks import BlazePose, Landmarks
from dancedepth.models.pose import PoseDetector
from dancedepth.models.weights import fetch
from dancedepth.pipeline.config import FramesConfig, TracksConfig
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.records import BodyMotion, Frame, Silent, Tracks
from dancedepth.pipeline.storage import read_motion
from dancedepth.pipeline.synthesis.clip import make_clip
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.tracks import track_people

LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


@pytest.fixture(scope="module")
def clip(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dancer") / "clip"
    make_clip(SynthConfig(seconds=1.5, fps=4, width=360, height=640), folder, body, Silent())
    return folder


@pytest.fixture(scope="module")
def tracks(clip: Path) -> Tracks:
    frames = open_video(clip / "video.mp4", FramesConfig())
    yolo, blazepose = PoseDetector(fetch("yolo11n-pose"), "cpu"), BlazePose(fetch("blazepose"))
    return track_people(frames, yolo, blazepose, TracksConfig(), Silent())


@pytest.fixture(scope="module")
def truth(clip: Path) -> BodyMotion:
    return read_motion(clip / "truth" / "motion.npz")


@pytest.fixture(scope="module")
def points_cam(body: BodyModel, truth: BodyMotion) -> torch.Tensor:
    """(n k 3) the body's keypoints."""
    rest = body.scaled_to_height(body.rest(torch.from_numpy(truth.phenotype).float()), truth.height_m)
    posed = body.skin(rest.vertices, torch.from_numpy(truth.cam_from_rest).float())
    return torch.einsum("kv,nvd->nkd", body.keypoint_weights, posed)


def _of_body(body: BodyModel, landmarks: tuple[int, ...]) -> list[int]:
    return [body.keypoint_names.index(LANDMARK_POINTS[mark][0]) for mark in landmarks]


def test_yolo_is_sure_of_the_dancer_in_every_frame(tracks: Tracks) -> None:
    assert len(tracks.people) == 1
    assert tracks.dancer.found.all()
    assert np.mean(tracks.dancer.score) > 0.8


def test_landmarks_lie_on_the_body(
    body: BodyModel, tracks: Tracks, truth: BodyMotion, points_cam: torch.Tensor
) -> None:
    true = points_cam[:, _of_body(body, LIMBS)]
    seen = torch.from_numpy(tracks.dancer.landmarks_px[:, LIMBS])
    off_m = (project(true, truth.camera) - seen).norm(dim=-1) * true[..., 2] / truth.camera.focal_px
    assert off_m.median() < 0.04
    assert (off_m < 0.15).float().mean() > 0.9


def test_landmarks_tell_near_from_far(body: BodyModel, tracks: Tracks, points_cam: torch.Tensor) -> None:
    """Steps in depth from each landmark to each other one: their size, and clear ones' direction."""
    true = points_cam[:, _of_body(body, LIMBS), 2].numpy()
    seen = tracks.dancer.landmarks_m[:, LIMBS, 2]
    true_step, step = (depth[:, :, None] - depth[:, None] for depth in (true, seen))
    assert np.abs(step - true_step).mean() < 0.7 * np.abs(true_step).mean()
    clear = np.abs(true_step) > 0.2
    assert (np.sign(step) == np.sign(true_step))[clear].mean() > 0.85


def test_somebody_upside_down_is_turned_upright(clip: Path) -> None:
    """The same landmarks as of the upright picture, turned about its middle."""
    finder, frame = BlazePose(fetch("blazepose")), _first(clip)
    height, width = frame.rgb.shape[:2]
    box = np.array([0.2 * width, 0.05 * height, 0.8 * width, 0.95 * height])
    turned_box = np.array([width, height] * 2) - box[[2, 3, 0, 1]]
    upright = finder.find(frame.rgb, box)
    turned = finder.find(np.ascontiguousarray(frame.rgb[::-1, ::-1]), turned_box, math.radians(170))
    off = np.linalg.norm(np.array([width, height]) - turned.pixels - upright.pixels, axis=1)
    assert np.median(off) < 0.03 * height
    places = turned.places_m * (-1, -1, 1) - upright.places_m
    assert np.median(np.linalg.norm(places, axis=1)) < 0.1


def test_hands_that_are_found_are_where_they_are(clip: Path, tracks: Tracks, truth: BodyMotion) -> None:
    """Hands are 20 pixels long here, and half of them before the trunk."""
    finder, off_m, dancer = MediaPipeHands(fetch("mediapipe-hands")), [], tracks.dancer
    for frame in open_video(clip / "video.mp4", FramesConfig()):
        k = frame.index
        found = finder.find(frame.rgb, Landmarks(dancer.landmarks_px[k], dancer.landmarks_m[k], dancer.visibility[k]))
        for hand in np.flatnonzero(found.confidence > 0.5):
            bone = truth.bone_names.index(f"wrist.{'LR'[hand]}")
            wrist = torch.from_numpy(truth.bone_poses[k, bone, :3, 3])
            missed_px = project(wrist, truth.camera).numpy() - found.pixels[hand, 0]
            off_m.append(np.linalg.norm(missed_px) * wrist[2].item() / truth.camera.focal_px)
    assert len(off_m) >= 6
    assert np.median(off_m) < 0.03


def test_a_face_that_is_found_is_turned_as_it_is(clip: Path, tracks: Tracks, truth: BodyMotion) -> None:
    finder, off_deg, dancer = MediaPipeFace(fetch("mediapipe-face")), [], tracks.dancer
    for frame in open_video(clip / "video.mp4", FramesConfig()):
        k = frame.index
        found = finder.find(frame.rgb, Landmarks(dancer.landmarks_px[k], dancer.landmarks_m[k], dancer.visibility[k]))
        if found is not None and found.confidence > 0.5:
            across = found.places_px[LEFT_EYE] - found.places_px[RIGHT_EYE]
            left = truth.cam_from_rest[k, truth.bone_names.index("head"), :3, 0]
            off_deg.append(math.degrees(math.acos(across @ left / np.linalg.norm(across))))
    assert len(off_deg) >= 2
    assert np.median(off_deg) < 15


def test_nobody_has_no_landmarks_no_hands_and_no_face() -> None:
    grey = np.full((320, 240, 3), 128, np.uint8)
    nobody = BlazePose(fetch("blazepose")).find(grey, np.array([20.0, 20, 220, 300]))
    assert not nobody.visibility.any()
    assert not MediaPipeHands(fetch("mediapipe-hands")).find(grey, nobody).confidence.any()
    assert MediaPipeFace(fetch("mediapipe-face")).find(grey, nobody) is None


def _first(clip: Path) -> Frame:
    return next(iter(open_video(clip / "video.mp4", FramesConfig())))
