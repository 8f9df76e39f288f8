import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dancedepth.models import hdnet
from dancedepth.models.checkpoint import SHIPPED_WEIGHTS, Provenance, load_weights, save_weights
from dancedepth.models.errors import WeightsError
from dancedepth.models.hdnet import PRESETS, HDNet
from dancedepth.models.inputs import NetworkInput
from dancedepth.models.losses import normal_angle_deg
from safetensors.torch import save_file
from torch.nn.functional import normalize


def random_input(batch: int, width: int, height: int) -> NetworkInput:
    def maps(channels: int) -> torch.Tensor:
        return torch.rand(batch, channels, height, width)

    seen = (maps(1) > 0.3).float()
    return NetworkInput(
        maps(3), (maps(1) > 0.2).float(), maps(1) - 0.5, normalize(maps(3) - 0.5, dim=1) * seen, (maps(3) - 0.5) * seen,
        seen, maps(2) - 0.5, torch.full((batch, 1, 1, 1), 2.0),
    )  # fmt: skip


def smooth_input(width: int, height: int) -> NetworkInput:
    """One picture's, as smooth as bodies are."""
    generator = torch.Generator().manual_seed(0)

    def maps(channels: int) -> torch.Tensor:
        coarse = torch.rand(1, channels, 5, 4, generator=generator)
        return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")

    full = torch.ones(1, 1, height, width)
    facing = normalize(maps(3) - torch.tensor([0.5, 0.5, 2.0])[:, None, None], dim=1)
    return NetworkInput(
        maps(3).clamp(0, 1), full, 0.2 * maps(1), facing, maps(3) - 0.5, full, 0.2 * (maps(2) - 0.5),
        torch.full((1, 1, 1, 1), 2.0),
    )  # fmt: skip


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_answers_have_the_inputs_size_and_normals_are_unit(preset: str) -> None:
    net = HDNet(preset).eval()
    width, height = net.size
    said = net.infer(random_input(2, width, height))
    assert said.normals.shape == (2, 3, height, width)
    assert said.depth.shape == said.depth_scale.shape == said.normal_scale.shape == (2, 1, height, width)
    assert (said.confidence > 0).all() and (said.confidence < 1).all()


def test_bfloat16_changes_little_and_leaves_no_terraces(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = load_weights(SHIPPED_WEIGHTS)[0], smooth_input(*PRESETS["small"].size)
    said = []
    for short in (False, True):
        monkeypatch.setattr(hdnet, "has_bfloat16", lambda _, short=short: short)
        said.append(net.infer(given))
    assert all(answer.depth.dtype == answer.normals.dtype == torch.float32 for answer in said)
    exact, quick = said
    everywhere = torch.ones_like(given.alpha, dtype=torch.bool)
    assert 0 < float(normal_angle_deg(quick.normals, exact.normals, everywhere)) < 0.3
    assert float((quick.depth - exact.depth).abs().max()) < 0.002  # 3 mm of a person
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        offsets = net(given).depth - given.body_offset
    assert len(offsets.unique()) > 0.5 * offsets.numel()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_inputs_fit_the_deepest_level(preset: str) -> None:
    deepest = 2 ** len(PRESETS[preset].widths)
    for width, height in (PRESETS[preset].size, PRESETS[preset].head_size):
        assert width % deepest == 0 and height % deepest == 0


def test_an_untaught_network_says_what_the_body_says() -> None:
    given = random_input(1, *PRESETS["tiny"].size)
    with torch.no_grad():
        said = HDNet("tiny")(given)
    assert torch.equal(said.depth, given.body_offset)
    seen = given.coverage > 0
    assert float(normal_angle_deg(said.normals, given.body_normals, seen)) < 0.1


def test_one_batch_is_learnt_by_heart() -> None:
    net = HDNet("tiny")
    given = random_input(1, 32, 32)
    smooth = torch.nn.functional.interpolate(torch.randn(1, 4, 4, 4), size=(32, 32), mode="bicubic")
    depth, normals = (
        given.body_offset + 0.05 * smooth[:, :1],
        normalize(smooth[:, 1:] - torch.tensor([0, 0, 2.0])[:, None, None], dim=1),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)

    def loss() -> torch.Tensor:
        said = net(given)
        return (said.depth - depth).abs().mean() / 0.03 + (said.normals - normals).abs().mean()

    before = float(loss().detach())
    for _ in range(150):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < 0.25 * before


def test_weights_come_back_with_their_story(tmp_path: Path) -> None:
    net = HDNet("tiny")
    torch.nn.init.normal_(net.depth_net.net.head.weight, std=0.1)
    story = Provenance("tiny", 7, 3, "two people", {"steps": 7}, {"normals_deg": 12.5})
    save_weights(tmp_path / "weights.safetensors", net, story)
    again, told = load_weights(tmp_path / "weights.safetensors")
    given = random_input(1, *net.size)
    assert told == story
    assert torch.equal(again.infer(given).depth, net.eval().infer(given).depth)


def test_a_network_for_heads_comes_back_and_nobody_needs_one(tmp_path: Path) -> None:
    plain, taught, path = HDNet("tiny"), HDNet("tiny", head=True), tmp_path / "weights.safetensors"
    assert taught.head_net is not None
    torch.nn.init.normal_(taught.head_net.net.head.weight, std=0.1)
    given = random_input(2, *taught.head_size)
    for net in (plain, taught):
        save_weights(path, net, Provenance("tiny", 7, 3, "two people"))
        again, _ = load_weights(path)
        assert (again.head_net is None) == (net.head_net is None)
    said = again.infer_head(given)
    torch.testing.assert_close(said, taught.eval().infer_head(given))
    torch.testing.assert_close(said.norm(dim=1), torch.ones(2, *taught.head_size[::-1]))
    with pytest.raises(ValueError, match="none for heads"):
        plain.infer_head(given)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="does not hold"):
        load_weights(path)
    path.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(path)
    story = json.dumps(Provenance("tiny", 1, 0, "").__dict__)
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "dancedepth-hdnet-1", "provenance": story})
    with pytest.raises(WeightsError, match="do not fit"):
        load_weights(path)


def test_confidence_falls_with_the_expected_error() -> None:
    said = HDNet("tiny").infer(random_input(1, *PRESETS["tiny"].size))
    unsure = replace(said, depth_scale=said.depth_scale + 1)
    assert (unsure.confidence < said.confidence).all()
