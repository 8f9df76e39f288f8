"""Painted people and a detector that knows them, so that who is who is known in every frame."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from dancedepth.models.landmarks import Landmarks
from dancedepth.models.pose import Detection
from dancedepth.pipeline.config import TracksConfig
from dancedepth.pipeline.errors import PersonError, StorageError
from dancedepth.pipeline.glimpses import BackgroundMotion
from dancedepth.pipeline.records import Frame, Silent, Tracks, VideoInfo
from dancedepth.pipeline.storage import read_tracks, write_tracks
from dancedepth.pipeline.tracks import track_people

WIDTH, HEIGHT = 320, 180
BODY = np.array([
    (0, -0.44), (0.02, -0.46), (-0.02, -0.46), (0.04, -0.45), (-0.04, -0.45), (0.1, -0.32), (-0.1, -0.32),
    (0.14, -0.16), (-0.14, -0.16), (0.14, 0), (-0.14, 0), (0.07, 0), (-0.07, 0), (0.07, 0.22), (-0.07, 0.22),
    (0.07, 0.44), (-0.07, 0.44),
])  # fmt: skip
"""COCO keypoints of somebody standing, in heights, from the middle."""
RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (20, 160, 40)


class Person:
    """Somebody in plain clothes who walks from one place to another; `ids` are what the tracker calls them."""

    def __init__(
        self, shirt: tuple[int, int, int], x: tuple[float, float], ids: list[int | None], height: float = 100
    ) -> None:
        self.shirt, self.x, self.ids, self.height = shirt, x, ids, height

    def centre(self, index: int) -> np.ndarray:
        share = index / max(len(self.ids) - 1, 1)
        return np.array([self.x[0] * (1 - share) + self.x[1] * share, HEIGHT / 2])

    def detection(self, index: int) -> Detection | None:
        number = self.ids[index]
        if number == HIDDEN:
            return None
        keypoints = self.centre(index) + BODY * self.height
        half = np.array([0.16, 0.5]) * self.height
        box = np.concatenate([self.centre(index) - half, self.centre(index) + half])
        return Detection(number, box, keypoints, np.full(17, 0.9), 0.9)

    def paint(self, image: np.ndarray, index: int) -> None:
        x, y = self.centre(index)
        left, right = round(x - 0.12 * self.height), round(x + 0.12 * self.height)
        top, hip, bottom = (round(y + k * self.height) for k in (-0.35, 0.02, 0.5))
        cv2.rectangle(image, (left, top), (right, hip), self.shirt, -1)
        cv2.rectangle(image, (left, hip), (right, bottom), (40, 40, 40), -1)
        cv2.circle(image, (round(x), round(y - 0.42 * self.height)), round(0.07 * self.height), (220, 180, 150), -1)


HIDDEN = -1


class Stage:
    """A `FrameSource` of painted people."""

    def __init__(self, *people: Person, shift_px: float = 0.0, blurred: tuple[int, ...] = ()) -> None:
        self.people, self.shift_px, self.blurred = people, shift_px, blurred
        self.count = len(people[0].ids)
        self.info = VideoInfo(Path("stage.mp4"), WIDTH, HEIGHT, 12.0, self.count / 12, 0, "none", None)
        self.expected_frames: int | None = self.count
        self.shown: list[np.ndarray] = []
        wall = np.random.default_rng(0).integers(60, 250, (HEIGHT // 6, 4 * WIDTH // 6, 3), dtype=np.uint8)
        self.wall = cv2.resize(wall, (4 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    def __iter__(self) -> Iterator[Frame]:
        self.shown.clear()
        for index in range(self.count):
            left = round(index * self.shift_px)
            image = self.wall[:, left : left + WIDTH].copy()
            for person in self.people:
                person.paint(image, index)
            if index in self.blurred:
                image = cv2.GaussianBlur(image, (0, 0), 3)
            self.shown.append(image)
            yield Frame(index, index / 12, image)


class Knowing:
    """A detector that is told where everybody is, and who is who, but only in the frames' order."""

    looks_at_once = 2

    def __init__(self, stage: Stage) -> None:
        self.stage, self.followed = stage, 0

    def reset(self) -> None:
        self.followed = 0

    def look(self, rgb: np.ndarray) -> list[Detection]:
        frame = next(index for index, image in enumerate(self.stage.shown) if image is rgb)
        found = [person.detection(frame) for person in self.stage.people]
        return [replace(detection, track_id=None) for detection in found if detection is not None]

    def follow(self, people: list[Detection]) -> list[Detection]:
        found = [person.detection(self.followed) for person in self.stage.people]
        known = [detection for detection in found if detection is not None]
        assert [one.box_px.tolist() for one in known] == [one.box_px.tolist() for one in people]
        self.followed += 1
        return known


