"""A run that is the truth itself, and the same run with one known thing wrong at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera, depth_to_normals
from dancedepth.pipeline import storage
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.errors import DanceDepthError, UsageError
from dancedepth.pipeline.evaluation import Evaluation, evaluate_run
from dancedepth.pipeline.manifest import FrameRecord, InputRecord, Manifest, ProgramRecord, write_manifest
from dancedepth.pipeline.records import BodyMotion, Surface
from dancedepth.pipeline.surface import vertex_normals
from dancedepth.pipeline.workspace import RunFolder

from tests.scenes import Scene, dancer, turning

FRAMES = 4
CAMERA = Camera.centred(200.0, 120, 160)


@dataclass(frozen=True)
class Clip:
    """The truth's folder, and what a perfect run would say."""

    truth: Path
    surface: Surface
    motion: BodyMotion
    depths: list[np.ndarray]
    normals: list[np.ndarray]


@pytest.fixture(scope="module")
def clip(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    scene = dancer(body, FRAMES, turning(16), CAMERA)
    used = np.unique(body.faces.numpy())
    weights, bones = body.skin_weights.numpy()[used], body.skin_bones.numpy()[used]
    depths = [scene.geometry.depth.load(i) for i in range(FRAMES)]
    normals = [depth_to_normals(torch.from_numpy(depth), CAMERA).numpy() for depth in depths]
    root = tmp_path_factory.mktemp("clip")
    write_truth(root / "truth", scene, weights, bones)
    for i in range(FRAMES):
        write_images(root / "truth", i, depths[i], normals[i], depths[i] > 0)
    kept = weights[:, :4] / weights[:, :4].sum(axis=1, keepdims=True)
    surface = Surface(
        vertices=scene.vertices.astype(np.float32),
        faces=scene.faces,
        normals=vertex_normals(scene.vertices, scene.faces),
        colors=np.zeros((len(scene.vertices), 3), np.uint8),
        observed=np.ones(len(scene.vertices), np.float32),
        skin_weights=kept,
        skin_bones=bones[:, :4],
    )
    return Clip(root, surface, scene.motion, depths, normals)


def write_truth(folder: Path, scene: Scene, weights: np.ndarray, bones: np.ndarray) -> None:
    frames = [{"index": i, "time_s": i / 12} for i in range(FRAMES)]
    camera = {"focal_px": CAMERA.focal_px, "cx": CAMERA.cx, "cy": CAMERA.cy}
    values = {"width": CAMERA.width, "height": CAMERA.height, "fps": 12.0, "frames": frames, "camera": camera}
    storage.write_json(folder / "truth.json", values | {"height_m": 1.7})
    storage.write_motion(folder / "motion.npz", scene.motion)
    storage.write_arrays(
        folder / "surface.npz", vertices=scene.vertices, faces=scene.faces, skin_weights=weights, skin_bones=bones
    )


def write_images(folder: Path, index: int, depth: np.ndarray, normals: np.ndarray, mask: np.ndarray) -> None:
    storage.write_depth(RunFolder(folder).depth(index), depth)
    storage.write_normals(RunFolder(folder).normals(index), normals)
    storage.write_mask(RunFolder(folder).mask(index), mask.astype(np.uint8) * 255)


def write_run(folder: Path, clip: Clip, times_s: list[float] | None = None) -> Path:
    times = [i / 12 for i in range(FRAMES)] if times_s is None else times_s
    info = InputRecord("clip.mp4", "", 0, CAMERA.width, CAMERA.height, 12.0, 0, FRAMES / 12, "h264")
    frames = tuple(FrameRecord(i, time, True, None) for i, time in enumerate(times))
    run = RunFolder(folder)
    for i in range(len(times)):
        write_images(folder, i, clip.depths[i], clip.normals[i], clip.depths[i] > 0)
    storage.write_motion(run.motion, clip.motion)
    storage.write_surface(run.surface, clip.surface)
    write_manifest(run.manifest, Manifest(info, RunConfig(), ProgramRecord("dancedepth", "0", "0"), frames=frames))
    return folder


Change = Callable[[Clip], Clip]


@pytest.fixture
def evaluated(clip: Clip, tmp_path: Path) -> Callable[[Change], Evaluation]:
    return lambda change: evaluate_run(write_run(tmp_path / "run", change(clip)), clip.truth)


def moved(motion: BodyMotion, by: np.ndarray) -> BodyMotion:
    transforms = motion.cam_from_rest.copy()
    transforms[..., :3, 3] += by
    return replace(motion, cam_from_rest=transforms)


def scaled(clip: Clip, factor: float) -> Clip:
    """The same images, farther away and larger."""
    transforms, rest = clip.motion.cam_from_rest.copy(), clip.motion.rest_bone_poses.copy()
    transforms[..., :3, 3] *= factor
    rest[..., :3, 3] *= factor
    motion = replace(clip.motion, cam_from_rest=transforms, rest_bone_poses=rest)
    surface = replace(clip.surface, vertices=clip.surface.vertices * np.float32(factor))
    return replace(clip, surface=surface, motion=motion, depths=[d * np.float32(factor) for d in clip.depths])


def test_the_truth_itself_scores_full(evaluated: Callable[[Change], Evaluation]) -> None:
    result = evaluated(lambda clip: clip)
    assert result.frames == result.surface_frames == FRAMES
    assert result.scale == pytest.approx(1.0, abs=1e-4)
    assert result.focal_ratio == 1.0
    for scores in (result.surface, result.surface_scaled, result.surface_aligned):
        assert scores.mean_mm < 1.0  # four of eight skin weights are kept, and the eyes' backs are inside
        assert scores.f_score_5mm > 0.98
    assert result.depth_as_is_mm < 0.01
    assert result.depth_coverage == 1.0
    assert result.normals.mean_deg < 0.01
    assert result.mask_iou == 1.0
    assert result.joints.as_is_mm < 1e-3
    assert result.joints.procrustes_mm < 1e-3
    assert result.flicker_mm is not None and result.flicker_mm < 0.5
    assert result.observed_share == 1.0


def test_one_wrong_scale_is_found_and_undone(evaluated: Callable[[Change], Evaluation]) -> None:
    result = evaluated(lambda clip: scaled(clip, 1.25))
    assert result.scale == pytest.approx(0.8, abs=1e-3)
    assert result.depth_as_is_mm == pytest.approx(0.25 * 2500, rel=0.1)
    assert result.depth_scaled_mm < 1.0
    assert result.surface.mean_mm > 100
    assert result.surface_scaled.mean_mm < 2.0
    assert result.joints.as_is_mm > 100
    assert result.joints.scaled_mm < 3.0
    assert result.joints.procrustes_mm < 0.1


def test_a_moved_body_is_found_by_the_alignment_alone(evaluated: Callable[[Change], Evaluation]) -> None:
    shift = np.array([0.06, 0.0, 0.08], np.float32)
    result = evaluated(lambda clip: replace(clip, motion=moved(clip.motion, shift)))
    assert result.joints.as_is_mm == pytest.approx(100.0, abs=0.1)
    assert result.joints.root_aligned_mm < 0.1
    assert 15 < result.surface.mean_mm < 100
    assert result.surface_aligned.mean_mm < 1.0


def test_joints_are_compared_frame_by_frame(evaluated: Callable[[Change], Evaluation]) -> None:
    steps = np.linspace(0.0, 0.03, FRAMES, dtype=np.float32)[:, None, None] * np.array([0.0, 0.0, 1.0], np.float32)
    result = evaluated(lambda clip: replace(clip, motion=moved(clip.motion, steps)))
    assert result.joints.as_is_mm == pytest.approx(15.0, abs=0.05)
    assert result.joints.root_aligned_mm < 0.01


def test_a_stiff_body_is_not_aligned_away(evaluated: Callable[[Change], Evaluation]) -> None:
    def freeze(clip: Clip) -> Clip:
        return replace(clip, motion=replace(clip.motion, cam_from_rest=clip.motion.cam_from_rest[[0] * FRAMES]))

    result = evaluated(freeze)
    assert result.joints.as_is_mm > result.joints.procrustes_mm > 5


def test_a_thicker_surface_is_off_by_its_thickness(evaluated: Callable[[Change], Evaluation]) -> None:
    def thicken(clip: Clip) -> Clip:
        vertices = clip.surface.vertices + 0.008 * clip.surface.normals
        return replace(clip, surface=replace(clip.surface, vertices=vertices.astype(np.float32)))

    result = evaluated(thicken)
    assert result.surface.mean_mm == pytest.approx(8.0, abs=1.0)
    assert result.surface.f_score_5mm < 0.15
    assert result.surface.f_score_10mm > 0.95


def test_depth_that_jumps_flickers_by_the_jump(clip: Clip, evaluated: Callable[[Change], Evaluation]) -> None:
    def jump(clip: Clip) -> Clip:
        depths = [np.where(d > 0, d + 0.02 * (i % 2), 0) for i, d in enumerate(clip.depths)]
        return replace(clip, depths=depths)

    result = evaluated(jump)
    pixels = np.array([(depth > 0).sum() for depth in clip.depths])
    assert result.flicker_mm == pytest.approx(20.0, abs=0.5)
    assert result.depth_as_is_mm == pytest.approx(20.0 * pixels[1::2].sum() / pixels.sum(), abs=0.05)


def test_missing_depth_lowers_coverage_and_iou(evaluated: Callable[[Change], Evaluation]) -> None:
    def halve(clip: Clip) -> Clip:
        return replace(clip, depths=[np.where(np.arange(160)[:, None] < 80, d, 0) for d in clip.depths])

    result = evaluated(halve)
    assert 0.3 < result.mask_iou < 0.7
    assert result.depth_coverage == pytest.approx(result.mask_iou, abs=0.02)
    assert result.depth_as_is_mm < 0.01


def test_turned_normals_are_off_by_the_angle(clip: Clip, evaluated: Callable[[Change], Evaluation]) -> None:
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
    result = evaluated(lambda clip: replace(clip, normals=[n @ quarter.T for n in clip.normals]))
    z = np.concatenate([n[n.any(axis=-1)] for n in clip.normals])[:, 2]
    angles = np.degrees(np.arccos(z**2))  # between n and n turned by a quarter about z
    assert result.normals.mean_deg == pytest.approx(angles.mean(), abs=0.3)
    assert result.normals.under_30 == pytest.approx((angles < 30).mean(), abs=0.01)


def test_normals_of_the_head_are_those_at_the_top(clip: Clip, evaluated: Callable[[Change], Evaluation]) -> None:
    def turned_below(part: float) -> Evaluation:
        def change(clip: Clip) -> Clip:
            changed = [n.copy() for n in clip.normals]
            for normals in changed:
                rows = np.flatnonzero(normals.any(axis=(1, 2)))
                below = slice(rows[0] + int(part * len(rows)), None)
                normals[below] *= [-1, -1, 1]
            return replace(clip, normals=changed)

        return evaluated(change)

    body, everything = turned_below(0.25), turned_below(0.0)
    assert body.head_normals is not None and everything.head_normals is not None
    assert body.head_normals.mean_deg < 1 < 20 < body.normals.mean_deg
    assert everything.head_normals.mean_deg > 20


def test_frames_are_matched_by_time(clip: Clip, tmp_path: Path) -> None:
    later = replace(clip.motion, cam_from_rest=clip.motion.cam_from_rest[[2, 3, 0]])
    depths, normals = (images[2:] + images[:1] for images in (clip.depths, clip.normals))
    second_half = replace(clip, motion=later, depths=depths, normals=normals)
    result = evaluate_run(write_run(tmp_path / "run", second_half, times_s=[2 / 12 + 0.03, 3 / 12, 9.0]), clip.truth)
    assert result.frames == 2
    assert result.joints.as_is_mm < 1e-3
    assert result.depth_as_is_mm < 0.01
    assert result.surface.mean_mm < 1.0


def test_a_run_of_other_moments_is_refused(clip: Clip, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", clip, times_s=[5.0, 6.0])
    with pytest.raises(DanceDepthError, match="no frame of the run"):
        evaluate_run(run, clip.truth)


def test_a_run_of_another_size_is_refused(clip: Clip, tmp_path: Path) -> None:
    camera = replace(CAMERA, width=64, height=64)
    run = write_run(tmp_path / "run", replace(clip, motion=replace(clip.motion, camera=camera)))
    with pytest.raises(UsageError, match="64x64"):
        evaluate_run(run, clip.truth)


def test_folders_that_are_none_are_named(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no truth\.json"):
        evaluate_run(tmp_path, tmp_path)
    with pytest.raises(UsageError, match=r"no run\.json"):
        evaluate_run(tmp_path, clip.truth)
