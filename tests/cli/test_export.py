"""dancedepth export and dancedepth view, on a small finished run."""

import json
import webbrowser
from pathlib import Path

import numpy as np
import pytest
import trimesh
from dancedepth.models.body import BodyModel
from dancedepth.pipeline import storage
from dancedepth.pipeline.rig import posed_surface, rest_surface
from dancedepth.pipeline.rig_file import read_rig
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.workspace import RunFolder
from pygltflib import GLTF2
from scipy.spatial import cKDTree

from tests.cli.conftest import Command
from tests.rigged import tilted, write_run
from tests.scenes import dancer, turning

FRAMES = 4


@pytest.fixture(scope="module")
def run(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export") / "run"
    write_run(root, dancer(body, FRAMES, turning(FRAMES)), body)
    return root


def places(path: Path) -> np.ndarray:
    return np.asarray(trimesh.load(path, force="mesh", process=False).vertices)


def assert_same_places(path: Path, expected: np.ndarray) -> None:
    """Readers drop vertices of no triangle; every other one is where it should be."""
    found = places(path)
    assert len(found) > 0.99 * len(expected)
    assert cKDTree(expected).query(found)[0].max() < 1e-4


@pytest.mark.parametrize("to", ["ply", "obj"])
def test_the_surface_at_rest(command: Command, run: Path, to: str) -> None:
    said = command("export", run, "--to", to)
    assert (said.code, said.out.strip()) == (0, str(run / "export" / f"surface.{to}"))
    expected = rest_surface(storage.read_surface(RunFolder(run).surface), read_rig(RunFolder(run).rig))
    assert_same_places(Path(said.out.strip()), expected)


@pytest.mark.parametrize("to", ["ply", "obj", "glb"])
def test_one_frame(command: Command, run: Path, to: str, tmp_path: Path) -> None:
    out = tmp_path / f"pose.{to}"
    assert command("export", run, "--to", to, "--frame", 2, "-o", out).code == 0
    expected = posed_surface(storage.read_surface(RunFolder(run).surface), read_rig(RunFolder(run).rig), 2)
    assert_same_places(out, expected)
    if to != "glb":  # trimesh reads no vertex colours beside a material
        colors = trimesh.load(out, force="mesh", process=False).visual.vertex_colors
        assert len(np.unique(colors, axis=0)) > 100


def test_a_sequence_is_a_folder_of_poses(command: Command, run: Path) -> None:
    said = command("export", run, "--to", "ply", "--sequence", "--json")
    folder = Path(json.loads(said.out)["out"])
    assert sorted(path.name for path in folder.iterdir()) == [f"{index:06d}.ply" for index in range(FRAMES)]
    assert np.abs(places(folder / "000000.ply") - places(folder / "000003.ply")).max() > 0.05


def test_what_moves(command: Command, run: Path) -> None:
    assert command("export", run, "--to", "glb").code == 0
    file = GLTF2().load(str(run / "export" / "dancer.glb"))
    assert file.skins and file.animations
    assert command("export", run, "--to", "bvh").code == 0
    assert f"Frames: {FRAMES}" in (run / "export" / "dancer.bvh").read_text()


def test_a_textured_obj_brings_its_pictures(command: Command, run: Path, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "run")
    for path in (RunFolder(run).manifest, RunFolder(run).rig):
        write_bytes(copy.root / path.name, path.read_bytes())
    storage.write_surface(copy.surface, tilted(storage.read_surface(RunFolder(run).surface), (0.6, 0, 0.8)))
    assert command("export", copy.root, "--to", "obj", "-o", tmp_path / "d.obj").code == 0
    names = {path.name for path in tmp_path.iterdir()} - {"run"}
    assert {"d.obj", "d.mtl", "d_normals.png"} < names and sum(name.endswith(".png") for name in names) == 2
    assert "\nnorm d_normals.png\n" in (tmp_path / "d.mtl").read_text()
    loaded = trimesh.load(tmp_path / "d.obj", force="mesh", process=False)
    assert loaded.visual.uv.shape == (len(loaded.vertices), 2)
    assert np.ptp(np.asarray(loaded.visual.to_color().vertex_colors)[:, 2]) > 200


def test_usd(command: Command, run: Path) -> None:
    pytest.importorskip("pxr", reason="usd-core is not installed")
    assert command("export", run, "--to", "usdz").code == 0
    assert (run / "export" / "dancer.usdz").read_bytes()[:2] == b"PK"


def test_without_usd_it_says_what_to_install(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pxr", None)
    command("export", run, "--to", "usdz", "-o", tmp_path / "a.usdz").assert_one_line(2, "usd-core", "dancedepth[usd]")


def test_wrong_usage_is_one_line(command: Command, run: Path, tmp_path: Path) -> None:
    command("export", run, "--to", "stl").assert_one_line(2, "stl", "bvh")
    command("export", run, "--to", "ply", "--frame", 99).assert_one_line(2, "--frame", "0 to 3")
    command("export", run, "--to", "bvh", "--frame", 1).assert_one_line(2, "--to bvh")
    command("export", run, "--to", "ply", "--frame", 1, "--sequence").assert_one_line(2, "--sequence")
    command("export", run, "--to", "ply", "-o", tmp_path / "a.obj").assert_one_line(2, "a.obj", ".ply")
    command("export", tmp_path, "--to", "ply").assert_one_line(2, "no finished run")


def test_view(command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    command("view", run).assert_one_line(2, "no report")
    write_bytes(RunFolder(run).report, b"<html>")
    said = command("view", run)
    assert said.code == 0 and opened == [RunFolder(run).report.as_uri()]
