"""Two processes that train together as two machines do (gloo), against one process with the same samples."""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.checkpoint import load_weights

pytestmark = pytest.mark.slow
STEPS, CUT = 4, 2
PATIENCE_S = 280
DRIVER = """
import json, sys
from pathlib import Path
import torch
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.training import loop
from dancedepth.pipeline.training.config import DataConfig, TrainConfig

out, people, batch, nodes, stop_after = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6])
config = TrainConfig(
    preset="tiny", steps=4, batch=batch, warmup=1, validate_every=4, checkpoint_every=2, log_every=1, threads=1,
    data=DataConfig(views=2, people=2, validation_people=1, workers=0),
)

class Teller:
    def stepped(self, step, steps, loss, seconds_left):
        print("stepped", step, loss, flush=True)
    def validated(self, step, scores):
        print("validated", step, flush=True)

save = loop._Training._save
def noted(self):
    save(self)
    torch.save(self.net.module.state_dict(), out / f"rank{self.fabric.global_rank}_step{self.step}.pt")
loop._Training._save = noted
scores = loop.train(
    config, out, cache_folder(), Teller(), people, "cpu", stop_after=stop_after or None, devices=1, nodes=nodes
)
print("ended", "with scores" if scores else "without", flush=True)
"""


@dataclass(frozen=True)
class Node:
    code: int
    out: str
    err: str

    def said(self, word: str) -> list[list[str]]:
        """Lines that begin so."""
        return [line.split() for line in self.out.splitlines() if line.startswith(word)]


def train(out: Path, people: Path, batch: int, nodes: int, stop_after: int = 0) -> list[Node]:
    """The same command on every node, as a user gives it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(nodes):
        environment = {
            **os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank),
            "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GLOO_SOCKET_IFNAME": "lo",
        }  # fmt: skip
        arguments = [str(part) for part in (out, people, batch, nodes, stop_after)]
        command = [sys.executable, "-c", DRIVER, *arguments]
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    try:
        ended = [process.communicate(timeout=PATIENCE_S) for process in started]
    finally:
        for process in started:
            process.kill()
    return [Node(process.returncode, *said) for process, said in zip(started, ended, strict=True)]


@dataclass(frozen=True)
class Story:
    """Trained by two nodes that were stopped half way, and by one process with batches twice as large."""

    shared: Path
    alone: Path
    first: list[Node]
    second: list[Node]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, body: BodyModel) -> Story:
    root = tmp_path_factory.mktemp("nodes")
    people = root / "people"
    alone = train(root / "alone", people, batch=4, nodes=1)
    assert alone[0].code == 0, alone
    first = train(root / "shared", people, batch=2, nodes=2, stop_after=CUT)
    assert [node.code for node in first] == [0, 0], first
    second = train(root / "shared", people, batch=2, nodes=2)
    assert [node.code for node in second] == [0, 0], second
    return Story(root / "shared", root / "alone", first, second)


def weights(folder: Path, rank: int, step: int) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / f"rank{rank}_step{step}.pt", weights_only=True)
    return found


@pytest.mark.parametrize("step", [CUT, STEPS])
def test_both_hold_the_same_weights(story: Story, step: int) -> None:
    one, other = weights(story.shared, 0, step), weights(story.shared, 1, step)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("step", [CUT, STEPS])
def test_two_learn_what_one_learns_from_the_same_samples(story: Story, step: int) -> None:
    """Also after the two were stopped and went on."""
    two, one, start = (weights(*of) for of in ((story.shared, 0, step), (story.alone, 0, step), (story.alone, 0, CUT)))
    for name in one:
        assert torch.allclose(two[name], one[name], atol=2e-5, rtol=1e-3), name
    if step == STEPS:
        assert any(not torch.allclose(start[name], one[name], atol=1e-3) for name in one), "nothing was learned"


def test_only_the_first_speaks_and_writes(story: Story) -> None:
    (zero, one), (zero_later, one_later) = story.first, story.second
    assert [line[1] for line in zero.said("stepped")] == ["1", "2"]
    assert [line[1] for line in zero_later.said("stepped")] == ["3", "4"]
    assert zero_later.said("ended") == [["ended", "with", "scores"]]
    assert one.said("stepped") == one_later.said("stepped") == one_later.said("validated") == []
    assert one_later.said("ended") == [["ended", "without"]]
    validations = (story.shared / "validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in validations] == [STEPS]
    names = Counter(path.name for path in story.shared.iterdir() if not path.name.startswith(("rank", "tensorboard")))
    assert names == Counter(["checkpoint.pt", "config.json", "validation.jsonl", "weights.safetensors"])
    assert load_weights(story.shared / "weights.safetensors")[1].steps == STEPS
