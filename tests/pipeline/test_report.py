"""Preview and report of a small run; the report is used in a real browser where there is one."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.pipeline import storage
from dancedepth.pipeline.config import FramesConfig
from dancedepth.pipeline.export.glb import write_dancer_glb
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.manifest import Manifest
from dancedepth.pipeline.panels import GROUND, Panels, PanelSize
from dancedepth.pipeline.preview import STRIPS, Strip, preview_size, write_preview
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.report import show_run, write_report
from dancedepth.pipeline.rig_file import read_rig
from dancedepth.pipeline.three import three_js
from dancedepth.pipeline.video_file import video_writer
from dancedepth.pipeline.workspace import RunFolder
from PIL import Image

from tests.rigged import light_surface, rig_of, tilted, write_run
from tests.scenes import Scene, dancer, still, turning

FRAMES = 12
BROWSER = Path(__file__).parents[1] / "browser"


@dataclass(frozen=True)
class Made:
    folder: RunFolder
    scene: Scene
    manifest: Manifest
    video: Path


@pytest.fixture(scope="module")
def made(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run of a dancer who turns, shown."""
    root = tmp_path_factory.mktemp("shown")
    scene = dancer(body, FRAMES, turning(FRAMES), Camera.centred(300.0, 180, 240))
    video, run = root / "clip <1>.mp4", root / "run"
    with video_writer(video, 180, 240, 12, 18) as stream:
        for frame in scene.frames:
            stream.write(np.ascontiguousarray(frame.rgb).data)
    manifest = write_run(run, scene, body, video)
    folder = RunFolder(run)
    surface, rig = storage.read_surface(folder.surface), read_rig(folder.rig)
    assert show_run(folder, manifest, open_video(video, FramesConfig()), surface, rig, Silent()) == FRAMES
    return Made(folder, scene, manifest, video)


def decoded(path: Path) -> Iterator[np.ndarray]:
    return (frame.rgb for frame in open_video(path, FramesConfig(fps=240)))


def test_the_preview_shows_four_pictures_of_every_frame(made: Made) -> None:
    size = preview_size(read_rig(made.folder.rig))
    frames = list(decoded(made.folder.preview))
    assert len(frames) == FRAMES
    assert frames[0].shape == (size.height, 4 * size.width, 3)
    for index in (0, 7):
        seen, depth, normals, turned = np.split(frames[index].astype(int), 4, axis=1)
        inside = made.scene.geometry.depth.load(index) > 0
        assert (depth[inside].mean(), depth[~inside].mean()) == pytest.approx((180, GROUND), abs=60)
        assert depth[inside].mean() > 120 > 50 > depth[~inside].mean()
        assert normals[inside].mean(axis=0) == pytest.approx([128, 128, 255], abs=25)
        assert np.abs(seen - made.scene.frames.images[index]).mean() < 12
        assert (turned > 60).any(axis=2).mean() > 0.05, "the dancer is there"
    assert np.abs(frames[0].astype(int) - frames[6]).mean() > 3, "and moves"


def test_a_wide_clip_makes_two_rows_and_uneven_times_keep_their_pace(made: Made, tmp_path: Path) -> None:
    rig, surface = read_rig(made.folder.rig), storage.read_surface(made.folder.surface)
    late = replace(rig, times_s=np.concatenate((rig.times_s[:6], rig.times_s[6:] + 1.0)))
    wide = replace(late, camera=Camera.centred(300.0, 240, 180))
    frames = open_video(made.video, FramesConfig()).resized(240, 180)
    empty = RunFolder(tmp_path)
    strips = write_preview(tmp_path / "preview.mp4", empty, frames, surface, wide, Silent())
    assert len(strips) == STRIPS
    shown = list(decoded(tmp_path / "preview.mp4"))
    assert shown[0].shape == (360, 480, 3)
    same = [np.abs(a.astype(int) - b).mean() < 1.0 for a, b in pairwise(shown)]
    assert sum(same) >= 4, "the gap of a second is waited through"
    assert not list(tmp_path.glob("*.part"))


def test_panels_of_a_frame_without_depth(made: Made) -> None:
    size = PanelSize.within(180, 240, 120)
    panels = Panels(made.folder, PanelSize(180, 240), size)
    assert (panels.depth(99) == GROUND).all() and (panels.normals(99) == GROUND).all()
    frame = next(iter(made.scene.frames))
    pictures = panels.of(replace(frame, index=99))
    assert [picture.shape for picture in pictures] == [(120, 90, 3)] * 3 and pictures[0].max() > 150
    assert PanelSize.within(1920, 1080, 640) == PanelSize(640, 360)
    assert PanelSize.within(100, 51, 640) == PanelSize(100, 52)


def test_three_js_comes_with_its_loader_and_without_the_viewer() -> None:
    script = three_js()
    assert "three.js" in script.lower() and "GLTFLoader" in script and "AnimationMixer" in script
    assert "init();" not in script[-200:] and "</script" not in script


