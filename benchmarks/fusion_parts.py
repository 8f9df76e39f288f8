"""What each part of fusion brings: surface, folds and texture with all of it, and with one part left out at a time.

    python benchmarks/fusion_parts.py OUT CLIP=RUN [CLIP=RUN ...]

CLIP is a folder that `dancedepth synth` wrote, RUN the finished run of its video. Fusion sees the clip as the run did
(its poses and depths), with the truth's depth under the run's poses, and with truth alone. Every sixth frame is kept
from fusion; the textured surface is rendered into it and held against the video. Writes parts.json and parts.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from dancedepth.models import metrics
from dancedepth.models.body import BodyModel
from dancedepth.pipeline import evaluation, fusion, storage
from dancedepth.pipeline.config import FusionConfig, RunConfig
from dancedepth.pipeline.depths import load_geometry
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.ingredients import find_ingredients
from dancedepth.pipeline.manifest import read_manifest
from dancedepth.pipeline.mattes import load_mattes
from dancedepth.pipeline.pose_refinement import refined_motion
from dancedepth.pipeline.records import (
    BodyMotion,
    Frame,
    GeometrySequence,
    ImageSequence,
    Silent,
    Surface,
    Tracks,
    VideoInfo,
)
from dancedepth.pipeline.surface import vertex_normals, welded
from dancedepth.pipeline.surface_distance import SurfacePair
from dancedepth.pipeline.truth import Truth, read_truth
from dancedepth.pipeline.workspace import RunFolder
from fusion_variants import REFINED, VARIANTS
from perceptual import PerceptualDistance
from pictures import shown, ssim, textured
from scipy.spatial import cKDTree

HELD_OUT = 6
"""Each so-manieth frame is kept from fusion."""
SURFACE_FRAMES = 6
"""In which surfaces are compared."""
NEAR_M = 0.03
"""Normals are compared where the surfaces are nearer than this."""


class HeldFrames(list[Frame]):
    """Frames in memory, as a `FrameSource`."""

    info: VideoInfo
    expected_frames: int | None = None

    @classmethod
    def of(cls, frames: Iterable[Frame], info: VideoInfo) -> HeldFrames:
        """These frames of the clip that `info` describes."""
        held = cls(frames)
        held.info, held.expected_frames = info, len(held)
        return held


@dataclass(frozen=True)
class Material:
    """All that fusion takes, of one clip."""

    frames: HeldFrames
    tracks: Tracks
    mattes: ImageSequence
    geometry: GeometrySequence
    motion: BodyMotion
    truth: Truth


@dataclass(frozen=True)
class Scores:
    """Of one surface; distances and normals after the clip's scale and a rigid alignment in each frame."""

    accuracy_mm: float
    completeness_mm: float
    f_score_10mm: float
    normals_deg: float
    seen: float
    joints_mm: float
    """From the true ones, roots laid on one another."""
    shown_deg: float
    """Angle to the truth's normals of those that the surface shows with its normal map, in the held-out frames."""
    psnr_db: float
    ssim: float
    perceptual: float
    """See `perceptual`; less is better."""


def parts(
    out: Annotated[Path, typer.Argument(help="Folder for the table.")],
    clips: Annotated[list[str], typer.Argument(help="CLIP=RUN, folders.")],
    voxel_mm: Annotated[float, typer.Option(help="As in a run.")] = 6.0,
    only: Annotated[list[str] | None, typer.Option(help="Variants by name; may be repeated.")] = None,
    sources: Annotated[list[str] | None, typer.Option(help="run, depth, truth; may be repeated.")] = None,
) -> None:
    """Fuse every clip in every way; write and print the table."""
    config = FusionConfig(voxel_m=voxel_mm / 1000, texture_px=1024)
    body = find_ingredients(RunConfig(), "cpu", False).body()
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, list[Scores]]] = {}
    unknown = [name for name in only or [] if name not in VARIANTS]
    if unknown:
        raise SystemExit(f"there is no variant {unknown[0]!r}; there is {', '.join(VARIANTS)}")
    for source in sources or ["truth", "depth", "run"]:
        for clip in clips:
            material = SOURCES[source](*(Path(part) for part in clip.split("=")))
            for name in only or list(VARIANTS):
                with VARIANTS[name]():
                    found = scored(material, body, config, refine=name == REFINED)
                rows.setdefault(source, {}).setdefault(name, []).append(found)
                print(source, clip.split("=")[0], name, found, flush=True)  # noqa: T201 (a program of its own)
    storage.write_json(
        out / "parts.json", {s: {n: [vars(r) for r in rs] for n, rs in v.items()} for s, v in rows.items()}
    )
    (out / "parts.md").write_text(markdown(rows))
    print(markdown(rows))  # noqa: T201


