"""A run that is stopped - by Ctrl-C, by kill -9 - goes on where it was; real processes, a real clip."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import trimesh

from tests.cli.conftest import Command, Said, ffmpeg, files_under

PATIENCE_S = 240
QUICK = ["--fps", "6", "--voxel-mm", "12"]
"""Few frames, coarse surface."""
START = [sys.executable, "-c", "import sys; from dancedepth.cli.main import run; sys.exit(run())"]


def reconstruct_until(
    video: Path, out: Path, reached: Callable[[psutil.Process], bool], number: int
) -> tuple[Said, list[psutil.Process]]:
    """Start `dancedepth reconstruct`, send it a signal at a point, and return its end and its former children."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [*START, "reconstruct", str(video), "-o", str(out), *QUICK]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        itself = psutil.Process(process.pid)
        while process.poll() is None and not reached(itself) and time.monotonic() < deadline:
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(number)
        try:
            output, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    return Said(process.returncode, output, errors), children


def is_decoding(process: psutil.Process) -> bool:
    try:
        return any("showinfo" in " ".join(child.cmdline()) for child in process.children())
    except psutil.Error:  # it ended meanwhile
        return False


def stages_of(out: Path) -> list[str]:
    manifest = out / "run.json"
    return [stage["name"] for stage in json.loads(manifest.read_text())["stages"]] if manifest.exists() else []


@dataclass(frozen=True)
class Story:
    """One run folder: interrupted, killed, and what was seen in between."""

    out: Path
    video: Path
    children: list[psutil.Process]
    after_first_stage: set[str] | None
    """Files when the first stage was interrupted; None: not even a folder."""
    interrupted: Said
    after_interrupt: set[str]
    stages_after_interrupt: list[str]
    killed: Said
    stages_after_kill: list[str]
    tracks_written_ns: int