def test_the_page_says_what_the_run_says(made: Made) -> None:
    page = made.folder.report.read_text()
    assert "clip &lt;1&gt;.mp4" in page and "<1>" not in page
    assert "the feet are &lt;cut off&gt; in 40%" in page
    assert "1.2 s" in page and "smoothing_hz" in page and "1.70 m" in page
    assert page.count("data:image/jpeg") == STRIPS
    assert "{{" not in page.split("<script", 1)[0]
    assert "http://" not in page.split("<script", 1)[0] and "https://" not in page.split("<script", 1)[0]


def test_a_run_without_warnings_has_no_empty_list(made: Made, tmp_path: Path) -> None:
    strips = [Strip(0.0, [np.zeros((240, 180, 3), np.uint8)] * 4)]
    write_report(tmp_path / "report.html", replace(made.manifest, warnings=()), made.folder.dancer_glb, strips)
    assert "What hurts" not in (tmp_path / "report.html").read_text()


def look_at(report: Path, out: Path) -> dict:
    """What a browser without network says of the report; its pictures are in the folder."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if shutil.which("node") is None or chromium is None:
        pytest.skip("no node or no Chromium: the report cannot be opened")
    if not (BROWSER / "node_modules" / "playwright-core").is_dir():
        pytest.skip("no playwright-core: run `npm ci` in tests/browser")
    command = ["node", str(BROWSER / "look_at_report.mjs"), str(report), str(out), chromium]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    seen: dict = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def looked(made: Made, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """What a browser says of the report, and the folder of its pictures."""
    out = tmp_path_factory.mktemp("looked")
    return look_at(made.folder.report, out), out


def picture(looked: tuple[dict, Path], name: str) -> np.ndarray:
    return np.asarray(Image.open(looked[1] / f"{name}.png").convert("RGB")).astype(int)


def test_the_browser_has_no_complaint_and_asks_nobody(looked: tuple[dict, Path]) -> None:
    seen = looked[0]
    assert seen["failed"] is None
    assert seen["errors"] == [] and seen["outside"] == []


def test_the_dancer_is_seen_and_moves(looked: tuple[dict, Path]) -> None:
    start = picture(looked, "start")
    changes = {name: np.abs(picture(looked, name) - start).max(axis=2) > 30 for name in looked[0]["times"]}
    ground = np.median(start.reshape(-1, 3), axis=0)
    there = np.abs(start - ground).max(axis=2) > 60
    assert 0.01 < there.mean() < 0.5, "the canvas is not blank"
    assert looked[0]["times"]["start"] == 0 and looked[0]["times"]["played"] > 0.2
    assert changes["played"].mean() > 0.005, "play moves the dancer"
    assert changes["orbited"].mean() > 0.01 and changes["clip"].mean() > 0.01


def test_the_views_show_normals_and_what_was_seen(looked: tuple[dict, Path]) -> None:
    normals, observed = picture(looked, "normals"), picture(looked, "observed")
    assert ((normals[..., 2] > 180) & (normals[..., 2] > normals[..., 0] + 40)).mean() > 0.002, "blue faces the viewer"
    red = (observed[..., 0] > observed[..., 1] + 60) & (observed[..., 0] > 90)
    grey = (np.ptp(observed, axis=2) < 12) & (observed.min(axis=2) > 110)
    assert red.mean() > 0.002 and grey.mean() > 0.002, "the right half is filled, the left was seen"


def test_the_browser_shows_a_normal_map_as_the_surface_means_it(made: Made, body: BodyModel, tmp_path: Path) -> None:
    """One that tilts all normals of a dancer who faces the viewer to the right and up."""
    still_scene = dancer(body, FRAMES, still({}), Camera.centred(300.0, 180, 240))
    surface, rig = tilted(light_surface(still_scene), (0.45, 0.45, 0.77)), rig_of(still_scene, body)
    write_dancer_glb(tmp_path / "dancer.glb", surface, rig)
    strips = [Strip(0.0, [np.zeros((240, 180, 3), np.uint8)] * 4)]
    shutil.copy(made.folder.preview, tmp_path / "preview.mp4")
    write_report(tmp_path / "report.html", made.manifest, tmp_path / "dancer.glb", strips)
    seen = look_at(tmp_path / "report.html", tmp_path)
    assert seen["errors"] == [] and seen["failed"] is None
    normals, clay = picture((seen, tmp_path), "normals"), picture((seen, tmp_path), "clay")
    where = normals[..., 2] > 150
    red, green, _ = normals[where].mean(axis=0)
    assert where.mean() > 0.01 and red > 145 and green > 145, "both are 128 on average without the map"
    assert np.ptp(clay[where], axis=1).mean() < 25, "clay has no colour"