def material_of_run(clip: Path, run: Path) -> Material:
    """As the run saw the clip."""
    folder, truth = RunFolder(run), read_truth(clip)
    manifest = read_manifest(folder.manifest)
    video = open_video(clip / "video.mp4", manifest.config.frames)
    mattes = load_mattes(folder, folder.image_indices("masks"))
    geometry = load_geometry(folder, folder.image_indices("depth"))
    tracks, motion = storage.read_tracks(folder.tracks), storage.read_motion(folder.motion)
    return Material(HeldFrames.of(video, video.info), tracks, mattes, geometry, motion, truth)


def with_true_depth(clip: Path, run: Path) -> Material:
    """The run's poses and mattes; the truth's depth, in the run's scale."""
    own = material_of_run(clip, run)
    indices = tuple(i for i in own.geometry.depth.indices if i < len(own.truth.times_s))
    scale = _scale(own.motion, own.truth.motion, list(indices))
    depth = ImageSequence(indices, lambda i: storage.read_depth(own.truth.folder.depth(i)) / np.float32(scale))
    return replace(own, geometry=_as_if_learned(depth, own.truth))


def with_truth(clip: Path, run: Path) -> Material:
    """The truth's poses, mattes and depth."""
    own = with_true_depth(clip, run)
    indices, folder = own.geometry.depth.indices, own.truth.folder
    mattes = ImageSequence(indices, lambda i: storage.read_mask(folder.mask(i)))
    depth = ImageSequence(indices, lambda i: storage.read_depth(folder.depth(i)))
    return replace(own, mattes=mattes, geometry=_as_if_learned(depth, own.truth), motion=own.truth.motion)


def _as_if_learned(depth: ImageSequence, truth: Truth) -> GeometrySequence:
    """With the truth's normals, all of it sure."""
    normals = ImageSequence(depth.indices, lambda i: storage.read_normals(truth.folder.normals(i)))
    return GeometrySequence(depth, normals, ImageSequence(depth.indices, lambda i: np.ones_like(depth.load(i))))


def _scale(motion: BodyMotion, true: BodyMotion, frames: list[int]) -> float:
    """From the run's lengths to the true ones."""
    return float(np.median(evaluation._joints(true)[frames, :, 2] / evaluation._joints(motion)[frames, :, 2]))


SOURCES: dict[str, Callable[[Path, Path], Material]] = {
    "truth": with_truth,
    "depth": with_true_depth,
    "run": material_of_run,
}


def scored(material: Material, body: BodyModel, config: FusionConfig, refine: bool) -> Scores:
    """Fuse all but the held-out frames, and measure."""
    kept = HeldFrames.of((frame for frame in material.frames if frame.index % HELD_OUT), material.frames.info)
    geometry, motion = _without_held_out(material.geometry), material.motion
    arguments = kept, material.tracks, material.mattes, geometry
    surface = fusion.fuse(*arguments, motion, body, config, Silent())
    if refine:
        loaded = fusion._loaded(material.frames, material.mattes, material.geometry, _usable(material))
        motion = refined_motion(((one.index, one.images) for one in loaded), motion, body, surface, config)
        surface = fusion.fuse(*arguments, motion, body, config, Silent())
    return measured(surface, motion, material)


def _usable(material: Material) -> set[int]:
    known = set(material.geometry.depth.indices) & set(material.mattes.indices)
    return {i for i in known if material.motion.fitted[i]}


def _without_held_out(geometry: GeometrySequence) -> GeometrySequence:
    def some(images: ImageSequence) -> ImageSequence:
        return ImageSequence(tuple(i for i in images.indices if i % HELD_OUT), images.load)

    sure = None if geometry.confidence is None else some(geometry.confidence)
    return GeometrySequence(some(geometry.depth), some(geometry.normals), sure)


