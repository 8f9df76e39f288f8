from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.checkpoint import load_weights
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.errors import RunFolderError, UsageError
from dancedepth.pipeline.training.config import OPTIMIZERS, DataConfig, TrainConfig, read_config
from dancedepth.pipeline.training.dataset import Schedule
from dancedepth.pipeline.training.loop import train
from dancedepth.pipeline.training.objective import Scores
from dancedepth.pipeline.training.video_pairs import ClipReport

CONFIG = TrainConfig(
    preset="tiny", steps=4, batch=2, warmup=1, validate_every=4, checkpoint_every=2, log_every=1,
    data=DataConfig(views=2, people=2, validation_people=1, workers=0),
)  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@dataclass
class Recorder:
    losses: list[float] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)

    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None:
        self.losses.append(loss)

    def validated(self, step: int, scores: Scores) -> None:
        self.scores.append(scores)

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        raise AssertionError("there are no videos")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, body: BodyModel) -> Path:
    return tmp_path_factory.mktemp("people")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / "weights.safetensors")[0].state_dict()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_cut_off_and_resumed_is_as_if_never_cut_off(tmp_path: Path, people: Path, optimizer: str) -> None:
    whole, parts, config = Recorder(), Recorder(), replace(CONFIG, optimizer=optimizer)
    scores = train(config, tmp_path / "whole", cache_folder(), whole, people, "cpu")
    assert train(config, tmp_path / "parts", cache_folder(), parts, people, "cpu", stop_after=2) is None
    assert not (tmp_path / "parts" / "weights.safetensors").exists()
    again = train(config, tmp_path / "parts", cache_folder(), parts, people, "cpu")
    assert parts.losses == whole.losses and len(whole.losses) == 4
    assert again == scores
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(RunFolderError, match="other settings"):
        train(replace(config, batch=1), tmp_path / "whole", cache_folder(), Recorder(), people, "cpu")


@pytest.mark.parametrize("networks", ["normals", "depth"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_network_can_be_taught_alone(tmp_path: Path, people: Path, optimizer: str, networks: str) -> None:
    config = replace(CONFIG, optimizer=optimizer)
    train(config, tmp_path / "both", cache_folder(), Recorder(), people, "cpu")
    alone = replace(config, networks=networks, init=str(tmp_path / "both" / "weights.safetensors"), seed=1)
    train(alone, tmp_path / "alone", cache_folder(), Recorder(), people, "cpu")
    before, after = weights_of(tmp_path / "both"), weights_of(tmp_path / "alone")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {{"normals": "normal_net", "depth": "depth_net"}[networks]}
    with pytest.raises(UsageError, match="both, normals, depth, head"):
        replace(CONFIG, networks="color")


def test_the_network_for_heads_begins_as_the_other_and_alone_is_taught(tmp_path: Path, people: Path) -> None:
    train(CONFIG, tmp_path / "both", cache_folder(), Recorder(), people, "cpu")
    data, init = replace(CONFIG.data, heads=True), str(tmp_path / "both" / "weights.safetensors")
    config, told = replace(CONFIG, networks="head", data=data, init=init), Recorder()
    train(config, tmp_path / "head", cache_folder(), told, people, "cpu")
    before, after = weights_of(tmp_path / "both"), weights_of(tmp_path / "head")
    assert all(torch.equal(before[name], after[name]) for name in before)
    heads = {name.removeprefix("head_net."): value for name, value in after.items() if name not in before}
    assert heads.keys() == {name.removeprefix("normal_net.") for name in before if name.startswith("normal_net.")}
    assert any(not torch.equal(value, before[f"normal_net.{name}"]) for name, value in heads.items())
    assert told.scores[0].normals_deg < 2 * told.scores[0].body_normals_deg
    again = replace(config, init=str(tmp_path / "head" / "weights.safetensors"), steps=1, learning_rate=0.0)
    train(again, tmp_path / "again", cache_folder(), Recorder(), people, "cpu")
    kept = weights_of(tmp_path / "again")
    assert all(torch.equal(kept[name], after[name]) for name in after), "taught heads are where it goes on"
    with pytest.raises(UsageError, match="heads are what"):
        replace(CONFIG, networks="head")
    with pytest.raises(UsageError, match="not heads"):
        replace(config, videos=replace(config.videos, folder="clips"))


def test_another_seed_draws_other_samples() -> None:
    drawn = [[Schedule(replace(CONFIG, seed=seed)).pick(n)[1:] for n in range(20)] for seed in (0, 1, 2)]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_another_seed_learns_from_other_people(tmp_path: Path, people: Path) -> None:
    one, other = Recorder(), Recorder()
    short = replace(CONFIG, steps=1, data=replace(CONFIG.data, people=1))
    train(short, tmp_path / "one", cache_folder(), one, people, "cpu")
    train(replace(short, seed=1), tmp_path / "other", cache_folder(), other, people, "cpu")
    assert one.losses != other.losses
    body = [recorder.scores[0].body_normals_deg for recorder in (one, other)]
    assert body[0] == body[1]  # validation is the same for every training


def test_config_files(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text('preset = "tiny"\nsteps = 5\n[data]\nviews = 3\nmocap = "bvh"\n[loss]\nnormals = 2.0\n')
    config = read_config(path)
    assert (config.steps, config.data.views, config.loss.normals) == (5, 3, 2.0)
    assert config.data.mocap == str(tmp_path / "bvh")
    path.write_text("[data]\nview = 3\n")
    with pytest.raises(UsageError, match="no setting 'view'"):
        read_config(path)
    with pytest.raises(UsageError, match="cannot read"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(("name", "preset"), [("small", "small"), ("small_head", "small"), ("base", "base")])
def test_shipped_configs_are_valid(name: str, preset: str) -> None:
    assert read_config(Path(__file__).parents[3] / "configs" / f"{name}.toml").preset == preset
