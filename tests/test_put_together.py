"""`tools/put_together.py`: the normal network of one file of weights, the depth network of another."""

import subprocess
import sys
from pathlib import Path

import torch
from dancedepth.models.checkpoint import Provenance, load_weights, save_weights
from dancedepth.models.hdnet import HDNet

TOOL = Path(__file__).parents[1] / "tools" / "put_together.py"
CONFIG = 'preset = "tiny"\n[data]\nviews = 2\npeople = 1\nvalidation_people = 1\nworkers = 0\n'


def written(path: Path, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    net = HDNet("tiny")
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    save_weights(path, net, Provenance("tiny", 10 + seed, seed, f"people of {seed}", {}, {}))
    return net.state_dict()


def test_each_network_is_whose_it_should_be_or_their_mean_and_both_are_scored(tmp_path: Path) -> None:
    normals, depth, out = (tmp_path / f"{name}.safetensors" for name in ("normals", "depth", "out"))
    one, other = written(normals, 1), written(depth, 2)
    (tmp_path / "config.toml").write_text(CONFIG)
    words = [sys.executable, TOOL, normals, depth, tmp_path / "config.toml", out, "--people", tmp_path / "people"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    net, made = load_weights(out)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, (one if name.startswith("normal_net") else other)[name], atol=2e-3, rtol=1e-2)
    subprocess.run([*words, "--share", "0.25"], capture_output=True, check=True)
    for name, value in load_weights(out)[0].depth_net.state_dict().items():
        name = f"depth_net.{name}"
        torch.testing.assert_close(value, 0.75 * one[name] + 0.25 * other[name], atol=2e-3, rtol=1e-2)
    assert made.steps == 11 and "people of 1" in made.data and "12 steps of seed 2" in made.data
    assert f"normals {made.scores['normals_deg']:.2f} deg" in done.stdout