@pytest.fixture(scope="module")
def story(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Ctrl-C while it decodes and while it cuts out, kill -9 while it fuses."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    _, children = reconstruct_until(clip, out, is_decoding, signal.SIGINT)
    left = files_under(out) if out.exists() else None
    interrupted, _ = reconstruct_until(clip, out, lambda _: len(list(out.glob("masks/*.png"))) >= 2, signal.SIGINT)
    after, stages = files_under(out), stages_of(out)
    written = (out / "tracks.json").stat().st_mtime_ns
    killed, _ = reconstruct_until(clip, out, lambda _: "depths" in stages_of(out), signal.SIGKILL)
    yield Story(out, clip, children, left, interrupted, after, stages, killed, stages_of(out), written)


@pytest.fixture(scope="module")
def finished(story: Story) -> Said:
    """The same command a third time, with a half-written file and one of a stage that never finished in its way."""
    (story.out / "mesh.ply.part").write_bytes(b"half a me")
    (story.out / "masks" / "000003.png.part").write_bytes(b"half a matte")
    done = subprocess.run(
        [*START, "reconstruct", str(story.video), "-o", str(story.out), *QUICK, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_ctrl_c_says_so_in_one_line(story: Story) -> None:
    story.interrupted.assert_one_line(130, "interrupted", "goes on")


def test_ctrl_c_leaves_finished_stages_only(story: Story) -> None:
    assert story.stages_after_interrupt == ["tracks"]
    assert story.after_interrupt == {"run.json", "tracks.json"}


def test_ctrl_c_ends_the_children(story: Story) -> None:
    assert story.children, "ffmpeg was decoding"
    assert story.after_first_stage is None
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in story.children)


def test_kill_hits_in_the_middle(story: Story) -> None:
    assert story.killed.code == -signal.SIGKILL
    assert story.stages_after_kill == ["tracks", "mattes", "body_motion", "depths"]


def test_finished_stages_are_not_repeated(story: Story, finished: Said) -> None:
    assert finished.code == 0, finished
    stages = json.loads(finished.out)["stages"]
    assert [stage["name"] for stage in stages if stage["reused"]] == ["tracks", "mattes", "body_motion", "depths"]
    assert [stage["name"] for stage in stages if not stage["reused"]] == ["fusion", "rig", "report"]
    assert (story.out / "tracks.json").stat().st_mtime_ns == story.tracks_written_ns


def test_json_is_all_that_is_said(finished: Said) -> None:
    assert finished.err == ""
    said = json.loads(finished.out)
    assert said["frames_used"] == said["frames_total"] == 6
    assert said["quality"]["reprojection_error_px"] < 5
    assert all(Path(path).exists() for path in said["files"].values())


def test_the_folder_is_whole(story: Story, finished: Said) -> None:
    assert finished.code == 0
    images = {f"{kind}/{index:06d}.png" for kind in ("masks", "depth", "normals", "confidence") for index in range(6)}
    single = {"run.json", "tracks.json", "motion.npz", "surface.npz", "mesh.ply", "mesh.glb"}
    single |= {"rig.npz", "dancer.glb", "preview.mp4", "report.html"}
    assert files_under(story.out) == images | single


def test_the_manifest_keeps_the_contract(story: Story, finished: Said) -> None:
    assert finished.code == 0
    manifest = json.loads((story.out / "run.json").read_text())
    assert manifest["finished"] and manifest["schema_version"] == 1
    assert manifest["camera"]["focal_px"] == pytest.approx(0.85 * 426)
    assert "assumed" in manifest["camera"]["source"]
    assert manifest["scale"]["source"] == "the body prior's height"
    assert (manifest["input"]["width"], manifest["input"]["height"], manifest["input"]["fps"]) == (240, 426, 12)
    assert [frame["index"] for frame in manifest["frames"]] == list(range(6))
    assert all(frame["used"] and frame["why_not"] is None for frame in manifest["frames"])
    assert {weights["stage"] for weights in manifest["weights"]} == {"tracks", "mattes", "body_motion", "depths"}
    assert 200 < manifest["peak_memory_mb"] < 3000
    mesh = trimesh.load(story.out / "mesh.glb", force="mesh")
    assert 1.2 < mesh.extents.max() < 2.2


def test_a_finished_run_is_told_again(story: Story, finished: Said, command: Command) -> None:
    assert finished.code == 0
    before = {path: path.stat().st_mtime_ns for path in story.out.rglob("*.*") if path.name != "run.json"}
    said = command("reconstruct", story.video, "-o", story.out, *QUICK)
    assert said.code == 0 and said.err == ""
    assert said.out.count("done before") == 7
    assert "6 of 6" in said.out and "dancer.glb" in said.out and "px" in said.out
    assert "\x1b" not in said.out
    assert before == {path: path.stat().st_mtime_ns for path in story.out.rglob("*.*") if path.name != "run.json"}


def test_its_run_json_is_enough_to_make_the_same_files(story: Story, finished: Said, tmp_path: Path) -> None:
    """Cut off twice or not at all, in another folder: byte for byte. Only seconds and memory are others."""
    assert finished.code == 0
    again = [*START, "reconstruct", "--config", str(story.out / "run.json"), "-o", str(tmp_path / "again")]
    subprocess.run(again, check=True, capture_output=True, timeout=PATIENCE_S)
    timed = {"run.json", "report.html"}
    assert files_under(tmp_path / "again") == files_under(story.out)
    for name in sorted(files_under(story.out) - timed):
        assert (tmp_path / "again" / name).read_bytes() == (story.out / name).read_bytes(), name
    one, other = (json.loads((run / "run.json").read_text()) for run in (story.out, tmp_path / "again"))
    for values in (one, other):
        values.pop("peak_memory_mb")
        values["stages"] = [stage["name"] for stage in values["stages"]]
    assert one == other


def test_another_setting_is_refused(story: Story, finished: Said, command: Command) -> None:
    said = command("reconstruct", story.video, "-o", story.out, *QUICK, "--height", "1.6")
    said.assert_one_line(2, "body_motion.height_m", "--overwrite")


def test_another_video_is_refused(story: Story, finished: Said, command: Command, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    ffmpeg("-i", story.video, "-vf", "hflip", other)
    command("reconstruct", other, "-o", story.out, *QUICK).assert_one_line(2, "another video", "--overwrite")
    assert (story.out / "mesh.ply").exists()


def test_overwrite_takes_only_the_runs_own_files(
    story: Story, finished: Said, command: Command, tmp_path: Path
) -> None:
    """The new run fails, so that nothing of either remains but what the user put there."""
    (story.out / "notes.txt").write_text("mine")
    (story.out / "depth" / "sketch.png").write_text("mine too")
    nobody = tmp_path / "room.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=240x426:r=12:d=0.5", "-pix_fmt", "yuv420p", nobody)
    command("reconstruct", nobody, "-o", story.out, *QUICK, "--overwrite").assert_one_line(1, "nobody")
    assert files_under(story.out) == {"notes.txt", "depth/sketch.png"}
