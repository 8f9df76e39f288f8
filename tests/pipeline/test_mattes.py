from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dancedepth.models.body import COCO_KEYPOINTS
from dancedepth.pipeline.config import MattesConfig
from dancedepth.pipeline.errors import PersonError
from dancedepth.pipeline.mattes import _window_alpha, _work_scale, cut_out, dancer_window, load_mattes
from dancedepth.pipeline.records import Frame, Silent, Track, Tracks, VideoInfo
from dancedepth.pipeline.workspace import RunFolder

WIDTH, HEIGHT, COUNT = 240, 160, 4
STANDING = {
    "nose": (0, -0.42), "left_shoulder": (0.1, -0.3), "right_shoulder": (-0.1, -0.3), "left_elbow": (0.14, -0.15),
    "right_elbow": (-0.14, -0.15), "left_wrist": (0.14, 0), "right_wrist": (-0.14, 0), "left_hip": (0.06, 0),
    "right_hip": (-0.06, 0), "left_knee": (0.06, 0.22), "right_knee": (-0.06, 0.22), "left_ankle": (0.06, 0.44),
    "right_ankle": (-0.06, 0.44),
}  # fmt: skip


def person(number: int, x: float, found: tuple[int, ...] = tuple(range(COUNT)), height: float = 100) -> Track:
    track = Track.unseen(number, COUNT)
    for index in found:
        for name, offset in STANDING.items():
            place = COCO_KEYPOINTS.index(name)
            track.keypoints_px[index, place] = (x + offset[0] * height, HEIGHT / 2 + offset[1] * height)
            track.confidence[index, place] = 0.9
        track.keypoints_px[index][track.confidence[index] == 0] = 0
        half = np.array([0.18, 0.5]) * height
        centre = np.array([x, HEIGHT / 2])
        track.boxes_px[index] = [*(centre - half), *(centre + half)]
        track.score[index] = 0.9
    return track


def tracks_of(*people: Track) -> Tracks:
    zeros = np.zeros(COUNT)
    return Tracks(np.arange(COUNT) / 12, zeros, zeros, people, 0, (WIDTH, HEIGHT))


def figure(x: float, height: float = 100) -> np.ndarray:
    """A white oval of a person on black."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((columns - x) / (0.2 * height)) ** 2 + ((rows - HEIGHT / 2) / (0.52 * height)) ** 2 < 1
    return np.where(inside, 255, 0).astype(np.uint8)


class Clip:
    """A `FrameSource` that shows the same picture in every frame."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = np.repeat(picture[..., None], 3, axis=2)
        self.info = VideoInfo(Path("clip.mp4"), WIDTH, HEIGHT, 12.0, COUNT / 12, 0, "none", None)
        self.expected_frames: int | None = COUNT

    def __iter__(self) -> Iterator[Frame]:
        for index in range(COUNT):
            yield Frame(index, index / 12, self.picture)


