"""What runs on CUDA keeps its tensors there, and comes to what the processor comes to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.body_file import load_body
from dancedepth.models.checkpoint import SHIPPED_WEIGHTS, load_weights
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.body_motion import fit_body
from dancedepth.pipeline.close_looks import Finders
from dancedepth.pipeline.config import BodyMotionConfig, FusionConfig
from dancedepth.pipeline.depths import network_depths
from dancedepth.pipeline.fusion import fuse
from dancedepth.pipeline.records import BodyMotion, GeometrySequence, Silent, Surface
from dancedepth.pipeline.training import loop
from dancedepth.pipeline.training.config import OPTIMIZERS, DataConfig, TrainConfig
from dancedepth.pipeline.training.loop import train
from dancedepth.pipeline.training.objective import Scores
from dancedepth.pipeline.training.ranks import launched
from dancedepth.pipeline.training.video_pairs import ClipReport
from dancedepth.pipeline.workspace import RunFolder
from lightning.fabric import Fabric

from tests.elsewhere import CUDA, pretended_cuda
from tests.scenes import Scene, dancer, turning

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device: no need to pretend one"),
    pytest.mark.filterwarnings("ignore:CUDA is not available", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]
FEW_STEPS = BodyMotionConfig(search_steps=2, keypoint_steps=2, matte_steps=2)


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    return dancer(body, 9, turning(9))


def test_tensors_of_both_places_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_cuda(monkeypatch):
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert there.device == CUDA and (there + here.to(there)).device == CUDA
        assert float((2 * there).sum()) == 6 and there.cpu().numpy().sum() == 3
        with pytest.raises(RuntimeError, match="same device"):
            _ = there + here
        with pytest.raises(RuntimeError, match="same device"):
            _ = here[there.long()]
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()


def test_the_body_is_fitted_there(scene: Scene, body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _fitted(scene, body)
    with pretended_cuda(monkeypatch):
        found = _fitted(scene, load_body(cache_folder(), "cuda"))
    np.testing.assert_allclose(found.cam_from_rest, expected.cam_from_rest, atol=1e-4)


def test_networks_and_fusion_run_there(
    scene: Scene, body: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _depths(scene, body, tmp_path / "here", "cpu")
    solid = _fused(scene, expected, body, "cpu")
    with pretended_cuda(monkeypatch):
        there = load_body(cache_folder(), "cuda")
        found = _depths(scene, there, tmp_path / "there", "cuda")
        surface = _fused(scene, expected, there, "cuda")
    for index in expected.depth.indices:
        error = np.abs(found.depth.load(index) - expected.depth.load(index))
        assert np.quantile(error, 0.999) < 0.002  # eight at once and one by one are rounded differently
    assert len(surface.vertices) == pytest.approx(len(solid.vertices), rel=0.02)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_networks_are_trained_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    people = DataConfig(views=2, people=2, validation_people=1, workers=0)
    config = TrainConfig(preset="tiny", steps=3, batch=2, warmup=1, loaders=0, optimizer=optimizer, data=people)
    expected = _trained(config, tmp_path)
    with pretended_cuda(monkeypatch):
        monkeypatch.setattr(loop, "launched", _launched_there)
        found = _trained(config, tmp_path)
    assert found.depth_mm == pytest.approx(expected.depth_mm, abs=0.01)
    assert found.depth_mm != found.body_depth_mm  # it learned


def _trained(config: TrainConfig, folder: Path) -> Scores:
    out = folder / str(len(list(folder.iterdir())))
    scores = train(config, out, cache_folder(), Quiet(), folder / "people", "cpu")
    assert scores is not None
    return scores


class Quiet:
    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None: ...
    def validated(self, step: int, scores: Scores) -> None: ...
    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None: ...


def _launched_there(config: TrainConfig, *_: object) -> Fabric:
    fabric = launched(config, "cpu", None, 1)
    fabric._strategy._root_device = CUDA  # type: ignore[union-attr]
    fabric._accelerator.setup_device = lambda device: None  # type: ignore[method-assign]
    return fabric


def _fitted(scene: Scene, body: BodyModel) -> BodyMotion:
    camera = scene.motion.camera
    return fit_body(scene.frames, scene.tracks, scene.mattes, body, camera, Finders(), FEW_STEPS, Silent())


def _depths(scene: Scene, body: BodyModel, out: Path, device: str) -> GeometrySequence:
    net = load_weights(SHIPPED_WEIGHTS, device)[0]
    return network_depths(scene.frames, scene.motion, scene.mattes, body, net, RunFolder(out), Silent())


def _fused(scene: Scene, geometry: GeometrySequence, body: BodyModel, device: str) -> Surface:
    config = replace(FusionConfig(), voxel_m=0.015)
    return fuse(scene.frames, scene.tracks, scene.mattes, geometry, scene.motion, body, config, Silent(), device)
