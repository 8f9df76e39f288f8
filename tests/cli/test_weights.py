from pathlib import Path

import pytest
from dancedepth.cli.weights import app
from dancedepth.models.errors import UnknownModelError
from dancedepth.models.known_weights import TABLE, UrlSource, Weights
from typer.testing import CliRunner


def test_list_names_everything() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    for name in (*TABLE, "body"):
        assert name in result.stdout


def test_verify_fails_on_an_empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path))
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 1
    assert "not fetched yet" in result.stdout


def test_fetch_puts_the_file_into_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180
    tiny = Weights("tiny", "tiny.bin", 3, digest, "CC0", (UrlSource(served.as_uri()),))
    monkeypatch.setitem(TABLE, "tiny", tiny)
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["fetch", "tiny"])
    assert result.exit_code == 0
    assert (tmp_path / "cache" / "tiny.bin").read_bytes() == b"abc"


def test_fetch_of_an_unknown_name_is_an_error_of_the_family() -> None:
    result = CliRunner().invoke(app, ["fetch", "nonsense"])
    assert isinstance(result.exception, UnknownModelError)