class Marker:
    """Sees every landmark in the middle of the box, and the person's height as its depth."""

    def find(self, rgb: np.ndarray, box_px: np.ndarray, lean_rad: float) -> Landmarks:
        middle, height = (box_px[:2] + box_px[2:]) / 2, box_px[3] - box_px[1]
        return Landmarks(np.tile(middle, (33, 1)), np.full((33, 3), height), np.full(33, 0.8))


def follow(stage: Stage, config: TracksConfig | None = None) -> Tracks:
    return track_people(stage, Knowing(stage), Marker(), config or TracksConfig(), Silent())


def assert_followed(tracks: Tracks, person: Person, frames: range) -> None:
    """One track has this person, and nobody else, in all these frames."""
    for track in tracks.people:
        if all(track.found[i] and abs(track.boxes_px[i, [0, 2]].mean() - person.centre(i)[0]) < 1e-6 for i in frames):
            return
    raise AssertionError(f"no track follows the person: {[t.boxes_px[:, 0] for t in tracks.people]}")


def test_one_dancer_in_full() -> None:
    dancer = Person(RED, (150, 170), [1] * 12)
    tracks = follow(Stage(dancer))
    assert tracks.dancer.track_id == 1 and tracks.frame_size == (WIDTH, HEIGHT)
    assert tracks.dancer.found.all()
    np.testing.assert_allclose(tracks.times_s, np.arange(12) / 12)
    np.testing.assert_allclose(tracks.dancer.keypoints_px[7], dancer.centre(7) + BODY * 100)
    assert (tracks.dancer.confidence == 0.9).all() and (tracks.dancer.score == 0.9).all()


HALF = 15


@pytest.mark.parametrize(
    ("red_ids", "blue_ids"),
    [
        ([1] * 2 * HALF, [2] * 2 * HALF),  # the tracker is right
        ([1] * HALF + [2] * HALF, [2] * HALF + [1] * HALF),  # it swaps them where they meet
        ([1] * (HALF - 2) + [HIDDEN] * 4 + [3] * (HALF - 2), [2] * 2 * HALF),  # it loses the one behind
        ([1] * (HALF - 2) + [HIDDEN] * 4 + [2] * (HALF - 2), [2] * HALF + [4] * HALF),  # and takes one for the other
    ],
)
def test_identities_survive_a_crossing(red_ids: list[int], blue_ids: list[int]) -> None:
    red, blue = Person(RED, (60, 260), red_ids), Person(BLUE, (260, 60), blue_ids)
    tracks = follow(Stage(red, blue))
    assert len(tracks.people) == 2
    apart = [*range(HALF - 4), *range(HALF + 4, 2 * HALF)]
    assert_followed(tracks, red, apart)  # type: ignore[arg-type]
    assert_followed(tracks, blue, apart)  # type: ignore[arg-type]


def test_identities_survive_turning_back_at_the_meeting() -> None:
    """Motion alone says that they cross; their clothes say that they turned back."""
    outward = np.abs(np.arange(2 * HALF) - HALF + 0.5)

    class Turning(Person):
        def centre(self, index: int) -> np.ndarray:
            side = -1 if self.shirt == RED else 1
            return np.array([160 + side * (4 + 6 * outward[index]), HEIGHT / 2])

    red = Turning(RED, (0, 0), [1] * HALF + [2] * HALF)
    blue = Turning(BLUE, (0, 0), [2] * HALF + [1] * HALF)
    tracks = follow(Stage(red, blue))
    apart = [*range(HALF - 4), *range(HALF + 4, 2 * HALF)]
    assert_followed(tracks, red, apart)  # type: ignore[arg-type]


def test_a_lost_dancer_is_found_again_under_another_number() -> None:
    dancer = Person(RED, (150, 160), [1] * 10 + [HIDDEN] * 5 + [7] * 10)
    tracks = follow(Stage(dancer))
    assert len(tracks.people) == 1
    np.testing.assert_array_equal(tracks.dancer.found, [True] * 10 + [False] * 5 + [True] * 10)
    assert np.isnan(tracks.dancer.boxes_px[12]).all() and (tracks.dancer.confidence[12] == 0).all()


def test_frames_before_the_tracker_is_sure_are_kept() -> None:
    tracks = follow(Stage(Person(RED, (150, 160), [None, None, *[1] * 10])))
    assert len(tracks.people) == 1 and tracks.dancer.found.all()


def test_somebody_else_in_the_same_place_later_is_not_the_dancer() -> None:
    first = Person(RED, (160, 20), [1] * 12 + [HIDDEN] * 20)
    second = Person(GREEN, (300, 240), [HIDDEN] * 16 + [2] * 16)
    assert len(follow(Stage(first, second)).people) == 2


def test_a_body_found_twice_is_one_person() -> None:
    one = Person(RED, (150, 170), [1] * 12)
    twin = Person(RED, (151, 171), [2] * 12)
    assert len(follow(Stage(one, twin)).people) == 1


