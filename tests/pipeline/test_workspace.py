import subprocess
import sys
from pathlib import Path

import pytest
from dancedepth.pipeline.errors import RunFolderError, RunInUseError, StorageError
from dancedepth.pipeline.folder_lock import LOCK_NAME, folder_lock
from dancedepth.pipeline.workspace import RunFolder, claimed

HOLDER = """
import sys, time
from pathlib import Path
from dancedepth.pipeline.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    held, expected = claimed(tmp_path / "out"), pytest.raises(RunInUseError, match="is writing this run folder")
    with held, expected, claimed(tmp_path / "out"):
        pass


def test_the_lock_of_a_killed_process_is_void(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(RunInUseError, match=f"process {process.pid} is writing"), folder_lock(tmp_path):
            pass
        process.kill()
        process.wait()
    assert (tmp_path / LOCK_NAME).exists(), "it could not tidy up"
    with folder_lock(tmp_path):
        pass
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_new_empty_folder_goes_again(tmp_path: Path) -> None:
    with pytest.raises(StorageError), claimed(tmp_path / "a" / "out"):
        raise StorageError("it failed")
    assert not (tmp_path / "a" / "out").exists()


def test_an_empty_folder_of_the_users_stays(tmp_path: Path) -> None:
    with claimed(tmp_path):
        pass
    assert tmp_path.is_dir() and names(tmp_path) == set()


def test_half_written_files_go_at_the_start_and_the_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    touch(folder.manifest)
    parts = [tmp_path / "mesh.glb.part", tmp_path / "depth" / "000001.png.part", tmp_path / "run.json.part"]
    touch(*parts, tmp_path / "mine.part")
    with claimed(tmp_path):
        assert names(tmp_path) == {"run.json", "mine.part", LOCK_NAME}
        touch(*parts)
    assert names(tmp_path) == {"run.json", "mine.part"}


def test_a_run_killed_before_its_first_file_is_no_obstacle(tmp_path: Path) -> None:
    touch(tmp_path / "run.json.part", tmp_path / LOCK_NAME)
    with claimed(tmp_path):
        pass


def test_only_the_runs_own_files_are_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    touch(folder.manifest, folder.tracks, folder.motion, folder.mesh_ply, folder.mask(0), folder.depth(3))
    touch(tmp_path / "notes.txt", tmp_path / "depth" / "mine.png", tmp_path / "depth" / "1.png")
    folder.remove_run()
    assert names(tmp_path) == {"notes.txt", "depth/mine.png", "depth/1.png"}
    assert not (tmp_path / "masks").exists()


def test_a_stage_with_a_missing_image_is_not_done(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    touch(*(folder.depth(index) for index in (0, 2)), *(folder.normals(index) for index in (0, 2)))
    assert folder.holds("depths", 2) and folder.image_indices("depth") == (0, 2)
    folder.normals(2).unlink()
    assert not folder.holds("depths", 2)
    assert not folder.holds("fusion", 2)


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "holiday.jpg")
    with pytest.raises(RunFolderError, match=r"holiday\.jpg"), claimed(tmp_path):
        pass
    assert names(tmp_path) == {"holiday.jpg"}
