import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.checkpoint import Provenance, load_weights, save_weights
from dancedepth.models.hdnet import PRESETS, HDNet
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.training import video_lessons
from dancedepth.pipeline.training.clip_frames import read_clip
from dancedepth.pipeline.training.clip_pairs import find_pairs, write_pairs
from dancedepth.pipeline.training.config import DataConfig, PairLossConfig, TrainConfig, VideosConfig, same_settings
from dancedepth.pipeline.training.loop import train
from dancedepth.pipeline.training.objective import Scores
from dancedepth.pipeline.training.pair_batches import ClipFiles
from dancedepth.pipeline.training.sample_files import write_samples
from dancedepth.pipeline.training.video_pairs import ClipReport

from tests.scenes import dancer, turning

PLAIN = TrainConfig(
    preset="tiny", steps=4, batch=2, warmup=1, validate_every=4, checkpoint_every=2, log_every=1,
    data=DataConfig(views=2, people=2, validation_people=1, workers=0),
)  # fmt: skip
WITH_VIDEOS = replace(PLAIN, videos=VideosConfig(folder="clips", batch=1, points=200, start=1))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Losses:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None:
        self.seen.append(loss)

    def validated(self, step: int, scores: Scores) -> None:
        """Not asked here."""

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        """Not asked here."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, body: BodyModel) -> list[ClipFiles]:
    scene = dancer(body, 6, turning(24))
    folder = tmp_path_factory.mktemp("clip")
    frames = read_clip(scene.frames, scene.tracks, scene.mattes, scene.motion, body, PRESETS["tiny"].size).frames
    pairs = find_pairs(frames, body)
    write_samples(folder / "frames", [frame.sample for frame in frames])
    write_pairs(folder / "pairs", pairs)
    return [ClipFiles(folder / "frames", folder / "pairs", len(pairs))]


@pytest.fixture(autouse=True)
def _prepared(clips: list[ClipFiles], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_lessons, "prepare_videos", lambda *arguments: clips)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("people")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / "weights.safetensors")[0].state_dict()


def test_with_videos_too_a_training_goes_on_exactly_where_it_was(tmp_path: Path, people: Path) -> None:
    whole, parts, plain = Losses(), Losses(), Losses()
    train(WITH_VIDEOS, tmp_path / "whole", cache_folder(), whole, people, "cpu")
    train(WITH_VIDEOS, tmp_path / "parts", cache_folder(), parts, people, "cpu", stop_after=2)
    train(WITH_VIDEOS, tmp_path / "parts", cache_folder(), parts, people, "cpu")
    assert parts.seen == whole.seen and len(whole.seen) == 4
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    train(PLAIN, tmp_path / "plain", cache_folder(), plain, people, "cpu")
    assert plain.seen[0] == whole.seen[0], "videos come in at their first step"
    assert all(a < b for a, b in zip(plain.seen[1:], whole.seen[1:], strict=True))


def test_a_training_starts_from_given_weights_and_is_held_near_them(tmp_path: Path, people: Path) -> None:
    taught = HDNet("tiny")
    torch.nn.init.normal_(taught.depth_net.net.head.weight, std=0.3)
    path = tmp_path / "taught.safetensors"
    save_weights(path, taught, Provenance("tiny", 0, 0, "nothing"))
    still = replace(PLAIN, steps=1, learning_rate=1e-12, init=str(path))
    train(still, tmp_path / "still", cache_folder(), Losses(), people, "cpu")
    found = weights_of(tmp_path / "still")
    assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in taught.state_dict().items())
    only = PairLossConfig(0, 1, 0, 0, 0, 0, anchor=1.0, anchor_normals=1.0)
    free, held = Losses(), Losses()
    near = replace(still, videos=replace(WITH_VIDEOS.videos, start=0, loss=only))
    train(near, tmp_path / "held", cache_folder(), held, people, "cpu")
    train(still, tmp_path / "free", cache_folder(), free, people, "cpu")
    assert held.seen[0] == pytest.approx(free.seen[0], rel=1e-3), "it stands where the weights stand"
    with pytest.raises(UsageError, match="tiny networks"):
        train(replace(still, preset="small"), tmp_path / "other", cache_folder(), Losses(), people, "cpu")


def test_trainings_of_older_programs_can_go_on() -> None:
    older = json.loads(json.dumps(PLAIN.to_json()))
    del older["videos"], older["init"]
    assert same_settings(older, PLAIN)
    assert not same_settings(older, WITH_VIDEOS) and not same_settings(older, replace(PLAIN, steps=5))
    partly = json.loads(json.dumps(WITH_VIDEOS.to_json()))
    del partly["videos"]["loss"]
    assert same_settings(partly, WITH_VIDEOS)
