import json
from dataclasses import asdict
from pathlib import Path

import pytest
import typer
from dancedepth.cli import evaluate as command
from dancedepth.models.metrics import AngleScores, SurfaceScores
from dancedepth.pipeline.evaluation import Evaluation, JointScores
from typer.testing import CliRunner

SURFACE = SurfaceScores(11.1, 22.2, 33.3, 44.4, 22.2, 0.5, 0.75)
RESULT = Evaluation(
    frames=12,
    surface_frames=6,
    scale=1.125,
    focal_ratio=0.9,
    surface=SURFACE,
    surface_scaled=SURFACE,
    surface_aligned=SURFACE,
    observed_share=0.875,
    depth_as_is_mm=77.7,
    depth_scaled_mm=17.3,
    depth_coverage=0.98,
    normals=AngleScores(12.5, 10.5, 0.5, 0.75, 0.9),
    head_normals=AngleScores(16.5, 14.5, 0.4, 0.7, 0.8),
    mask_iou=0.957,
    joints=JointScores(90.0, 40.0, 35.5, 25.25),
    flicker_mm=None,
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setattr(command, "evaluate_run", lambda run, truth, every: RESULT)
    app = typer.Typer()
    app.command()(command.evaluate)
    return app


def test_json_holds_everything(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["run", "--truth", "clip", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == asdict(RESULT)


def test_the_tables_say_the_numbers(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["run", "--truth", "clip"])
    assert done.exit_code == 0
    for text in ("scaled by 1.125", "22.2 mm", "75.0%", "17.3 mm", "12.5°", "16.5°, 14.5°", "0.957", "25.2 mm"):
        assert text in done.stdout


def test_truth_must_be_named(app: typer.Typer, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, [str(tmp_path)]).exit_code == 2
