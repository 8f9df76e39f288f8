"""A folder of dance videos as pairs of frames to learn from: every clip is gone through once and kept.

CACHE/CLIP/run/                 a run folder, up to the body's motion
CACHE/CLIP/frames.safetensors   the usable frames at the network's size
CACHE/CLIP/pairs.safetensors    pairs of them with their correspondences
CACHE/CLIP/clip.json            what was found; written last: where it is, everything is
CACHE/videos.json               the report: every clip, every frame left out, and why
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dancedepth.models.body_file import load_body
from dancedepth.models.hdnet import PRESETS
from dancedepth.models.weights import sha256_of
from dancedepth.pipeline.batch_videos import BatchVideo, find_videos
from dancedepth.pipeline.config import DepthsConfig, FramesConfig, RunConfig
from dancedepth.pipeline.errors import PersonError, UsageError, VideoError
from dancedepth.pipeline.records import Observer, Silent
from dancedepth.pipeline.storage import read_json, write_json
from dancedepth.pipeline.training.clip_frames import ClipFrames, read_clip
from dancedepth.pipeline.training.clip_pairs import find_pairs, write_pairs
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.pair_batches import ClipFiles
from dancedepth.pipeline.training.sample_files import write_samples

FORMAT = 1
"""Grows when what a clip gives changes."""


@dataclass(frozen=True)
class ClipReport:
    """What one video gave."""

    video: str
    frames: int = 0
    """Looked at."""
    used: int = 0
    pairs: int = 0
    points: int = 0
    """Correspondences of a pair, on average."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Frames, by reason."""
    why_not: str | None = None
    """Why the whole clip is left out."""


class VideoObserver(Protocol):
    """Told how the preparation goes on."""

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        """One of so many clips is ready, or left out."""


def prepare_videos(
    config: TrainConfig,
    cache: Path,
    body_folder: Path,
    device: str,
    observer: VideoObserver | None = None,
    stage: Observer | None = None,
) -> list[ClipFiles]:
    """Every clip of the config's folder, ready to be drawn from; those that are ready already are not touched.

    Raises:
        VideoError: the folder holds no video, or none that anything can be learned from.
        UsageError: there is no such folder.
    """
    folder = Path(config.videos.folder or "")
    if not folder.is_dir():
        raise UsageError("there is no such folder", str(folder), "Give a folder of videos as --videos")
    videos = find_videos([str(folder)], cache)
    clips, reports = [], []
    for number, video in enumerate(videos):
        home = cache / _key(video, config)
        report = _read_report(home) or _prepare(video, home, config, body_folder, device, stage or Silent())
        if observer is not None:
            observer.clip_prepared(number + 1, len(videos), report)
        reports.append(report)
        if report.why_not is None:
            clips.append(ClipFiles(home / "frames.safetensors", home / "pairs.safetensors", report.pairs))
    write_json(cache / "videos.json", [asdict(report) for report in reports])
    if not clips:
        what = f"none of the {len(videos)} videos can be learned from ({reports[0].why_not})"
        raise VideoError(what, str(folder), f"See {cache / 'videos.json'}")
    return clips


def _prepare(
    video: BatchVideo, home: Path, config: TrainConfig, body_folder: Path, device: str, stage: Observer
) -> ClipReport:
    """Go through one clip; what is wrong with it is part of the report, and the others go on."""
    from dancedepth.pipeline.reconstruct import follow

    run = RunConfig(frames=FramesConfig(fps=config.videos.fps), depths=DepthsConfig("body"), device=device)
    try:
        known = follow(video.path, home / "run", run, stage)
    except (VideoError, PersonError) as error:
        return _finished(home, ClipReport(video.name, why_not=error.what))
    body = load_body(body_folder)
    clip = read_clip(known.frames, known.tracks, known.mattes, known.motion, body, PRESETS[config.preset].size)
    pairs = find_pairs(clip.frames, body)
    report = _report(video.name, clip, [len(pair.points.part) for pair in pairs])
    if report.why_not is None:
        write_samples(home / "frames.safetensors", [frame.sample for frame in clip.frames])
        write_pairs(home / "pairs.safetensors", pairs)
    return _finished(home, report)


def _report(name: str, clip: ClipFrames, points: list[int]) -> ClipReport:
    return ClipReport(
        video=name,
        frames=len(clip.frames) + len(clip.left_out),
        used=len(clip.frames),
        pairs=len(points),
        points=round(sum(points) / max(1, len(points))),
        left_out=dict(Counter(clip.left_out.values()).most_common()),
        why_not=None if points else "no two frames show enough of the same surface from different sides",
    )


def _finished(home: Path, report: ClipReport) -> ClipReport:
    write_json(home / "clip.json", asdict(report))
    return report


def _read_report(home: Path) -> ClipReport | None:
    """What an earlier training found; None where it did not come to an end."""
    path = home / "clip.json"
    if not path.is_file():
        return None
    values: dict[str, Any] = read_json(path)
    return ClipReport(**values)


def _key(video: BatchVideo, config: TrainConfig) -> str:
    """A folder name that changes with the video's bytes and with what is made of it."""
    try:
        digest = sha256_of(video.path)
    except OSError:  # follow() says what is wrong with it
        digest = video.name
    made = json.dumps([FORMAT, digest, PRESETS[config.preset].size, config.videos.fps])
    return f"{Path(video.name).name}-{hashlib.sha256(made.encode()).hexdigest()[:10]}"
