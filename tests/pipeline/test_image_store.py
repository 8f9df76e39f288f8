"""Images come from the store as they would from their files, and nothing of it stays anywhere."""

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.models.hdnet import HDNet
from dancedepth.pipeline import scratch_file, storage
from dancedepth.pipeline.depths import load_geometry, network_depths
from dancedepth.pipeline.image_store import ImageStore
from dancedepth.pipeline.panels import Panels, PanelSize
from dancedepth.pipeline.point_clouds import write_point_clouds
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.workspace import RunFolder
from PIL import Image

from tests.scenes import dancer, turning

SHAPE = (60, 44)
BOX = (slice(7, 41), slice(13, 30))
EVERYTHING, CORNER, NOTHING = (slice(0, 60), slice(0, 44)), (slice(59, 60), slice(43, 44)), (slice(0), slice(0))


@pytest.fixture
def store() -> Iterator[ImageStore]:
    with ImageStore() as store:
        yield store


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were decoded."""
    seen: list[Path] = []
    real = storage._decoded

    def noted(path: Path) -> np.ndarray:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(storage, "_decoded", noted)
    return seen


def in_a_box(*channels: int) -> np.ndarray:
    """Noise, 0-1, in a box of an image."""
    image = np.zeros((*SHAPE, *channels), np.float32)
    image[BOX] = np.random.default_rng(0).uniform(0.1, 1, image[BOX].shape)
    return image


def write_all(folder: Path, store: ImageStore | None) -> None:
    unit = in_a_box(3) * 2 - 1
    storage.write_depth(folder / "depth.png", in_a_box() * 7, store)
    storage.write_normals(folder / "normals.png", unit / np.linalg.norm(unit, axis=-1, keepdims=True), store)
    storage.write_mask(folder / "mask.png", (in_a_box() * 255).astype(np.uint8), store)


READERS: dict[str, Callable[[Path, ImageStore | None], np.ndarray]] = {
    "depth": lambda folder, store: storage.read_depth(folder / "depth.png", 1, store),
    "each third pixel's depth": lambda folder, store: storage.read_depth(folder / "depth.png", 3, store),
    "normals": lambda folder, store: storage.read_normals(folder / "normals.png", store),
    "picture": lambda folder, store: storage.read_picture(folder / "normals.png", 2, store),
    "mask": lambda folder, store: storage.read_mask(folder / "mask.png", store),
}


@pytest.mark.parametrize("name", READERS)
def test_what_was_written_is_read_as_from_its_file(
    name: str, tmp_path: Path, store: ImageStore, decodings: list[Path]
) -> None:
    write_all(tmp_path, store)
    found = READERS[name](tmp_path, store)
    assert not decodings
    expected = READERS[name](tmp_path, None)
    assert decodings and expected.any()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_files_are_the_same_with_a_store(tmp_path: Path, store: ImageStore) -> None:
    for name, one in (("with", store), ("without", None)):
        write_all(tmp_path / name, one)
    for path in (tmp_path / "with").iterdir():
        assert path.read_bytes() == (tmp_path / "without" / path.name).read_bytes()


def test_what_another_process_wrote_is_decoded_once(tmp_path: Path, store: ImageStore, decodings: list[Path]) -> None:
    write_all(tmp_path, None)
    first, second = (storage.read_depth(tmp_path / "depth.png", 2, store) for _ in range(2))
    assert len(decodings) == 1
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(storage.read_depth(tmp_path / "depth.png", 1, store)[::2, ::2], first)


def test_a_file_that_is_written_again_is_read_as_it_is_now(tmp_path: Path) -> None:
    path, whole = tmp_path / "mask.png", np.full(SHAPE, 9, np.uint8)
    for most_bytes in (10**6, whole.nbytes):  # with room for the second one, and without
        with ImageStore(most_bytes) as store:
            storage.write_mask(path, whole, store)
            storage.write_mask(path, whole * 2, store)
            assert (storage.read_mask(path, store) == 18).all()


@pytest.mark.parametrize("box", [BOX, EVERYTHING, CORNER, NOTHING])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_only_what_is_not_nought_takes_room(
    box: tuple[slice, slice], kind: type, channels: tuple[int, ...], store: ImageStore
) -> None:
    image = np.zeros((*SHAPE, *channels), kind)
    image[box] = 256 if kind is np.uint16 else 1  # whose lower byte is 0
    store.keep(Path("a.png"), image)
    found = store.find(Path("a.png"))
    assert found is not None and found.dtype == kind
    np.testing.assert_array_equal(found, image)
    assert store._file._end == image[box].nbytes


def test_views_are_kept_too(store: ImageStore) -> None:
    image = np.arange(60 * 44, dtype=np.uint16).reshape(SHAPE)[::2, ::-2]
    store.keep(Path("a.png"), image)
    np.testing.assert_array_equal(store.find(Path("a.png")), image)


def test_threads_do_not_mix_images_up(store: ImageStore) -> None:
    def there_and_back(number: int) -> bool:
        path, image = Path(f"{number}.png"), np.full((64, 64), number % 255 + 1, np.uint8)
        store.keep(path, image)
        return np.array_equal(store.find(path), image)

    with ThreadPoolExecutor(8) as workers:
        assert all(workers.map(there_and_back, range(400)))


def test_what_does_not_fit_is_decoded(tmp_path: Path, decodings: list[Path]) -> None:
    with ImageStore(most_bytes=10 * 10) as store:
        for number in (1, 2):
            storage.write_mask(tmp_path / f"{number}.png", np.full((10, 10), number, np.uint8), store)
        for number in (1, 2):
            assert (storage.read_mask(tmp_path / f"{number}.png", store) == number).all()
    assert [path.name for path in decodings] == ["2.png"]


@pytest.mark.parametrize("call", ["pwrite", "preadv"])
def test_a_failing_disk_is_no_error(
    call: str, tmp_path: Path, store: ImageStore, decodings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, failing)
    write_all(tmp_path, store)
    for read in READERS.values():
        np.testing.assert_array_equal(read(tmp_path, store), read(tmp_path, None))
    assert len(decodings) == 2 * len(READERS)


def test_without_a_disk_everything_is_decoded(
    tmp_path: Path, store: ImageStore, decodings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch_file, "scratch_folder", lambda: None)
    write_all(tmp_path, store)
    assert storage.read_mask(tmp_path / "mask.png", store).any() and len(decodings) == 1


def test_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_file, "scratch_folder", lambda: tmp_path)
    handles = psutil.Process().num_fds()
    with ImageStore() as store:
        store.keep(Path("a.png"), np.ones(SHAPE, np.uint8))
        assert psutil.Process().num_fds() == handles + 1 and list(tmp_path.iterdir()) == []
    assert psutil.Process().num_fds() == handles and store.find(Path("a.png")) is None


def test_stages_see_and_write_the_same_with_a_store(
    body: BodyModel, tmp_path: Path, store: ImageStore, decodings: list[Path]
) -> None:
    scene, net = dancer(body, 2, turning(2)), HDNet("small").eval()
    folders = [RunFolder(tmp_path / "with", store), RunFolder(tmp_path / "without")]
    camera = scene.motion.camera
    for folder in folders:
        found = network_depths(scene.frames, scene.motion, scene.mattes, body, net, folder, Silent())
        write_point_clouds(scene.frames, found, camera, folder, Silent())
        assert bool(decodings) == (folder.images is None)
    files = [path.relative_to(tmp_path / "with") for path in (tmp_path / "with").rglob("*.p*")]
    assert len(files) == 2 * 4
    for name in files:
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    image = PanelSize(camera.width, camera.height)
    one, other = (Panels(folder, image, PanelSize.within(camera.width, camera.height, 90)) for folder in folders)
    for index in (0, 1):
        np.testing.assert_array_equal(one.depth(index), other.depth(index))
        np.testing.assert_array_equal(one.normals(index), other.normals(index))
    again = load_geometry(RunFolder(tmp_path / "without", store), (0, 1)).confidence
    assert again is not None and again.load(1).any()


def test_the_file_decides_what_is_kept(tmp_path: Path, store: ImageStore) -> None:
    """Depths between two units, or farther than a file can tell, are rounded as in the file."""
    storage.write_depth(tmp_path / "d.png", np.array([[1.00007, 1.00013], [99.0, -1.0]], np.float32), store)
    with Image.open(tmp_path / "d.png") as image:
        stored = np.asarray(image)
    np.testing.assert_array_equal(stored, [[5000, 5001], [65535, 0]])
    np.testing.assert_array_equal(store.find(tmp_path / "d.png"), stored)
