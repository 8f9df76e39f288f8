import json
from pathlib import Path

import pytest
from dancedepth.cli.main import run
from PIL import Image, ImageStat

SMALL = ("--seconds", "0.2", "--fps", "10", "--size", "96x128")


def test_a_clip_is_rendered_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clip"
    assert run(["synth", str(out), *SMALL, "--seed", "5", "--height", "1.68", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["frames"] == 2
    assert Path(result["video"]).is_file()
    truth = json.loads((out / "truth" / "truth.json").read_text())
    assert (truth["width"], truth["height"], truth["seed"]) == (96, 128, 5)
    assert abs(truth["height_m"] - 1.68) < 1e-4


@pytest.mark.parametrize(
    ("options", "named"),
    (
        (("--size", "big"), "--size"),
        (("--size", "95x128"), "--size"),
        (("--seconds", "0"), "--seconds"),
        (("--motion", "none.bvh"), "none.bvh"),
        (("--garments", "nowhere"), "nowhere"),
        (("--garment", "hat"), "--garment"),
        (("--dataset", "0"), "--dataset"),
    ),
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], named: str
) -> None:
    assert run(["synth", str(tmp_path / "clip"), *options]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert not (tmp_path / "clip").exists()


def test_people_for_training_are_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text('preset = "tiny"\n[data]\nviews = 2\nworkers = 0\n')
    out = tmp_path / "people"
    made = []
    for _ in range(2):
        assert run(["synth", str(out), "--dataset", "2", "--config", str(config), "--json"]) == 0
        made.append(json.loads(capsys.readouterr().out))
    assert made[0]["pictures"] == 4 and made[0]["pictures_per_s"] > 0
    assert made[1]["pictures"] == 4 and made[1]["pictures_per_s"] == 0
    assert len(list(out.rglob("*.safetensors"))) == 2
    with Image.open(made[0]["sheet"]) as sheet:
        assert sheet.size == (2 * 64, 5 * 96)
        assert ImageStat.Stat(sheet).stddev[0] > 10
