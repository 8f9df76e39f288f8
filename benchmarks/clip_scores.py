"""Rendered clips that play unlabelled videos: made, looked at, and held against their truth."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from dancedepth.models.body import BodyModel, skin_points
from dancedepth.models.body_maps import vertex_normals
from dancedepth.models.geometry import Camera, depth_to_normals, project
from dancedepth.models.hdnet import HDNet, person_mask
from dancedepth.models.inputs import PosedBody, crop_around, prepare_input
from dancedepth.models.metrics import angle_scores, clip_scale, depth_error_mm
from dancedepth.models.paste_back import Geometry, paste_back
from dancedepth.models.raster import Raster, rasterize
from dancedepth.pipeline import storage
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.depths import posed_body
from dancedepth.pipeline.frames import VideoFrames, open_video
from dancedepth.pipeline.mattes import load_mattes
from dancedepth.pipeline.records import BodyMotion, Frame, ImageSequence, Tracks
from dancedepth.pipeline.training.clip_frames import ClipFrame, read_clip
from dancedepth.pipeline.training.clip_pairs import FramePair, find_pairs
from dancedepth.pipeline.training.correspondences import body_map
from dancedepth.pipeline.truth import Truth, read_truth
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

CLIPS = {
    "suit": (9_101, ("female_casualsuit02", "shoes05", "bob01", "young_darkskinned_female_diffuse"), None, 0.0),
    "jesse": (9_102, ("male_casualsuit04", "short02", "old_lightskinned_male_diffuse"), "jesse_dance", 2.0),
    "turn": (9_103, ("male_casualsuit04", "bob01", "middleage_lightskinned_female_diffuse"), None, 0.0),
    "modern": (9_104, ("female_casualsuit02", "short02", "old_lightskinned_male_diffuse"), "cmu_49_08", 3.0),
}
"""Seed, clothes, motion and its start; assets and motions that training holds out."""
SIZE, FPS = "360x640", 12
SCORED_EVERY = 3
"""Frames; neighbours tell little new."""
NETWORK_SIZE = (208, 320)
JUDGED_PAIRS = 30
VISIBLE_WITHIN_M = 0.03
MM_PER_M = 1000.0


@dataclass(frozen=True)
class Score:
    """Of one network on one clip, on the person's pixels."""

    normals_deg: float
    depth_scaled_mm: float
    """After the clip's one scale."""
    depth_frame_scaled_mm: float
    """After a scale for every frame."""
    own_normals_deg: float
    """Of the depth's own normals."""


@dataclass(frozen=True)
class CorrespondenceScore:
    """Distances on the true surface between what a correspondence says and the truth, for one clip."""

    clip: str
    method: str
    mean_mm: float
    median_mm: float
    p90_mm: float
    pixels_median: float
    """At the network's size."""
    count: int


@dataclass(frozen=True)
class Unlabelled:
    """A clip as a training sees it, and its truth beside it."""

    name: str
    frames: VideoFrames
    tracks: Tracks
    mattes: ImageSequence
    motion: BodyMotion
    body: BodyModel
    truth: Truth


def render_clips(out: Path, count: int, seconds: float, wardrobe: Path | None, mocap: Path | None) -> list[Path]:
    """The first `count` clips, with their truth; those that are there are kept."""
    program = str(Path(sys.executable).with_name("dancedepth"))
    for name, (seed, wears, motion, start_s) in list(CLIPS.items())[:count]:
        if (out / name / "truth" / "truth.json").is_file():
            continue
        words = [program, "synth", str(out / name), "--seed", str(seed), "--size", SIZE, "--fps", str(FPS)]
        words += ["--seconds", str(seconds)]
        if wardrobe is not None:
            words += ["--garments", str(wardrobe), *(word for asset in wears for word in ("--garment", asset))]
        if mocap is not None and motion is not None:
            words += ["--motion", str(mocap / f"{motion}.bvh"), "--motion-start", str(start_s)]
        subprocess.run(words, check=True)
    return [out / name for name in list(CLIPS)[:count]]


