from dataclasses import replace
from pathlib import Path

import numpy as np
from dancedepth.pipeline.quality import input_warnings
from dancedepth.pipeline.records import ImageSequence, Track, Tracks, VideoInfo

COUNT, WIDTH, HEIGHT = 20, 1080, 1920
INFO = VideoInfo(Path("clip.mp4"), WIDTH, HEIGHT, 24.0, 2.0, 0, "h264", None)


def standing(number: int, top: float = 200, bottom: float = 1700) -> Track:
    track = Track.unseen(number, COUNT)
    track.boxes_px[:] = (300, top, 700, bottom)
    track.keypoints_px[..., 0] = 500
    track.keypoints_px[:, :5, 1] = top + 0.07 * (bottom - top)
    track.keypoints_px[:, 5:15, 1] = (top + bottom) / 2
    track.keypoints_px[:, 15:, 1] = bottom - 0.06 * (bottom - top)
    track.confidence[:] = 0.9
    track.score[:] = 0.9
    return track


def tracks_of(*people: Track) -> Tracks:
    return Tracks(np.arange(COUNT) / 12, np.ones(COUNT), np.zeros(COUNT), people, 0, (WIDTH, HEIGHT))


def only(tracks: Tracks, info: VideoInfo = INFO, mattes: ImageSequence | None = None) -> str:
    """The one warning there is."""
    (warning,) = input_warnings(info, tracks, mattes)
    return warning


def test_good_footage_has_no_warnings() -> None:
    assert input_warnings(INFO, tracks_of(standing(1))) == []


def test_feet_out_of_the_picture() -> None:
    cut = standing(1, bottom=HEIGHT)
    cut.confidence[:, 15:] = 0.05
    assert "feet are cut off in 100%" in only(tracks_of(cut))
    assert "feet" in only(tracks_of(standing(1, top=100, bottom=HEIGHT + 90)))  # ankles in, soles out


def test_feet_at_the_edge_are_still_feet() -> None:
    assert input_warnings(INFO, tracks_of(standing(1, bottom=HEIGHT - 2))) == []


def test_head_out_of_the_picture() -> None:
    headless = standing(1, top=0)
    headless.confidence[:, :5] = 0.1
    assert "head is cut off" in only(tracks_of(headless))
    assert input_warnings(INFO, tracks_of(standing(1, top=0))) == []  # a raised hand at the edge, the face below it


def test_now_and_then_is_no_warning() -> None:
    cut = standing(1)
    cut.boxes_px[:2, 3], cut.confidence[:2, 15:] = HEIGHT, 0.05
    assert input_warnings(INFO, tracks_of(cut)) == []


def test_small_person() -> None:
    assert "only 150 pixels high" in only(tracks_of(standing(1, top=900, bottom=1050)))


def test_blur() -> None:
    sharpness = np.where(np.arange(COUNT) % 3 == 0, 0.1, 0.9)
    assert "blurred in 35%" in only(replace(tracks_of(standing(1)), sharpness=sharpness))


def test_several_people() -> None:
    warning = only(tracks_of(standing(3), standing(5)))
    assert "2 people" in warning and "person 3" in warning and "--person" in warning and "5" in warning
    passing = standing(5)
    passing.score[3:] = 0
    assert input_warnings(INFO, tracks_of(standing(3), passing)) == []


def test_moving_camera() -> None:
    assert "camera moves" in only(replace(tracks_of(standing(1)), camera_shift=np.full(COUNT, 0.01)))


def test_joints_hard_to_see() -> None:
    dark = standing(1)
    dark.confidence[:, 5:] = 0.35
    assert "hard to see" in only(tracks_of(dark))


def test_lost_frames() -> None:
    gone = standing(1)
    gone.score[4:9] = 0
    gone.boxes_px[4:9], gone.keypoints_px[4:9], gone.confidence[4:9] = np.nan, np.nan, 0
    assert "lost in 5 of 20 frames" in only(tracks_of(gone))
    mattes = ImageSequence(tuple(range(12)), lambda index: np.zeros((1, 1)))
    assert "lost in 8 of 20 frames" in only(tracks_of(standing(1)), mattes=mattes)


def test_few_frames_a_second() -> None:
    assert "only 6 frames a second" in only(tracks_of(standing(1)), info=replace(INFO, fps=6.0))
