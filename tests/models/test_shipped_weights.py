"""The weights that the package brings: whose they are, and that they are worth having."""

import hashlib
from pathlib import Path

import pytest
from dancedepth.models.checkpoint import SHIPPED_WEIGHTS, load_weights
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.training.config import DataConfig, TrainConfig, read_config
from dancedepth.pipeline.training.dataset import validation_batches
from dancedepth.pipeline.training.objective import mean_scores, scores_of
from dancedepth.pipeline.training.people_folder import PeopleFolder

MOST_BYTES = 40_000_000
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_they_say_how_they_were_made_and_the_card_is_theirs() -> None:
    assert SHIPPED_WEIGHTS.stat().st_size <= MOST_BYTES
    made = load_weights(SHIPPED_WEIGHTS)[1]
    recipe = read_config(Path(__file__).parents[2] / "configs" / f"{made.preset}_long.toml")
    assert made.steps == recipe.steps
    for ours, theirs in ((recipe.to_json(), made.config), (recipe.to_json()["loss"], made.config["loss"])):
        same = {name for name in ours.keys() & theirs.keys() if name not in ("data", "loss", "init")}
        assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    card = SHIPPED_WEIGHTS.with_suffix(".md").read_text()
    assert hashlib.sha256(SHIPPED_WEIGHTS.read_bytes()).hexdigest() in card
    assert f"{made.scores['normals_deg']:.1f}" in card and f"{made.scores['depth_mm']:.1f}" in card


def test_they_see_more_than_the_body_does(tmp_path: Path) -> None:
    config = TrainConfig(data=DataConfig(views=6, validation_people=1, workers=0, fit_error=1.0))
    people = PeopleFolder(tmp_path, config.data, config.preset, cache_folder())
    net = load_weights(SHIPPED_WEIGHTS)[0]
    scores = mean_scores([scores_of(net.infer(batch.given), batch) for batch in validation_batches(people, config)])
    assert scores.normals_deg < 0.85 * scores.body_normals_deg
    assert scores.depth_mm < scores.body_depth_mm
