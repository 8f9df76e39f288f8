import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dancedepth.models.kernels import compiled


def _sum_of_squares(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += value * value
    return total


def test_what_was_compiled_is_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path))
    assert compiled(_sum_of_squares)(np.arange(4.0)) == 14
    assert any((tmp_path / "kernels").rglob("*.nbc"))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(blocked))
    assert compiled(_sum_of_squares)(np.arange(4.0)) == 14


def test_nothing_is_kept_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCEDEPTH_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    assert compiled(_sum_of_squares)(np.arange(4.0)) == 14
    assert not any((tmp_path / "kernels").iterdir())
