import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dancedepth.models.errors import WeightsError
from dancedepth.models.pose import PoseDetector
from dancedepth.models.weights import resolve
from dancedepth.models.yolo import _import_quietly, predicted

LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ANKLE, NOSE = 5, 6, 15, 0


@pytest.fixture(scope="module")
def detector() -> PoseDetector:
    return PoseDetector(resolve("yolo11n-pose"), "cpu")


@pytest.fixture(scope="module")
def real_frames(shared: Path) -> list[np.ndarray]:
    from dancedepth.pipeline.config import FramesConfig
    from dancedepth.pipeline.frames import open_video

    clip = shared / "videos" / "trousers_front.mp4"
    return [frame.rgb for frame in open_video(clip, FramesConfig(fps=4, end_s=1.0))]


def untrained(task: str, path: Path, **changes: Any) -> Path:
    """A model of the right make with random weights."""
    yolo = _import_quietly()
    import ultralytics
    import yaml

    folder = Path(ultralytics.__file__).parent / "cfg" / "models" / "11"
    description = yaml.safe_load((folder / f"yolo11-{task}.yaml").read_text())
    description.update(changes)
    config = path.with_name(f"yolo11n-{task}.yaml")
    config.write_text(yaml.safe_dump(description))
    yolo(str(config), task={"seg": "segment"}.get(task, task)).save(str(path))
    return path


@pytest.mark.parametrize("content", [b"", b"this is a text file", b"PK\x03\x04 cut zip"])
def test_broken_file_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"broken\.pt.*broken or not a model"):
        PoseDetector(path, "cpu")


def test_cut_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(resolve("yolo11n-pose").read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="broken or not a model"):
        PoseDetector(path, "cpu")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    import torch

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "was_here"),))

    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError):
        PoseDetector(tmp_path / "evil.pt", "cpu")
    assert not (tmp_path / "was_here").exists()


def test_model_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"task 'segment'.*-pose"):
        PoseDetector(untrained("seg", tmp_path / "seg.pt"), "cpu")


def test_pose_model_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="5 keypoints"):
        PoseDetector(untrained("pose", tmp_path / "hands.pt", kpt_shape=[5, 3]), "cpu")


def test_nobody_in_an_empty_picture(detector: PoseDetector) -> None:
    detector.reset()
    assert detector.detect(np.full((120, 90, 3), 128, np.uint8)) == []


def test_finds_the_person_and_keeps_the_number(detector: PoseDetector, real_frames: list[np.ndarray]) -> None:
    detector.reset()
    found = [detector.detect(rgb) for rgb in real_frames]
    assert [len(people) for people in found] == [1] * len(real_frames)
    assert {people[0].track_id for people in found} == {1}
    height, width = real_frames[0].shape[:2]
    for (person,) in found:
        assert person.score > 0.8
        left, top, right, bottom = person.box_px
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        assert bottom - top > 0.6 * height
        x, y = person.keypoints_px.T
        assert x[LEFT_SHOULDER] > x[RIGHT_SHOULDER]  # she faces the camera
        assert y[NOSE] < y[LEFT_SHOULDER] < y[LEFT_ANKLE]


def test_frames_looked_at_side_by_side_are_the_same(detector: PoseDetector, real_frames: list[np.ndarray]) -> None:
    alone = [detector.look(rgb) for rgb in real_frames]
    with ThreadPoolExecutor(2) as crew:
        together = list(crew.map(detector.look, real_frames))
    assert all(len(one) == 1 for one in alone)
    for before, after in zip(alone, together, strict=True):
        np.testing.assert_array_equal(before[0].keypoints_px, after[0].keypoints_px)


def test_colours_arrive_in_the_networks_order(detector: PoseDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    """ultralytics takes arrays as blue, green, red."""
    seen = []

    def watched(model: object, bgr: np.ndarray, *rest: object, **options: object) -> object:
        seen.append(bgr)
        return predicted(model, bgr, *rest, **options)

    monkeypatch.setattr("dancedepth.models.pose.predicted", watched)
    detector.detect(np.full((64, 64, 3), (200, 100, 50), np.uint8))
    assert seen[0][0, 0].tolist() == [50, 100, 200]


def test_half_precision_moves_no_keypoint(real_frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for half in (False, True):
        monkeypatch.setattr("dancedepth.models.yolo.has_bfloat16", lambda device, half=half: half)
        found.append(PoseDetector(resolve("yolo11n-pose"), "cpu").detect(real_frames[0])[0])
    sure = found[0].confidence > 0.5
    off_px = np.abs(found[1].keypoints_px - found[0].keypoints_px)[sure]
    assert 0 < off_px.mean() < 0.001 * real_frames[0].shape[0]


def test_ultralytics_keeps_to_itself(tmp_path: Path) -> None:
    """In a fresh home: no output, nothing kept outside our folder, no proxies, threads as before; no torchvision."""
    home, here, cache = tmp_path / "home", tmp_path / "here", tmp_path / "cache"
    for folder in (home, here, cache):
        folder.mkdir()
    code = (
        "import sys, socket, numpy as np, torch, os\n"
        "def refuse(*a, **k): raise SystemExit('asked for the network')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from dancedepth.models.pose import PoseDetector\n"
        "from pathlib import Path\n"
        "before = torch.get_num_threads(), os.environ.get('OMP_NUM_THREADS')\n"
        "PoseDetector(Path(sys.argv[1]), 'cpu').detect(np.zeros((64, 64, 3), np.uint8))\n"
        "assert before == (torch.get_num_threads(), os.environ.get('OMP_NUM_THREADS'))\n"
        "assert 'torchvision' not in sys.modules\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "YOLO_", "ULTRALYTICS_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(resolve("yolo11n-pose"))],
        env={**kept, "HOME": str(home), "DANCEDEPTH_CACHE": str(cache)},
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(here.iterdir()) == []
    assert [path for path in home.rglob("*") if "ltralytics" in path.name] == []
    assert (cache / "ultralytics").is_dir()
