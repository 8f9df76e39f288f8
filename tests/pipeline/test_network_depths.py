from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.hdnet import HDNet
from dancedepth.pipeline.depths import body_depths, load_geometry, network_depths
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.workspace import RunFolder

from tests.scenes import dancer, turning


@pytest.mark.parametrize("head", [False, True])
def test_untaught_networks_write_the_bodys_own_geometry(body: BodyModel, tmp_path: Path, head: bool) -> None:
    scene = dancer(body, 2, turning(2))
    net = HDNet("small", head).eval()
    found = network_depths(scene.frames, scene.motion, scene.mattes, body, net, RunFolder(tmp_path / "net"), Silent())
    plain = body_depths(scene.motion, scene.mattes, body, RunFolder(tmp_path / "body"), Silent())
    assert found.depth.indices == (0, 1)
    assert found.confidence is not None and plain.confidence is None
    for index in (0, 1):
        person = scene.mattes.load(index) > 0
        depth, expected = found.depth.load(index), plain.depth.load(index)
        both = person & (expected > 0)
        error = torch.from_numpy(abs(depth - expected)[both])
        assert error.median() < 0.005 and error.quantile(0.9) < 0.03
        assert (depth[~person] == 0).all() and (depth[person] > 0).all()
        cosine = torch.from_numpy((found.normals.load(index) * plain.normals.load(index)).sum(-1)[both])
        assert cosine.median() > 0.98
        confidence = found.confidence.load(index)
        assert confidence[person].min() > 0 and confidence.max() <= 1


def test_the_network_for_heads_has_its_say_on_the_head_alone(body: BodyModel, tmp_path: Path) -> None:
    scene, net = dancer(body, 1, turning(1)), HDNet("small", head=True).eval()
    assert net.head_net is not None

    def normals(name: str) -> np.ndarray:
        run = RunFolder(tmp_path / name)
        found = network_depths(scene.frames, scene.motion, scene.mattes, body, net, run, Silent())
        return found.normals.load(0)

    before = normals("untaught")
    torch.nn.init.constant_(net.head_net.net.head.bias, 1.0)
    moved = np.abs(normals("other") - before).max(axis=-1)
    rows = np.flatnonzero(scene.mattes.load(0).any(axis=1))
    tenth = len(rows) // 10
    assert moved[rows[0] : rows[0] + tenth].max() > 0.2
    assert moved[rows[0] + 4 * tenth :].max() == 0


def test_a_folder_without_confidence_has_none(tmp_path: Path) -> None:
    assert load_geometry(RunFolder(tmp_path), (0,)).confidence is None