def unlabelled_clips(cache: Path, clips: Path, body: BodyModel) -> list[Unlabelled]:
    """The prepared clips that something can be learned from."""
    found = []
    for report in sorted(cache.glob("*/clip.json")):
        name = Path(storage.read_json(report)["video"]).stem
        folder = RunFolder(report.parent / "run")
        if (report.parent / "pairs.safetensors").is_file() and (clips / name).is_dir():
            found.append(
                Unlabelled(
                    name=name,
                    frames=open_video(clips / name / "video.mp4", FramesConfig(fps=FPS)),
                    tracks=storage.read_tracks(folder.tracks),
                    mattes=load_mattes(folder, folder.image_indices("masks")),
                    motion=storage.read_motion(folder.motion),
                    body=body,
                    truth=read_truth(clips / name),
                )
            )
    return found


def score(net: HDNet, clip: Unlabelled) -> Score:
    """Hold a network's depth and normals against the truth, frame by frame."""
    rest = clip.motion.rest(clip.body)
    depths, truths, normals, true_normals, own, of_frame = [], [], [], [], [], []
    for frame in clip.frames:
        if frame.index % SCORED_EVERY or frame.index not in clip.mattes.indices or not clip.motion.fitted[frame.index]:
            continue
        posed = posed_body(clip.motion, frame.index, clip.body, rest)
        found = _geometry(net, frame, np.array(clip.mattes.load(frame.index)), posed, clip.motion.camera)
        true_depth = storage.read_depth(clip.truth.folder.depth(frame.index))
        if found is None or not (both := (found.depth_m.numpy() > 0) & (true_depth > 0)).any():
            continue
        true = storage.read_normals(clip.truth.folder.normals(frame.index))
        turned = depth_to_normals(found.depth_m, clip.motion.camera).numpy()
        here, there = found.depth_m.numpy()[both], true_depth[both]
        depths.append(here)
        truths.append(there)
        of_frame.append(depth_error_mm(here * clip_scale(here, there), there))
        normals.append(found.normals.numpy()[both])
        true_normals.append(true[both])
        known = both & turned.any(axis=-1)
        own.append(angle_scores(turned[known], true[known]).mean_deg)
    run, truth = np.concatenate(depths), np.concatenate(truths)
    return Score(
        normals_deg=angle_scores(np.concatenate(normals), np.concatenate(true_normals)).mean_deg,
        depth_scaled_mm=depth_error_mm(run * clip_scale(run, truth), truth),
        depth_frame_scaled_mm=float(np.mean(of_frame)),
        own_normals_deg=float(np.mean(own)),
    )


def _geometry(net: HDNet, frame: Frame, alpha: np.ndarray, posed: PosedBody, camera: Camera) -> Geometry | None:
    """One frame through the networks, at full size; None where its matte is empty."""
    matte = torch.from_numpy(alpha)
    prepared = prepare_input(torch.from_numpy(frame.rgb), matte, posed, camera, net.size)
    if prepared is None:
        return None
    given, crop = prepared
    said, inside = net.infer(given), person_mask(given)[0]
    return paste_back(said.depth[0], said.normals[0], said.confidence[0], inside, crop, posed, matte)


def mean_score(scores: list[Score]) -> Score:
    """Over clips."""
    return Score(**{f.name: float(np.mean([getattr(one, f.name) for one in scores])) for f in fields(Score)})


@dataclass(frozen=True)
class TrueFrame:
    """The true surface in one frame, in the network's crop."""

    camera: Camera
    points: Float[Tensor, "v 3"]
    raster: Raster
    normals: Float[Tensor, "h w 3"]


