"""Stages of a run, with toy stages in place of the real ones."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dancedepth.pipeline.config import BodyMotionConfig, FramesConfig, RunConfig
from dancedepth.pipeline.errors import RunFolderError, StorageError
from dancedepth.pipeline.manifest import (
    InputRecord,
    Manifest,
    ProgramRecord,
    read_manifest,
    write_manifest,
)
from dancedepth.pipeline.peak_memory import PeakMemory
from dancedepth.pipeline.records import Observer, Silent
from dancedepth.pipeline.stages import Run, differences, open_run
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.workspace import STAGE_OUTPUTS

FRAMES = 3
FRESH = Manifest(
    InputRecord("dance.mp4", "ab" * 32, 1000, 640, 480, 23.976023976, 0, 3.1, "h264"),
    RunConfig(frames=FramesConfig(fps=23.976023976)),
    ProgramRecord("dancedepth", "0", "0"),
)


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def stage_started(self, name: str, total: int | None) -> None:
        self.heard.append(("started", name, total))

    def advanced(self, count: int = 1) -> None:
        self.heard.append(("advanced", count))

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        self.heard.append(("finished", name, reused))


def toy(run: Run, name: str, fail: Exception | None = None, die: bool = False) -> int:
    """A stage that writes what the real one does, and fails or dies in the middle of it."""

    def make(observer: Observer) -> int:
        observer.stage_started("its own name", FRAMES)
        for index in range(FRAMES):
            for output in STAGE_OUTPUTS[name]:
                path = run.folder.root / output
                if index == 1 and die:
                    write_bytes(run.folder.root / "masks" / "000000.png.part", b"half")
                    signal.raise_signal(signal.SIGKILL)
                if index == 1 and fail:
                    raise fail
                write_bytes(path / f"{index:06d}.png" if output.endswith("/") else path, name.encode())
            observer.advanced()
        observer.stage_finished("its own name", 0.0, False)
        return FRAMES

    return run.stage(name, make=make, load=lambda: FRAMES, count=lambda count: count)


def all_stages(out: Path, fresh: Manifest = FRESH, die_in: str = "", **options: Any) -> Run:
    """Every stage in turn; reused ones as a tuple in `run.reused`."""
    with open_run(out, fresh, options.pop("observer", Silent()), PeakMemory(), **options) as run:
        for name in STAGE_OUTPUTS:
            toy(run, name, die=name == die_in)
        return run


def files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


IMAGES = ("masks", "depth", "normals", "confidence", "points")
KILLER = """
import json, os, sys
from pathlib import Path
from tests.pipeline.test_stages import STAGE_OUTPUTS, all_stages, files
for stage in STAGE_OUTPUTS:
    out = Path(sys.argv[1]) / stage
    child = os.fork()
    if child == 0:
        all_stages(out, die_in=stage)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    left = sorted(files(out))
    print(json.dumps([stage, os.waitstatus_to_exitcode(status), left, all_stages(out).reused]))
