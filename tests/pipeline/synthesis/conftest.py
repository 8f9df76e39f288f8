from pathlib import Path

import pytest
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.synthesis.clip import make_clip
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.synthesis.scene import Scene, make_scene

SMALL = SynthConfig(seconds=1, fps=6, width=128, height=224, seed=3)


@pytest.fixture(scope="session")
def small_config() -> SynthConfig:
    return SMALL


@pytest.fixture(scope="session")
def small_scene(body: BodyModel) -> Scene:
    return make_scene(SMALL, body)


@pytest.fixture(scope="session")
def small_clip(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "clip"
    make_clip(SMALL, out, body, Silent())
    return out