def correspondence_errors(clip: Unlabelled, body: BodyModel) -> list[CorrespondenceScore]:
    """How far correspondences are off: taken from the fitted body alone, and mended by the pictures."""
    frames = read_clip(clip.frames, clip.tracks, clip.mattes, clip.motion, body, NETWORK_SIZE).frames
    pairs = find_pairs(frames, body)
    off: dict[str, list[tuple[Tensor, Tensor]]] = {"the fitted body": [], "mended by optical flow": []}
    true = {position: true_frame(clip, frame) for position, frame in enumerate(frames)}
    for pair in pairs[:: max(1, len(pairs) // JUDGED_PAIRS)]:
        x, y = pair.points.source_px.floor().long().unbind(dim=1)
        by_body = body_map(frames[pair.first].body, frames[pair.second].body, body.faces)[y, x]
        points = true_points(true[pair.first], true[pair.second], clip.truth, pair)
        for method, target in zip(off, (by_body, pair.points.target_px), strict=True):
            off[method].append(_missed(true[pair.second], points, target))
    return [_summary(clip.name, method, found) for method, found in off.items()]


def true_frame(clip: Unlabelled, frame: ClipFrame) -> TrueFrame:
    """The truth at the moment of a frame, as large as the network sees it."""
    alpha = torch.from_numpy(np.array(clip.mattes.load(frame.index)))
    crop = crop_around(alpha, clip.truth.motion.camera, NETWORK_SIZE)
    assert crop is not None
    surface = [torch.from_numpy(np.asarray(part)) for part in (clip.truth.vertices, clip.truth.skin_weights)]
    bones = torch.from_numpy(np.asarray(clip.truth.skin_bones)).long()
    pose = torch.from_numpy(clip.truth.motion.cam_from_rest[frame.index]).float()[None]
    points, faces = skin_points(surface[0].float(), surface[1].float(), bones, pose)[0], _faces(clip.truth)
    raster = rasterize(points, faces, crop.camera)
    normals = normalize(raster.interpolate(faces, vertex_normals(points, faces)), dim=-1)
    return TrueFrame(crop.camera, points, raster, normals)


def _faces(truth: Truth) -> Tensor:
    return torch.from_numpy(np.asarray(truth.faces)).long()


def true_points(first: TrueFrame, second: TrueFrame, truth: Truth, pair: FramePair) -> Float[Tensor, "n 3"]:
    """Where what the pair's first frame shows at its points is in the second; NaN where it shows nothing."""
    x, y = pair.points.source_px.floor().long().unbind(dim=1)
    face, shares = first.raster.face_index[y, x], first.raster.barycentric[y, x]
    points = (second.points[_faces(truth)[face.clamp_min(0)]] * shares[..., None]).sum(dim=1)
    return torch.where((face >= 0)[:, None], points, torch.nan)


def found_points(frame: TrueFrame, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, "n"]]:
    """Pixels of points, and whether the frame sees them there."""
    known = ~points.isnan().any(dim=1)
    pixels = project(points.nan_to_num(1.0), frame.camera)
    seen_z, inside = _depth_at(frame, pixels)
    return pixels, known & inside & ((seen_z - points[:, 2]).abs() < VISIBLE_WITHIN_M)


def _missed(
    frame: TrueFrame, points: Float[Tensor, "n 3"], target: Float[Tensor, "n 2"]
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k"]]:
    """Millimetres and pixels between where points are said to be and where they are, where the frame sees them."""
    pixels, seen = found_points(frame, points)
    said_z, said_inside = _depth_at(frame, target)
    visible = seen & said_inside & (said_z > 0)
    rays = (target - torch.tensor([frame.camera.cx, frame.camera.cy])) / frame.camera.focal_px
    said = torch.cat((rays, torch.ones_like(rays[:, :1])), dim=1) * said_z[:, None]
    return (said - points).norm(dim=1)[visible] * MM_PER_M, (pixels - target).norm(dim=1)[visible]


def _depth_at(frame: TrueFrame, pixels: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n"], Tensor]:
    x, y = pixels.floor().long().unbind(dim=1)
    inside = (x >= 0) & (y >= 0) & (x < frame.camera.width) & (y < frame.camera.height)
    return frame.raster.depth_m[torch.where(inside, y, 0), torch.where(inside, x, 0)], inside


def _summary(clip: str, method: str, found: list[tuple[Tensor, Tensor]]) -> CorrespondenceScore:
    mm, pixels = (torch.cat([pair[k] for pair in found]) for k in range(2))
    return CorrespondenceScore(
        clip, method, float(mm.mean()), float(mm.median()), float(mm.quantile(0.9)), float(pixels.median()), len(mm)
    )