"""


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are those of a clock that nobody sets; a run folder from the future is resumed all the same."""
    times = iter([1e9, 0.0, -1e9, 1e12] * 1000)
    monkeypatch.setattr(time, "time", lambda: next(times))
    all_stages(tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        os.utime(path, (4e9, 4e9))
    run = all_stages(tmp_path / "out")
    assert run.reused == tuple(STAGE_OUTPUTS)
    assert all(0 <= stage.seconds < 100 for stage in run.manifest.stages)


def test_what_goes_on_is_what_the_file_holds(tmp_path: Path) -> None:
    """So that a run that is resumed after the stage comes to the same end."""
    with open_run(tmp_path / "out", FRESH, Silent(), PeakMemory()) as run:
        path = run.folder.tracks
        result = run.stage(
            "tracks",
            make=lambda told: 1 / 3,
            save=lambda value: write_bytes(path, f"{value:.3f}".encode()),
            load=lambda: float(path.read_text()),
            count=lambda _: FRAMES,
        )
    assert result == 0.333


def test_killed_in_any_stage_it_goes_on_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLER, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    stories = [json.loads(line) for line in done.stdout.splitlines()]
    assert [story[0] for story in stories] == list(STAGE_OUTPUTS)
    images = {f"{kind}/{index:06d}.png" for kind in IMAGES for index in range(FRAMES)}
    single = {"run.json", "tracks.json", "motion.npz", "adapted.safetensors", "surface.npz", "mesh.ply", "mesh.glb"}
    single |= {"rig.npz", "dancer.glb", "preview.mp4", "report.html"}
    for number, (stage, code, left, reused) in enumerate(stories):
        assert code == -signal.SIGKILL
        assert "masks/000000.png.part" in left, "it died in the middle of a file"
        assert reused == list(STAGE_OUTPUTS)[:number]
        assert files(tmp_path / stage) == images | single


def test_what_nothing_rests_on_is_made_again_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    all_stages(out)
    for path in (out / "points").iterdir():
        path.unlink()
    assert all_stages(out).reused == tuple(name for name in STAGE_OUTPUTS if name != "points")


def test_a_stage_is_told_about_once(tmp_path: Path) -> None:
    listener = Listener()
    all_stages(tmp_path / "out", observer=listener)
    tracks = [("started", "tracks", None), ("started", "tracks", FRAMES), *[("advanced", 1)] * FRAMES]
    assert listener.heard[: 3 + FRAMES] == [*tracks, ("finished", "tracks", False)]
    again = Listener()
    all_stages(tmp_path / "out", observer=again)
    assert again.heard == [("finished", name, True) for name in STAGE_OUTPUTS]


def test_a_failure_leaves_finished_stages_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(StorageError), open_run(out, FRESH, Silent(), PeakMemory()) as run:
        toy(run, "tracks")
        toy(run, "mattes", fail=StorageError("the disk is full"))
    assert files(out) == {"run.json", "tracks.json"}
    assert [stage.name for stage in read_manifest(out / "run.json").stages] == ["tracks"]


def test_a_failure_in_the_first_stage_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(StorageError), open_run(out, FRESH, Silent(), PeakMemory()) as run:
        toy(run, "tracks", fail=StorageError("no"))
    assert not out.exists()


def test_what_is_lost_is_made_again_and_so_is_what_rests_on_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    all_stages(out)
    (out / "masks" / "000001.png").unlink()
    run = all_stages(out)
    assert run.reused == ("tracks",)
    assert [stage.name for stage in run.manifest.stages] == list(STAGE_OUTPUTS)


def test_other_settings_are_named_and_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    all_stages(out)
    other = replace(FRESH, config=replace(FRESH.config, body_motion=BodyMotionConfig(height_m=1.6)))
    with pytest.raises(RunFolderError, match=r"body_motion\.height_m: None there, 1\.6 here"):
        all_stages(out, other)
    assert all_stages(out).reused == tuple(STAGE_OUTPUTS), "the refusal changed nothing"
    assert all_stages(out, other, overwrite=True).reused == ()


def test_the_same_video_elsewhere_is_the_same(tmp_path: Path) -> None:
    all_stages(tmp_path / "out")
    moved = replace(FRESH, input=replace(FRESH.input, path="elsewhere/dance.mp4"))
    assert all_stages(tmp_path / "out", moved).reused == tuple(STAGE_OUTPUTS)
    other = replace(FRESH, input=replace(FRESH.input, sha256="cd" * 32))
    with pytest.raises(RunFolderError, match="another video"):
        all_stages(tmp_path / "out", other)


def test_settings_are_free_until_a_stage_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_manifest(out / "run.json", FRESH)  # as a kill in the first stage leaves it
    all_stages(out, replace(FRESH, config=RunConfig()))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema_version": 99}', '{"schema_version": 1, "input": {}}'])
def test_a_foreign_manifest_is_refused_and_can_be_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises((RunFolderError, StorageError), match=r"run\.json.*--overwrite"):
        all_stages(tmp_path)
    assert (tmp_path / "run.json").read_text() == text
    assert all_stages(tmp_path, overwrite=True).reused == ()


def test_the_manifest_survives_its_file(tmp_path: Path) -> None:
    run = all_stages(tmp_path / "out")
    read = read_manifest(tmp_path / "out" / "run.json")
    assert read.stages == tuple(replace(stage, seconds=round(stage.seconds, 6)) for stage in run.manifest.stages)
    assert not differences(read.config.to_json(), FRESH.config.to_json())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["config"]["tracks"]["pose_model"] == "yolo11n-pose"
