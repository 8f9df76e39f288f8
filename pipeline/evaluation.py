"""A run held against the truth of its clip: surface, depth, normals, mask, joints and flicker.

Monocular video has one free scale, so lengths are given as they are and after one factor for the whole clip, which
scales every point about the camera's centre; the surface also after a rigid alignment in each frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dancedepth.models import metrics
from dancedepth.models.metrics import AngleScores, Similarity, SurfaceScores
from dancedepth.pipeline import storage
from dancedepth.pipeline.errors import DanceDepthError, UsageError
from dancedepth.pipeline.manifest import read_manifest
from dancedepth.pipeline.pixel_comparison import PixelComparison, compare_pixels
from dancedepth.pipeline.records import BodyMotion, Surface
from dancedepth.pipeline.surface_distance import SkinnedSurface, SurfacePair, outer_faces, skinned_surface
from dancedepth.pipeline.truth import Truth, read_truth
from dancedepth.pipeline.workspace import RunFolder

MAX_SURFACE_FRAMES = 24
"""Frames in which the surfaces are compared, evenly spread; neighbours tell little new."""
SURFACE_SAMPLES = 5000
FLICKER_POINTS = 2000
OBSERVED = 0.5
"""A vertex whose `observed` is above this counts as seen."""
JOINTS = (
    "root", "spine01", "neck01", "head",
    "upperarm01.L", "lowerarm01.L", "wrist.L", "upperleg01.L", "lowerleg01.L", "foot.L",
    "upperarm01.R", "lowerarm01.R", "wrist.R", "upperleg01.R", "lowerleg01.R", "foot.R",
)  # fmt: skip
"""Bones whose heads are the joints that count; fingers and toes would outnumber them."""


@dataclass(frozen=True)
class JointScores:
    """Mean distance of the joints from the true ones."""

    as_is_mm: float
    scaled_mm: float
    """After the clip's one scale."""
    root_aligned_mm: float
    """After moving the root onto the true root in each frame (MPJPE)."""
    procrustes_mm: float
    """After the best similarity in each frame (PA-MPJPE)."""


@dataclass(frozen=True)
class Evaluation:
    """How far a run is from the truth."""

    frames: int
    """Frames of the run that were held against a frame of the truth."""
    surface_frames: int
    scale: float
    """The one factor, from the run's depths to the true ones."""
    focal_ratio: float
    """The run's focal length over the true one."""
    surface: SurfaceScores
    """As it stands."""
    surface_scaled: SurfaceScores
    """After the one scale."""
    surface_aligned: SurfaceScores
    """After the one scale and a rigid alignment in each frame."""
    observed_share: float
    """Share of the run's surface, by area at rest, that the camera saw."""
    depth_as_is_mm: float
    """Mean absolute depth error where both have depth."""
    depth_scaled_mm: float
    depth_coverage: float
    """Share of the true person's pixels in which the run has depth."""
    normals: AngleScores
    head_normals: AngleScores | None
    """Those of the head alone; None where it is nowhere seen."""
    mask_iou: float
    joints: JointScores
    flicker_mm: float | None
    """Mean absolute change of the depth error, after the one scale, on the same body point from a frame to the next;
    None where no point is seen in two frames on end.

    Body points are samples of the true surface; a point counts in a frame if it is seen there (the true depth map is
    within `VISIBLE_WITHIN_M` of it) and the run has depth at its pixel, and a change counts if the point does in both
    frames. Both depths are read at the pixel that holds the point's projection."""


