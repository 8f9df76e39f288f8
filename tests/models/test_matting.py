from pathlib import Path

import numpy as np
import pytest
from dancedepth.models.errors import WeightsError
from dancedepth.models.matting import RobustVideoMatting, YoloMatting, load_matting
from dancedepth.models.weights import resolve


@pytest.fixture(scope="module")
def rvm() -> RobustVideoMatting:
    return RobustVideoMatting(resolve("rvm"), "cpu")


@pytest.fixture(scope="module")
def real_frames(shared: Path) -> list[np.ndarray]:
    from dancedepth.pipeline.config import FramesConfig
    from dancedepth.pipeline.frames import open_video

    clip = shared / "videos" / "rotation_metadata.mp4"
    return [frame.rgb for frame in open_video(clip, FramesConfig(fps=8, end_s=0.6))]


def test_cuts_out_a_person(rvm: RobustVideoMatting, real_frames: list[np.ndarray]) -> None:
    rvm.reset()
    alpha = [rvm.alpha(rgb) for rgb in real_frames][-1]
    height, width = real_frames[0].shape[:2]
    assert alpha.shape == (height, width) and alpha.dtype == np.uint8
    assert 0.1 < (alpha > 127).mean() < 0.4
    assert alpha[int(0.4 * height), int(0.55 * width)] > 250  # her chest
    assert alpha[:, : width // 10].mean() < 3  # the plant at the left
    between = (alpha > 25) & (alpha < 230)
    assert between.mean() < 0.05


def test_remembers_frames_until_reset(rvm: RobustVideoMatting, real_frames: list[np.ndarray]) -> None:
    rvm.reset()
    first, second = rvm.alpha(real_frames[0]), rvm.alpha(real_frames[0])
    assert (first != second).any()
    rvm.reset()
    np.testing.assert_array_equal(rvm.alpha(real_frames[0]), first)


@pytest.mark.parametrize("size", [(96, 65), (33, 47)])
def test_odd_sizes_keep_their_size(rvm: RobustVideoMatting, size: tuple[int, int]) -> None:
    rvm.reset()
    assert rvm.alpha(np.zeros((*size, 3), np.uint8)).shape == size


def test_broken_model_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(resolve("rvm").read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"broken\.onnx.*weights fetch rvm"):
        load_matting(path, "cpu")


def test_yolo_segmentation_is_chosen_by_suffix(tmp_path: Path) -> None:
    from .test_pose import untrained

    matting = load_matting(untrained("seg", tmp_path / "seg.pt"), "cpu")
    assert isinstance(matting, YoloMatting)
    alpha = matting.alpha(np.full((70, 45, 3), 90, np.uint8))
    np.testing.assert_array_equal(alpha, np.zeros((70, 45), np.uint8))  # untrained, it sees nobody


def test_yolo_segmentation_unites_the_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from ultralytics.engine.results import Results

    from .test_pose import untrained

    matting = YoloMatting(untrained("seg", tmp_path / "seg.pt"), "cpu")
    masks = torch.zeros(2, 60, 40)
    masks[0, 10:30, 5:15], masks[1, 20:50, 20:35] = 1, 1
    boxes = torch.tensor([[5.0, 10, 15, 30, 0.9, 0], [20, 20, 35, 50, 0.8, 0]])

    def predict(image: np.ndarray, **_: object) -> list[Results]:
        return [Results(image, path="", names={0: "person"}, boxes=boxes, masks=masks)]

    monkeypatch.setattr(matting._model, "predict", predict)
    alpha = matting.alpha(np.zeros((60, 40, 3), np.uint8))
    body = masks.amax(dim=0).numpy() > 0
    assert (alpha[body] > 60).all()  # soft at corners only
    assert (alpha[15:25, 8:12] == 255).all() and (alpha[25:45, 24:30] == 255).all()
    assert alpha[~body].max() < 128 and alpha[:5].max() == 0
