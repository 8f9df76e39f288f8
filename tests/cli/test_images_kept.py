"""A run that keeps its images for its stages leaves the same files as one that has no room for them."""

from pathlib import Path

import pytest
from dancedepth.pipeline import image_store, storage

from tests.cli.conftest import Command, files_under


@pytest.mark.slow
def test_a_run_without_room_leaves_the_same_files(
    clip: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []
    real = storage._decoded
    monkeypatch.setattr(storage, "_decoded", lambda path: decoded.append(path) or real(path))
    runs = tmp_path / "roomy", tmp_path / "full"
    for run in runs:
        said = command("reconstruct", clip, "-o", run, "--fps", "4", "--voxel-mm", "16")
        assert said.code == 0, said
        assert bool(decoded) == (run is runs[1])
        monkeypatch.setattr(image_store.ImageStore, "keep", lambda *_: None)
    assert files_under(runs[0]) == files_under(runs[1])
    for name in files_under(runs[0]) - {"run.json", "report.html"}:
        assert (runs[0] / name).read_bytes() == (runs[1] / name).read_bytes(), name