def test_the_long_large_central_one_dances() -> None:
    far = Person(BLUE, (60, 60), [1] * 20, height=60)
    dancer = Person(RED, (160, 165), [2] * 20, height=120)
    passing = Person(GREEN, (280, 290), [3] * 6 + [HIDDEN] * 14, height=120)
    stage = Stage(far, dancer, passing)
    tracks = follow(stage)
    assert [p.track_id for p in tracks.people] == [1, 2, 3]  # from left to right
    assert tracks.dancer.track_id == 2
    assert follow(stage, TracksConfig(person=1)).dancer.track_id == 1


def test_asking_for_somebody_who_is_not_there_lists_who_is() -> None:
    stage = Stage(Person(BLUE, (60, 60), [1] * 20), Person(RED, (260, 260), [2] * 20))
    with pytest.raises(PersonError, match=r"no person 9.*1 \(left, 20 frames\), 2 \(right, 20 frames\)"):
        follow(stage, TracksConfig(person=9))


def test_nobody() -> None:
    with pytest.raises(PersonError, match="nobody was found"):
        follow(Stage(Person(RED, (150, 150), [HIDDEN] * 10)))


def test_too_little_of_somebody() -> None:
    with pytest.raises(PersonError, match="in 3 frames only, and 4 are needed"):
        follow(Stage(Person(RED, (150, 150), [HIDDEN] * 5 + [1] * 3 + [HIDDEN] * 5)))


@pytest.mark.parametrize("size", [(2, 9000), (9000, 2), (1, 1), (3, 5)])
def test_slivers_of_pictures_have_a_background_too(size: tuple[int, int]) -> None:
    background = BackgroundMotion()
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert [background.update(picture, []) for _ in range(2)] == [0.0, 0.0]


def test_camera_motion_is_measured_and_people_are_not() -> None:
    walking = Person(RED, (40, 280), [1] * 10)
    still = follow(Stage(walking)).camera_shift
    assert still.max() < 5e-4
    moving = follow(Stage(Person(RED, (160, 160), [1] * 10), shift_px=4)).camera_shift
    assert moving[0] == 0
    np.testing.assert_allclose(moving[1:], 4 / np.hypot(WIDTH, HEIGHT), rtol=0.1)


def test_blurred_frames_are_less_sharp() -> None:
    sharpness = follow(Stage(Person(RED, (160, 161), [1] * 10), blurred=(3, 4))).sharpness
    assert sharpness.max() == 1
    others = [i for i in range(10) if i not in (3, 4)]
    assert sharpness[[3, 4]].max() < 0.4 * sharpness[others].min()


@pytest.mark.parametrize("lean_deg", [0, 70, -70, 170])
def test_the_trunk_tells_how_somebody_leans(lean_deg: float) -> None:
    """Positive to the right of the picture, where y points down; unknown where a shoulder is unsure."""
    lean = np.radians(lean_deg)
    turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    confidence = np.full(17, 0.9)
    leaning = Detection(1, np.array([0.0, 0, 100, 100]), BODY @ turn.T * 100 + 50, confidence, 0.9)
    assert leaning.lean_rad == pytest.approx(lean)
    confidence[5] = 0.2
    assert leaning.lean_rad == 0


def test_the_tallest_people_get_landmarks() -> None:
    heights = (60, 100, 80, 90)
    people = [Person(RED, (40 + 80 * k,) * 2, [k + 1] * 4, height=height) for k, height in enumerate(heights)]
    tracks = follow(Stage(*people))
    marked = {track.landmarks_m[2, 0, 2] for track in tracks.people if track.visibility[2].all()}
    assert marked == {100, 90, 80}


def test_tracks_survive_the_file(tmp_path: Path) -> None:
    gone = Person(BLUE, (60, 60), [1] * 6 + [HIDDEN] * 14)
    tracks = follow(Stage(gone, Person(RED, (160, 175), [HIDDEN] * 3 + [2] * 17)))
    write_tracks(tmp_path / "tracks.json", tracks)
    back = read_tracks(tmp_path / "tracks.json")
    assert (back.person, back.frame_size) == (tracks.person, tracks.frame_size)
    for name in ("times_s", "sharpness", "camera_shift"):
        np.testing.assert_allclose(getattr(back, name), getattr(tracks, name), atol=1e-6)
    for one, two in zip(tracks.people, back.people, strict=True):
        assert one.track_id == two.track_id
        for name in ("boxes_px", "keypoints_px", "confidence", "score", "landmarks_px", "landmarks_m", "visibility"):
            np.testing.assert_allclose(getattr(two, name), getattr(one, name), atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("text", ["{}", "[]", '{"person": 1, "people": [2], "frames": [{}], "frame_size": [1, 1]}'])
def test_a_file_without_tracks_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tracks.json").write_text(text)
    with pytest.raises(StorageError, match=r"tracks\.json.*no tracks"):
        read_tracks(tmp_path / "tracks.json")
