from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.hdnet import HDNet
from dancedepth.pipeline import adaptation
from dancedepth.pipeline.adaptation import Adapted, After, adapt
from dancedepth.pipeline.config import DepthsConfig
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.records import Silent

from tests.scenes import Scene, dancer, still, turning

STEPS = 12


class Count(Silent):
    def __init__(self) -> None:
        self.steps, self.totals = 0, list[int | None]()

    def advanced(self, count: int = 1) -> None:
        self.steps += count

    def stage_started(self, name: str, total: int | None) -> None:
        self.totals.append(total)


@pytest.fixture(scope="module")
def net() -> HDNet:
    """Networks that see bumps where there are none."""
    torch.manual_seed(1)
    net = HDNet("tiny").eval()
    for part in (net.depth_net, net.normal_net):
        torch.nn.init.normal_(part.net.head.weight, std=0.15)
    return net


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    return dancer(body, 6, turning(24))


def adapted(net: HDNet, scene: Scene, body: BodyModel, observer: Count | None = None) -> Adapted:
    clip = (scene.frames, scene.tracks, scene.mattes, scene.motion)
    return adapt(net, *clip, body, STEPS, 0, observer or Count())


@pytest.fixture(scope="module")
def found(net: HDNet, scene: Scene, body: BodyModel) -> Iterator[Adapted]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptation, "LEARNING_RATE", 3e-3)
        yield adapted(net, scene, body)


def test_losses_fall_and_the_record_says_what_changed(found: Adapted, net: HDNet) -> None:
    losses = {loss.name: loss for loss in found.record.losses}
    assert found.record.why_not is None and found.record.steps == STEPS and found.record.pairs >= 8
    assert losses["total"].after < 0.9 * losses["total"].before
    assert losses["anchor"].before < 1e-6 < losses["anchor"].after
    assert found.record.depth_change_mm is not None and 0.1 < found.record.depth_change_mm < 200
    assert found.record.normal_change_deg is not None and found.record.normal_change_deg > 0.01
    assert found.net is not net and not found.net.training


def test_the_given_networks_stay_as_they_are_and_seeds_decide(
    found: Adapted, net: HDNet, scene: Scene, body: BodyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "LEARNING_RATE", 3e-3)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    observer = Count()
    again = adapted(net, scene, body, observer)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert again.record == found.record and observer.steps == STEPS
    After(observer, STEPS).stage_started("depths", 6)
    assert observer.totals[-1] == STEPS + 6


def test_what_does_not_help_is_not_kept(
    net: HDNet, scene: Scene, body: BodyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptation, "LEARNING_RATE", 50.0)
    wild = adapted(net, scene, body)
    assert wild.record.why_not == "the losses did not fall" and wild.net is net


def test_a_dancer_who_stands_still_teaches_nothing(net: HDNet, body: BodyModel) -> None:
    found = adapted(net, dancer(body, 3, still({})), body)
    assert found.net is net and found.record.steps == 0 and "pairs" in str(found.record.why_not)


def test_only_the_networks_adapt(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only the depth networks"):
        DepthsConfig("body", adapt_steps=5)
    assert DepthsConfig("hdnet", str(tmp_path), 5).adapt_steps == 5
