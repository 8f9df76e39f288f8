from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel, skin_points
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.errors import RunFolderError, StorageError, UsageError
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.storage import (
    read_arrays,
    read_depth,
    read_json,
    read_mask,
    read_motion,
    read_normals,
    write_motion,
)
from dancedepth.pipeline.synthesis.clip import make_clip
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.synthesis.scene import Scene
from dancedepth.pipeline.truth import read_truth


def test_the_video_shows_the_frames(small_clip: Path, small_config: SynthConfig, small_scene: Scene) -> None:
    video = open_video(small_clip / "video.mp4", FramesConfig(fps=small_config.fps))
    assert (video.info.width, video.info.height, video.info.fps) == (128, 224, 6.0)
    frames = list(video)
    assert len(frames) == small_config.frames
    noise = torch.Generator().manual_seed(small_config.seed)
    renderer = small_scene.renderer()
    for frame, poses in zip(frames, small_scene.motion.cam_from_rest, strict=True):
        rendered = renderer.render(torch.from_numpy(poses), noise).rgb.numpy()
        apart = np.abs(frame.rgb.astype(float) - rendered)
        assert apart.mean() < 4
        assert abs((frame.rgb.astype(float) - rendered).mean()) < 1.5


def test_the_truth_is_what_was_rendered(small_clip: Path, small_scene: Scene, small_config: SynthConfig) -> None:
    truth = read_truth(small_clip)
    np.testing.assert_array_equal(truth.motion.cam_from_rest, small_scene.motion.cam_from_rest)
    assert truth.motion.camera == small_scene.view.camera
    np.testing.assert_allclose(truth.times_s, np.arange(6) / 6, atol=1e-6)
    values = read_json(small_clip / "truth" / "truth.json")
    assert (values["width"], values["height"], values["seed"]) == (128, 224, small_config.seed)
    assert values["camera"]["focal_px"] == truth.motion.camera.focal_px
    assert abs(values["height_m"] - small_scene.rest.height_m) < 1e-5
    colors = read_arrays(small_clip / "truth" / "surface.npz")["colors"]
    np.testing.assert_array_equal(colors, small_scene.dressed.colors.numpy())


def test_the_images_are_the_posed_surface(small_clip: Path) -> None:
    truth = read_truth(small_clip)
    index = 4
    vertices, weights = torch.from_numpy(truth.vertices), torch.from_numpy(truth.skin_weights)
    poses = torch.from_numpy(truth.motion.cam_from_rest[index])[None]
    points = skin_points(vertices, weights, torch.from_numpy(truth.skin_bones).long(), poses)[0]
    raster = rasterize(points, torch.from_numpy(truth.faces).long(), truth.motion.camera)
    depth = read_depth(truth.folder.depth(index))
    np.testing.assert_allclose(depth, raster.depth_m.numpy(), atol=2e-4)
    normals, alpha = read_normals(truth.folder.normals(index)), read_mask(truth.folder.mask(index))
    assert ((depth > 0) == normals.any(axis=-1)).all()
    assert (alpha[depth > 0] > 0).all()


def test_nothing_half_written_is_left(small_clip: Path) -> None:
    names = {path.name for path in small_clip.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".part", ".log"))]
    assert {"video.mp4", "synth.json", "truth.json", "motion.npz", "surface.npz", "000005.png"} <= names


def test_motion_survives_the_disk(small_scene: Scene, tmp_path: Path) -> None:
    write_motion(tmp_path / "motion.npz", small_scene.motion)
    again = read_motion(tmp_path / "motion.npz")
    assert again.bone_names == small_scene.motion.bone_names
    assert again.camera == small_scene.motion.camera
    np.testing.assert_array_equal(again.bone_poses, small_scene.motion.bone_poses)
    assert set(read_arrays(tmp_path / "motion.npz")) >= {"phenotype", "bone_poses", "rest_bone_poses", "height_m"}
    (tmp_path / "motion.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(StorageError, match=r"motion\.npz"):
        read_motion(tmp_path / "motion.npz")


def test_other_peoples_folders_are_left_alone(tmp_path: Path, body: BodyModel, small_config: SynthConfig) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(RunFolderError, match="no clip"):
        make_clip(small_config, tmp_path, body, Silent())
    with pytest.raises(RunFolderError, match="file"):
        make_clip(small_config, tmp_path / "thesis.txt", body, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


class _Stops(Silent):
    """Presses Ctrl-C after the second frame."""

    frames = 0

    def advanced(self, count: int = 1) -> None:
        self.frames += count
        if self.frames == 2:
            raise KeyboardInterrupt


def test_stopped_and_started_again(tmp_path: Path, body: BodyModel, small_config: SynthConfig) -> None:
    out = tmp_path / "clip"
    with pytest.raises(KeyboardInterrupt):
        make_clip(small_config, out, body, _Stops())
    assert not (out / "video.mp4").exists()
    with pytest.raises(UsageError):
        read_truth(out)
    shorter = replace(small_config, seconds=1 / 6)
    make_clip(shorter, out, body, Silent())
    assert [path.name for path in (out / "truth" / "depth").iterdir()] == ["000000.png"]
    assert len(read_truth(out).times_s) == 1
    assert sorted(path.name for path in out.iterdir()) == ["synth.json", "truth", "video.mp4"]


@pytest.mark.parametrize(
    ("changes", "option"),
    (
        ({"seconds": 0}, "--seconds"),
        ({"fps": float("nan")}, "--fps"),
        ({"width": 101}, "--size"),
        ({"width": 32, "height": 32}, "--size"),
        ({"height_m": 17.0}, "--height"),
        ({"seed": -1}, "--seed"),
        ({"garment_names": ("hat",)}, "--garment"),
    ),
)
def test_configs_are_checked(changes: dict[str, object], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        SynthConfig(**changes)
