"""Options and configuration: one stands for the other, wherever it comes from."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from dancedepth.cli.main import build_app
from dancedepth.cli.run_options import OPTIONS, config_from, read_config, run_options
from dancedepth.pipeline.config import FramesConfig, RunConfig
from dancedepth.pipeline.errors import UsageError

from tests.cli.conftest import Command


def chosen(*arguments: str) -> RunConfig:
    """What a command with these options is told."""
    found = []
    app = typer.Typer()

    @app.command()
    @run_options
    def probe(context: typer.Context, video: Annotated[Path | None, typer.Argument()] = None, **options: Any) -> None:
        found.append(config_from(context, options))

    app(args=list(arguments), standalone_mode=False)
    return found[0]


def test_no_option_is_the_default() -> None:
    assert chosen() == RunConfig()


def test_each_option_reaches_its_field() -> None:
    said = {"--fps": 6.0, "--start": 1.5, "--end": 3.0, "--person": 2, "--min-confidence": 0.4, "--matte-size": 512}
    config = chosen(*(str(part) for pair in said.items() for part in pair), "--height", "1.6", "--fov", "60")
    assert config.frames == FramesConfig(6.0, 1.5, 3.0)
    assert (config.tracks.person, config.tracks.min_confidence, config.mattes.work_side_px) == (2, 0.4, 512)
    assert (config.body_motion.height_m, config.camera.fov_deg, config.camera.focal_px) == (1.6, 60.0, None)


def test_a_coarser_voxel_widens_the_band() -> None:
    fusion = chosen("--voxel-mm", "12").fusion
    assert fusion.voxel_m == 0.012 and fusion.truncation_m == pytest.approx(0.036)


def test_every_option_stands_in_the_help(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = command("reconstruct", "--help").out
    assert all(flag in said for option in OPTIONS for flag in option.flag.split("/")) and "--config" in said
    assert build_app(["reconstruct"])


def test_options_from_a_run_are_overruled_by_those_beside_it(tmp_path: Path) -> None:
    """Of a run's file, what no option names is taken too."""
    config = RunConfig(frames=FramesConfig(fps=7.0, end_s=2.0), seed=5)
    values = config.to_json()
    values["body_motion"]["matte_steps"] = 33
    values["of_a_later_version"] = 1
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 1, "config": values}))
    taken = chosen("--config", str(tmp_path / "run.json"), "--seed", "0", "--end", "4")
    assert (taken.frames, taken.seed, taken.body_motion.matte_steps) == (FramesConfig(7.0, 0.0, 4.0), 0, 33)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not JSON", "JSON"),
        ("[]", "no configuration"),
        ('{"config": null}', "no configuration"),
        ('{"config": {"frames": {"fps": "fast"}}}', "fps"),
        ('{"config": {"frames": 3}}', "frames"),
        ('{"config": {"seed": true}}', "seed"),
        ('{"config": {"frames": {"fps": -1}}}', "frame rate"),
    ],
)
def test_a_broken_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_config(path)


def test_json_and_back() -> None:
    config = RunConfig(frames=FramesConfig(fps=7.0), seed=3)
    assert read_back(json.loads(json.dumps(config.to_json()))) == config


def read_back(values: dict[str, Any]) -> RunConfig:
    from dancedepth.pipeline.config import config_from_json

    config: RunConfig = config_from_json(RunConfig, values)
    return config
