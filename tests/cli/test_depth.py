import json
from pathlib import Path

import cv2
import numpy as np
import trimesh
from PIL import Image

from tests.cli.conftest import Command, ffmpeg


def test_a_picture_gives_depth_normals_and_points(tmp_path: Path, clip: Path, command: Command) -> None:
    picture, out = tmp_path / "dancer.png", tmp_path / "out"
    ffmpeg("-i", clip, "-frames:v", 1, picture)
    said = command("depth", picture, "-o", out, "--depth-model", "body", "--json")
    assert said.code == 0, said
    files = json.loads(said.out)["files"]
    assert "points" in files and "mesh.ply" not in files
    depth_m = cv2.imread(str(out / "depth" / "000000.png"), cv2.IMREAD_UNCHANGED) / 5000
    camera = json.loads((out / "run.json").read_text())["camera"]
    cloud = trimesh.load(out / "points" / "000000.ply", process=False)
    seen = depth_m > 0
    assert seen.sum() > 2000
    np.testing.assert_allclose(cloud.vertices[:, 2], depth_m[seen], atol=1e-3)
    columns = np.nonzero(seen)[1]
    x = (columns + 0.5 - camera["cx"]) / camera["focal_px"] * depth_m[seen]
    np.testing.assert_allclose(cloud.vertices[:, 0], x, atol=1e-3)
    with Image.open(picture) as image:
        colors = np.asarray(image.convert("RGB"))[seen]
    assert np.abs(cloud.visual.vertex_colors[:, :3].astype(int) - colors).mean() < 3


def test_what_is_no_picture_is_one_line(tmp_path: Path, command: Command) -> None:
    text = tmp_path / "dancer.png"
    text.write_text("no picture")
    command("depth", text, "-o", tmp_path / "out").assert_one_line(1, "dancer.png")
    assert not (tmp_path / "out").exists()