class Whites:
    """A segmenter for which white things are people."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def reset(self) -> None:
        self.sizes = []

    def alpha(self, rgb: np.ndarray) -> np.ndarray:
        self.sizes.append(rgb.shape[:2])
        return rgb[..., 0]


def cut(picture: np.ndarray, tracks: Tracks, root: Path, **config: int) -> tuple[dict[int, np.ndarray], Whites]:
    matting = Whites()
    mattes = cut_out(Clip(picture), tracks, matting, MattesConfig(**config), RunFolder(root), Silent())
    return {index: mattes.load(index) for index in mattes.indices}, matting


def test_the_dancer_alone_is_kept_whole(tmp_path: Path) -> None:
    mattes, _ = cut(figure(120), tracks_of(person(1, 120)), tmp_path)
    assert list(mattes) == [0, 1, 2, 3]
    for matte in mattes.values():
        np.testing.assert_array_equal(matte, figure(120))
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [f"{i:06d}.png" for i in range(COUNT)]


def test_others_are_removed_even_where_they_touch(tmp_path: Path) -> None:
    picture = np.maximum(figure(100), figure(138))
    mattes, _ = cut(picture, tracks_of(person(1, 100), person(2, 138)), tmp_path)
    matte = mattes[2]
    assert (matte[:, :115] == figure(100)[:, :115]).all()
    assert matte[:, 124:].max() == 0


def test_things_that_nobody_tracks_are_removed(tmp_path: Path) -> None:
    picture = figure(80)
    picture[20:60, 180:220] = 255
    picture[140:150, 60:100] = 0
    mattes, _ = cut(picture, tracks_of(person(1, 80)), tmp_path)
    expected = picture.copy()
    expected[20:60, 180:220] = 0
    np.testing.assert_array_equal(mattes[0], expected)


def test_soft_edges_stay_soft(tmp_path: Path) -> None:
    import cv2

    picture = cv2.GaussianBlur(figure(80), (0, 0), 1.5)
    picture[20:60, 180:220] = 255  # so that the matte is worked on
    mattes, _ = cut(picture, tracks_of(person(1, 80)), tmp_path)
    edge = (picture > 60) & (picture < 200)
    edge[20:60, 170:] = False
    assert edge.sum() > 100
    np.testing.assert_array_equal(mattes[0][edge], picture[edge])


def test_frames_without_the_dancer_have_no_matte(tmp_path: Path) -> None:
    mattes, matting = cut(figure(120), tracks_of(person(1, 120, found=(0, 3))), tmp_path)
    assert list(mattes) == [0, 3]
    assert len(matting.sizes) >= COUNT  # the segmenter's memory saw them all the same


def test_two_people_taken_for_one_leave_no_matte(tmp_path: Path) -> None:
    """In frame 1 the detector does not tell the other from the dancer in front of them."""
    mattes, _ = cut(figure(120), tracks_of(person(1, 120), person(2, 130, found=(0, 2, 3))), tmp_path)
    assert list(mattes) == [0, 2, 3]


def test_a_small_figure_is_looked_at_closely(tmp_path: Path) -> None:
    tracks = tracks_of(person(1, 60, height=60))
    rows, columns = dancer_window(tracks)
    assert rows.start <= 41 and rows.stop >= 119 and columns.start <= 40 and columns.stop >= 80
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 0.3 * WIDTH * HEIGHT
    mattes, matting = cut(figure(60, height=60), tracks, tmp_path)
    assert set(matting.sizes) == {(rows.stop - rows.start, columns.stop - columns.start)}
    np.testing.assert_array_equal(mattes[1], figure(60, height=60))


def test_large_frames_are_reduced_and_mattes_full_size(tmp_path: Path) -> None:
    mattes, matting = cut(figure(120), tracks_of(person(1, 120)), tmp_path, work_side_px=128)
    assert max(max(size) for size in matting.sizes) == 128
    assert mattes[0].shape == (HEIGHT, WIDTH)
    assert (np.abs(mattes[0].astype(int) - figure(120)) > 127).mean() < 0.005


@pytest.mark.parametrize(("side_px", "scale"), [(1920, 1 / 2), (3840, 1 / 4), (1280, 0.8), (1024, 1), (640, 1)])
def test_frames_are_reduced_by_a_whole_number_where_that_is_nearly_what_was_asked_for(
    side_px: int, scale: float
) -> None:
    assert _work_scale(360, side_px, 1024) == scale


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (239, 159, 240, 160), (120, 0, 120, 160), (0, 80, 240, 80), (-9, 5, -3, 9)]
)
def test_a_box_without_an_area_leaves_something_to_look_at(box: tuple[float, ...]) -> None:
    track = person(1, x=120)
    track.boxes_px[:] = box
    rows, columns = dancer_window(tracks_of(track))
    assert 0 <= rows.start < rows.stop <= HEIGHT and 0 <= columns.start < columns.stop <= WIDTH
    assert min(rows.stop - rows.start, columns.stop - columns.start) >= 16


class Particular:
    """A segmenter that cannot work on less than 32 pixels."""

    def reset(self) -> None:
        pass

    def alpha(self, rgb: np.ndarray) -> np.ndarray:
        assert min(rgb.shape[:2]) >= 32
        return rgb[..., 0]


@pytest.mark.parametrize("size", [(1024, 2), (2, 1024), (1, 1), (31, 33)])
def test_slivers_are_padded_for_the_segmenter(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    alpha = _window_alpha(rgb, Particular(), 1)
    np.testing.assert_array_equal(alpha, rgb[..., 0])


def test_a_segmenter_that_misses_the_dancer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PersonError, match="--segmenter"):
        cut(np.zeros((HEIGHT, WIDTH), np.uint8), tracks_of(person(1, 120)), tmp_path)


def test_mattes_are_loaded_again(tmp_path: Path) -> None:
    mattes, _ = cut(figure(120), tracks_of(person(1, 120)), tmp_path)
    again = load_mattes(RunFolder(tmp_path), [1, 3])
    assert again.indices == (1, 3)
    np.testing.assert_array_equal(again.load(3), mattes[3])
