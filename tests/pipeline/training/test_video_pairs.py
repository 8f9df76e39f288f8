"""Pairs from clips whose every point is known: a dancer who turns, in a pattern that is fixed to the surface."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera, project
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline import reconstruct
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.errors import PersonError, UsageError, VideoError
from dancedepth.pipeline.records import Observer
from dancedepth.pipeline.storage import read_json
from dancedepth.pipeline.training.body_parts import PARTS, body_parts, bone_parts
from dancedepth.pipeline.training.clip_frames import ClipFrames, read_clip
from dancedepth.pipeline.training.clip_pairs import FramePair, find_pairs, read_pair, write_pairs
from dancedepth.pipeline.training.config import TrainConfig, VideosConfig
from dancedepth.pipeline.training.flow_chains import FlowChains
from dancedepth.pipeline.training.optical_flow import follow, pixel_centres
from dancedepth.pipeline.training.pair_batches import ClipFiles, PairSet, collate_pairs
from dancedepth.pipeline.training.partners import TURNED_DEG, overlap, pair_up
from dancedepth.pipeline.training.sample_files import write_samples
from dancedepth.pipeline.training.video_pairs import ClipReport, prepare_videos

from tests.scenes import Scene, dancer, turning

FRAMES = 8
SIZE = (208, 320)


def seen(scene: Scene, body: BodyModel) -> ClipFrames:
    return read_clip(scene.frames, scene.tracks, scene.mattes, scene.motion, body, SIZE)


@pytest.fixture(scope="module")
def scene(body: BodyModel) -> Scene:
    return dancer(body, FRAMES, turning(4 * FRAMES), Camera.centred(400.0, 240, 320), distance_m=2.6)


@pytest.fixture(scope="module")
def clip(scene: Scene, body: BodyModel) -> ClipFrames:
    return seen(scene, body)


@pytest.fixture(scope="module")
def pairs(clip: ClipFrames, body: BodyModel) -> list[FramePair]:
    return find_pairs(clip.frames, body)


def test_every_bone_has_a_part_and_both_sides_alike(body: BodyModel) -> None:
    parts = bone_parts(body)
    names = {name: PARTS[part] for name, part in zip(body.bone_names, parts.tolist(), strict=True)}
    assert names["finger3-2.L"] == "hand.L" and names["lowerarm02.R"] == "lowerarm.R" and names["eye.L"] == "head"
    assert names["clavicle.R"] == "chest" and names["toe2-1.R"] == "foot.R" and names["root"] == "pelvis"
    found = body_parts(body)
    assert found.part.unique().tolist() == list(range(len(PARTS)))
    assert found.hold.min() > 0.3 and (found.hold[body.faces.unique()] > 0.9).float().mean() > 0.8


def test_good_frames_are_used_and_bad_ones_left_out_with_the_reason(scene: Scene, body: BodyModel) -> None:
    motion, tracks = scene.motion, scene.tracks
    error = np.zeros(FRAMES)
    error[2] = 50.0
    fitted = motion.fitted.copy()
    fitted[3] = False
    sharp = tracks.sharpness.copy()
    sharp[4] = 0.01
    aside = motion.cam_from_rest.copy()
    aside[5, :, 0, 3] += 0.5
    bad = replace(
        scene,
        motion=replace(motion, reprojection_error_px=error, fitted=fitted, cam_from_rest=aside),
        tracks=replace(tracks, sharpness=sharp),
    )
    found = seen(bad, body)
    assert [frame.index for frame in found.frames] == [0, 1, 6, 7]
    assert found.left_out == {
        2: "the body's joints miss the detected ones",
        3: "too little of the body was seen to fit it",
        4: "the frame is blurred",
        5: "the fitted body and the dancer's outline differ",
    }


def test_partners_share_surface_and_have_turned(clip: ClipFrames, body: BodyModel) -> None:
    frames = [frame.body for frame in clip.frames]
    shared, turned = overlap(frames, body.faces)
    assert torch.allclose(shared.diagonal(), torch.ones(FRAMES)) and turned.diagonal().max() < 1
    assert (turned[0, 1:].diff() > 0).all() and (shared[0, 1:].diff() < 0.05).all()
    chosen = pair_up(frames, body.faces, 16, torch.Generator().manual_seed(0))
    assert len(chosen) >= FRAMES
    for i, j in chosen:
        assert i < j and TURNED_DEG[0] <= turned[i, j] <= TURNED_DEG[1]
    assert not pair_up([frames[0]] * 3, body.faces, 16, torch.Generator()), "nothing moved"


def misses(clip: ClipFrames, pair: FramePair, scene: Scene) -> torch.Tensor:
    """Pixels between the correspondences and the truth: the point that a pixel shows, posed in the other frame."""
    first, second = (clip.frames[k] for k in (pair.first, pair.second))
    x, y = pair.points.source_px.floor().long().unbind(dim=1)
    raster = first.body.raster
    corners, shares = torch.from_numpy(scene.faces)[raster.face_index[y, x]], raster.barycentric[y, x]
    posed = torch.from_numpy(scene.posed(second.index))
    points = (posed[corners] * shares[..., None]).sum(dim=1)
    return (project(points, second.body.camera) - pair.points.target_px).norm(dim=1)


def test_correspondences_show_the_same_point(
    clip: ClipFrames, pairs: list[FramePair], scene: Scene, body: BodyModel
) -> None:
    assert len(pairs) >= 4
    used = torch.unique(body.faces)  # the scene's vertices are the visible body's
    assert len(used) == len(scene.vertices)
    off = torch.cat([misses(clip, pair, scene) for pair in pairs])
    assert off.median() < 0.5 and off.quantile(0.95) < 1.5
    assert all((pair.points.weight > 0).all() and pair.points.weight.max() <= 1 for pair in pairs)
    assert len(torch.cat([pair.points.part for pair in pairs]).unique()) > 8


def test_points_must_arrive_step_by_step_too(clip: ClipFrames, pairs: list[FramePair], body: BodyModel) -> None:
    chains = FlowChains([frame.body for frame in clip.frames], body.faces)
    pair = pairs[-1]
    again = chains.confirmed(pair.first, pair.second, pair.points)
    assert len(again.part) == len(pair.points.part)
    beside = replace(pair.points, target_px=pair.points.target_px + 3.0)
    assert not len(chains.confirmed(pair.first, pair.second, beside).part)
    assert not len(chains.confirmed(0, 99, pair.points).part), "too far apart"


def test_pictures_mend_a_wrong_body(clip: ClipFrames, scene: Scene, body: BodyModel) -> None:
    """The fit says that the dancer is 3 cm beside where she is, in every other frame."""
    wrong = scene.motion.cam_from_rest.copy()
    wrong[1::2, :, 0, 3] += 0.03
    found = seen(replace(scene, motion=replace(scene.motion, cam_from_rest=wrong)), body)
    pairs = [pair for pair in find_pairs(found.frames, body) if (pair.first + pair.second) % 2]
    off = torch.cat([misses_of_image(clip, found, pair, scene) for pair in pairs])
    body_off = 0.03 / 2.6 * found.frames[0].body.camera.focal_px
    assert body_off > 3 and off.median() < 0.35 * body_off


def misses_of_image(clip: ClipFrames, found: ClipFrames, pair: FramePair, scene: Scene) -> torch.Tensor:
    """As `misses`, for frames that were cut out alike but whose body is wrong."""
    assert found.frames[pair.first].body.camera == clip.frames[pair.first].body.camera
    x, y = pair.points.source_px.floor().long().unbind(dim=1)
    on_body = clip.frames[pair.first].body.raster.face_index[y, x] >= 0
    some = torch.nonzero(on_body)[:, 0]
    points = pair.points
    kept = replace(points, source_px=points.source_px[some], target_px=points.target_px[some])
    return misses(clip, replace(pair, points=kept), scene)


def test_flow_finds_a_known_shift() -> None:
    here = pixel_centres(96, 80)
    pattern = 128 + 60 * torch.sin(here[..., 0] / 5) * torch.sin(here[..., 1] / 7) + 20 * torch.sin(here.sum(-1) / 11)
    shifted = pattern.roll((2, 3), (0, 1))
    found = follow(pattern, shifted, here)[16:-16, 16:-16] - here[16:-16, 16:-16]
    assert (found - torch.tensor([3.0, 2.0])).abs().median() < 0.1


def test_files_hold_what_was_found(clip: ClipFrames, pairs: list[FramePair], tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.safetensors", pairs)
    for number in (0, len(pairs) - 1):
        again, pair = read_pair(tmp_path / "pairs.safetensors", number), pairs[number]
        assert (again.first, again.second) == (pair.first, pair.second)
        assert (again.points.target_px - pair.points.target_px).abs().max() < 0.01
        assert torch.equal(again.points.part, pair.points.part)
    write_samples(tmp_path / "frames.safetensors", [frame.sample for frame in clip.frames])
    files = ClipFiles(tmp_path / "frames.safetensors", tmp_path / "pairs.safetensors", len(pairs))
    config = TrainConfig(videos=VideosConfig(folder="clips", points=500))
    batch = collate_pairs([PairSet([files], config)[number] for number in (3, 4)])
    assert batch.given.image.shape == (4, 3, 320, 208) and batch.matches.part.shape == (2, 500)
    same = collate_pairs([PairSet([files], config)[number] for number in (3, 4)])
    assert torch.equal(batch.matches.target_px, same.matches.target_px)
    other = collate_pairs([PairSet([files], replace(config, seed=1))[3]])
    assert not torch.equal(other.matches.target_px, batch.matches.target_px[:1])


class Heard:
    def __init__(self) -> None:
        self.reports: list[ClipReport] = []

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        self.reports.append(report)


@pytest.fixture
def followed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Instead of the stages before: the scene, or what goes wrong, by the video's name."""
    calls: list[str] = []

    def follow_scene(
        video: Path, out: Path, config: RunConfig, observer: Observer | None = None
    ) -> reconstruct.Followed:
        calls.append(video.name)
        if "broken" in video.name:
            raise VideoError("this is not a video", str(video), "Give one.")
        if "empty" in video.name:
            raise PersonError("there is nobody in it", str(video))
        frames = range(1) if "still" in video.name else range(FRAMES)
        fitted = np.isin(np.arange(FRAMES), frames)
        return reconstruct.Followed(  # type: ignore[arg-type]  # frames in memory
            scene.frames, scene.tracks, scene.mattes, replace(scene.motion, fitted=fitted)
        )

    monkeypatch.setattr(reconstruct, "follow", follow_scene)
    yield calls