def measured(surface: Surface, motion: BodyMotion, material: Material) -> Scores:
    """Surface distances and normals in some frames, pictures in the held-out ones."""
    truth, whole = material.truth, welded(surface)
    own, true = evaluation._with_samples(whole, 0), evaluation._truth_with_samples(truth, 0)
    joints, true_joints = evaluation._joints(motion), evaluation._joints(truth.motion)
    usable = [f.index for f in material.frames if motion.fitted[f.index] and f.index < len(true_joints)]
    scale = _scale(motion, truth.motion, usable)
    scores, angles = [], []
    for index in usable[:: max(1, len(usable) // SURFACE_FRAMES)]:
        posed, true_posed = own.pose(motion.cam_from_rest[index]), true.pose(truth.motion.cam_from_rest[index])
        pair = SurfacePair(own, posed, true, true_posed)
        rigid = metrics.fit_similarity(joints[index] * scale, true_joints[index], with_scale=False)
        move = pair.align(metrics.Similarity(scale, rigid.rotation, rigid.translation))
        scores.append(metrics.surface_scores(*pair.distances(move)))
        angles.append(_normal_angle(own, posed, true, true_posed, move))
    mean = metrics.mean_scores(scores)
    psnr, alike, apart = pictures(surface, motion, material)
    seen = float((own.at_samples(whole.observed) > evaluation.OBSERVED).mean())
    about_roots, true_about_roots = joints - joints[:, :1], true_joints - true_joints[:, :1]
    return Scores(
        accuracy_mm=mean.accuracy_mean_mm,
        completeness_mm=mean.completeness_mean_mm,
        f_score_10mm=mean.f_score_10mm,
        normals_deg=float(np.mean(angles)),
        seen=seen,
        shown_deg=shading(surface, motion, truth),
        joints_mm=metrics.joint_error_mm(scale * about_roots[usable], true_about_roots[usable]),
        psnr_db=psnr,
        ssim=alike,
        perceptual=apart,
    )


def _normal_angle(own: Any, posed: np.ndarray, true: Any, true_posed: np.ndarray, move: metrics.Similarity) -> float:
    """Mean angle, degrees, between the true surface's normals and the run's at the nearest sample."""
    points = move.apply(own.at_samples(posed))
    normals = own.at_samples(vertex_normals(posed, own.faces)) @ move.rotation.T
    true_points, true_normals = true.at_samples(true_posed), true.at_samples(vertex_normals(true_posed, true.faces))
    distance, index = cKDTree(points).query(true_points)
    near = distance < NEAR_M
    a, b = (n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9) for n in (normals[index], true_normals))
    return float(np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))[near].mean())


def shading(surface: Surface, motion: BodyMotion, truth: Truth) -> float:
    """Mean angle, degrees, to the truth's normals in the held-out frames where both show the dancer."""
    found = []
    for index in range(0, len(truth.times_s), HELD_OUT):
        if motion.fitted[index]:
            normals, covered = shown(surface, motion, index)
            true = storage.read_normals(truth.folder.normals(index))[covered]
            both = true.any(axis=1)
            found.append(metrics.angle_scores(normals[both], true[both]).mean_deg)
    return float(np.mean(found))


def pictures(surface: Surface, motion: BodyMotion, material: Material) -> tuple[float, float, float]:
    """PSNR (dB), SSIM and perceptual distance of the textured surface, in the held-out frames, where video or render
    show the dancer.
    """
    found, distance = [], PerceptualDistance()
    for frame in material.frames[::HELD_OUT]:
        if frame.index not in material.mattes.indices or not motion.fitted[frame.index]:
            continue
        render, covered = textured(surface, motion, frame.index)
        matte = material.mattes.load(frame.index)[..., None] / 255
        real = frame.rgb / 255 * matte + 0.5 * (1 - matte)
        where = covered | (matte[..., 0] > 0.5)
        error = ((render - real) ** 2)[where].mean()
        found.append((-10 * np.log10(error), ssim(render, real)[where].mean(), distance(render, real, where)))
    psnr, alike, apart = np.mean(found, axis=0)
    return float(psnr), float(alike), float(apart)


def markdown(rows: dict[str, dict[str, list[Scores]]]) -> str:
    """Means over the clips, a line a variant."""
    titles = [
        name.rsplit("_", 1)[0] if name.endswith(("_mm", "_deg", "_db")) else name for name in Scores.__annotations__
    ]
    lines = ["| input | fusion | " + " | ".join(titles) + " |", "|---|---|" + "---:|" * len(titles)]
    for source, variants in rows.items():
        for name, found in variants.items():
            means = [np.mean([getattr(score, field) for score in found]) for field in Scores.__annotations__]
            cells = [f"{m:.1f}" if f.endswith(("_mm", "_deg", "_db")) and f != "f_score_10mm" else f"{m:.3f}"
                     for f, m in zip(Scores.__annotations__, means, strict=True)]  # fmt: skip
            lines.append(f"| {source} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(parts)