def evaluate_run(run: Path, truth: Path, surface_every: int = 0, seed: int = 0) -> Evaluation:
    """Hold a finished run against the truth of its clip.

    Args:
        run: the run folder.
        truth: the folder with `truth.json`, or the folder of `dancedepth synth` that holds it in `truth/`.
        surface_every: compare the surfaces in every so-manieth frame; 0: in at most `MAX_SURFACE_FRAMES`.
        seed: of the sample points.

    Raises:
        UsageError: one of the folders is not what it should be, or they are of different clips.
        StorageError: a file is missing or broken.
    """
    folder, true = RunFolder(run), read_truth(truth)
    if not folder.manifest.is_file():
        raise UsageError("there is no run.json in it", str(run), "Give the folder that `dancedepth reconstruct` wrote.")
    motion, fused = storage.read_motion(folder.motion), storage.read_surface(folder.surface)
    _check_sizes(motion, true, run)
    pairs = _matched_frames(folder, true)
    surface, true_surface = _with_samples(fused, seed), _truth_with_samples(true, seed)
    points = true_surface.samples_only(FLICKER_POINTS)
    pixels = {pair.run: compare_pixels(folder, true, points, pair.run, pair.truth, seed) for pair in pairs}
    run_depth = np.concatenate([p.run_depth_m for p in pixels.values()])
    truth_depth = np.concatenate([p.truth_depth_m for p in pixels.values()])
    run_normals = np.concatenate([p.run_normals for p in pixels.values()])
    truth_normals = np.concatenate([p.truth_normals for p in pixels.values()])
    on_head = np.concatenate([p.on_head for p in pixels.values()])
    if not len(run_depth) or not len(run_normals):
        what = "no pixel has depth and normals in both"
        raise DanceDepthError(what, str(run), "Is this the truth of the run's clip?")
    scale = metrics.clip_scale(run_depth, truth_depth)
    chosen = pairs[:: surface_every or -(-len(pairs) // MAX_SURFACE_FRAMES)]
    surfaces = _compare_surfaces(surface, motion, true_surface, true.motion, chosen, scale)
    return Evaluation(
        frames=len(pairs),
        surface_frames=len(chosen),
        scale=scale,
        focal_ratio=motion.camera.focal_px / true.motion.camera.focal_px,
        surface=surfaces.as_is,
        surface_scaled=surfaces.scaled,
        surface_aligned=surfaces.aligned,
        observed_share=float((surface.at_samples(fused.observed) > OBSERVED).mean()),
        depth_as_is_mm=metrics.depth_error_mm(run_depth, truth_depth),
        depth_scaled_mm=metrics.depth_error_mm(run_depth * scale, truth_depth),
        depth_coverage=float(np.mean([p.coverage for p in pixels.values()])),
        normals=metrics.angle_scores(run_normals, truth_normals),
        head_normals=metrics.angle_scores(run_normals[on_head], truth_normals[on_head]) if on_head.any() else None,
        mask_iou=float(np.mean([p.mask_iou for p in pixels.values()])),
        joints=_compare_joints(motion, true.motion, pairs, scale),
        flicker_mm=_flicker(pixels, scale),
    )


@dataclass(frozen=True)
class _FramePair:
    """A frame of the run and the frame of the truth that shows the same moment."""

    run: int
    truth: int


@dataclass(frozen=True)
class _SurfaceComparison:
    as_is: SurfaceScores
    scaled: SurfaceScores
    aligned: SurfaceScores


def _check_sizes(motion: BodyMotion, true: Truth, run: Path) -> None:
    own, other = motion.camera, true.motion.camera
    if (own.width, own.height) != (other.width, other.height):
        what = f"the run is {own.width}x{own.height} and the truth {other.width}x{other.height} pixels"
        raise UsageError(what, str(run), "Give the truth of the run's own clip.")


def _matched_frames(folder: RunFolder, true: Truth) -> list[_FramePair]:
    """Frames of the run that have depth, each with the truth's frame less than half a frame away in time."""
    pairs = []
    for frame in read_manifest(folder.manifest).frames:
        nearest = int(np.abs(true.times_s - frame.time_s).argmin())
        near = abs(true.times_s[nearest] - frame.time_s) <= 0.5 / true.fps + 1e-6
        if near and folder.depth(frame.index).exists():
            pairs.append(_FramePair(frame.index, nearest))
    if not pairs:
        what = "no frame of the run with depth falls on a frame of the truth"
        raise DanceDepthError(what, str(folder.root), "Did the run finish, and is this the truth of its clip?")
    return pairs


def _with_samples(surface: Surface, seed: int) -> SkinnedSurface:
    weights, bones = surface.skin_weights, surface.skin_bones
    return skinned_surface(surface.vertices, surface.faces, weights, bones, SURFACE_SAMPLES, seed)


def _truth_with_samples(true: Truth, seed: int) -> SkinnedSurface:
    outer = outer_faces(true.vertices, true.faces)
    return skinned_surface(true.vertices, outer, true.skin_weights, true.skin_bones, SURFACE_SAMPLES, seed + 1)


def _compare_surfaces(
    surface: SkinnedSurface,
    motion: BodyMotion,
    true_surface: SkinnedSurface,
    true_motion: BodyMotion,
    pairs: list[_FramePair],
    scale: float,
) -> _SurfaceComparison:
    rows: list[list[SurfaceScores]] = [[], [], []]
    joints, true_joints = _joints(motion), _joints(true_motion)
    for pair in pairs:
        run_cam = surface.pose(motion.cam_from_rest[pair.run])
        truth_cam = true_surface.pose(true_motion.cam_from_rest[pair.truth])
        posed = SurfacePair(surface, run_cam, true_surface, truth_cam)
        rigid = metrics.fit_similarity(joints[pair.run] * scale, true_joints[pair.truth], with_scale=False)
        start = Similarity(scale, rigid.rotation, rigid.translation)
        moves = (_scaling(1.0), _scaling(scale), posed.align(start))
        for row, move in zip(rows, moves, strict=True):
            row.append(metrics.surface_scores(*posed.distances(move)))
    return _SurfaceComparison(*(metrics.mean_scores(row) for row in rows))


def _scaling(scale: float) -> Similarity:
    """About the camera's centre."""
    return Similarity(scale, np.eye(3), np.zeros(3))


def _joints(motion: BodyMotion) -> np.ndarray:
    """(n j 3) heads of the bones in `JOINTS`, camera, metres."""
    heads: np.ndarray = motion.bone_poses[:, :, :3, 3].astype(np.float64)
    return heads[:, [motion.bone_names.index(name) for name in JOINTS]]


def _compare_joints(motion: BodyMotion, true_motion: BodyMotion, pairs: list[_FramePair], scale: float) -> JointScores:
    own = _joints(motion)[[pair.run for pair in pairs]]
    other = _joints(true_motion)[[pair.truth for pair in pairs]]
    best = np.stack([metrics.fit_similarity(a, b).apply(a) for a, b in zip(own, other, strict=True)])
    return JointScores(
        as_is_mm=metrics.joint_error_mm(own, other),
        scaled_mm=metrics.joint_error_mm(own * scale, other),
        root_aligned_mm=metrics.joint_error_mm(own - own[:, :1], other - other[:, :1]),
        procrustes_mm=metrics.joint_error_mm(best, other),
    )


def _flicker(pixels: dict[int, PixelComparison], scale: float) -> float | None:
    """See `Evaluation.flicker_mm`; frames that were not compared count as frames in which no point is seen."""
    count = len(next(iter(pixels.values())).run_points_m)
    errors = np.full((max(pixels) + 1, count), np.nan)
    for index, frame in pixels.items():
        errors[index] = frame.run_points_m * scale - frame.truth_points_m
    return metrics.flicker_mm(errors)