def test_a_folder_is_gone_through_once_and_bad_clips_are_reported(tmp_path: Path, followed: list[str]) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("broken.mp4", "dance.mp4", "empty.mp4", "still.mp4"):
        (folder / name).write_bytes(name.encode())
    config = TrainConfig(preset="tiny", videos=VideosConfig(folder=str(folder)))
    heard = Heard()
    clips = prepare_videos(config, tmp_path / "cache", cache_folder(), "cpu", heard)
    assert [clip.frames.is_file() and clip.pairs.is_file() for clip in clips] == [True]
    reports = {report.video: report for report in heard.reports}
    assert "not a video" in str(reports["broken.mp4"].why_not) and "nobody" in str(reports["empty.mp4"].why_not)
    assert "same surface" in str(reports["still.mp4"].why_not)
    assert reports["still.mp4"].left_out == {"too little of the body was seen to fit it": FRAMES - 1}
    assert reports["dance.mp4"].used == FRAMES and reports["dance.mp4"].pairs == clips[0].pair_count
    written = read_json(tmp_path / "cache" / "videos.json")
    assert [entry["video"] for entry in written] == ["broken.mp4", "dance.mp4", "empty.mp4", "still.mp4"]
    followed.clear()
    assert prepare_videos(config, tmp_path / "cache", cache_folder(), "cpu") == clips
    assert not followed, "what is there is not made again"
    (folder / "dance.mp4").write_bytes(b"another dance")
    prepare_videos(config, tmp_path / "cache", cache_folder(), "cpu")
    assert followed == ["dance.mp4"]


def test_folders_without_anything_to_learn_from_are_clear_errors(tmp_path: Path, followed: list[str]) -> None:
    config = TrainConfig(preset="tiny", videos=VideosConfig(folder=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="no such folder"):
        prepare_videos(config, tmp_path / "cache", cache_folder(), "cpu")
    (tmp_path / "none").mkdir()
    with pytest.raises(VideoError, match="no video here"):
        prepare_videos(config, tmp_path / "cache", cache_folder(), "cpu")
    (tmp_path / "none" / "broken.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match="none of the 1 videos"):
        prepare_videos(config, tmp_path / "cache", cache_folder(), "cpu")
