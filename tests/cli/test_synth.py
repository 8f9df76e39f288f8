import json
from pathlib import Path

import pytest
from dancedepth.cli.main import run

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
