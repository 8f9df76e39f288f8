"""Files that are not the landmark network; what it sees is tested on the synthetic dancer."""

from pathlib import Path

import pytest
from dancedepth.models.errors import WeightsError
from dancedepth.models.landmarks import BlazePose
from dancedepth.models.weights import fetch


@pytest.mark.parametrize("content", [b"", b"no network", b"TFL3" * 100])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.tflite"):
        BlazePose(path)


def test_the_network_is_loaded_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    BlazePose(fetch("blazepose"))
    assert capfd.readouterr() == ("", "")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(fetch("blazepose").read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match=r"cut\.tflite"):
        BlazePose(path)
