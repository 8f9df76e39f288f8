"""Which videos a batch finds, and what their run folders are called."""

import os
from pathlib import Path

import pytest
from dancedepth.pipeline.batch_videos import find_videos
from dancedepth.pipeline.errors import UsageError, VideoError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos and a song, two levels deep, beside an earlier run and its preview."""
    root = tmp_path / "videos"
    for name in ("a.mp4", "B.MOV", "song.mp3", "deep/er/c.webm", "deep/.hidden.mp4", "run/run.json", "run/preview.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


def names(*sources: object, out: Path = Path("out")) -> list[str]:
    return [video.name for video in find_videos([str(source) for source in sources], out)]


def test_a_folder_is_searched_to_the_bottom(folder: Path) -> None:
    assert names(folder) == ["B.MOV", "a.mp4", "deep/er/c.webm"]


def test_names_do_not_depend_on_where_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert names("videos") == names(folder) == names("videos/../videos/") == names(folder / "**", out=folder / "o")
    monkeypatch.chdir(folder)
    assert names(".") == names(folder)


def test_results_inside_the_folder_are_no_videos(folder: Path) -> None:
    out = folder / "out"
    (out / "a.mp4").mkdir(parents=True)
    (out / "a.mp4" / "preview.mp4").touch()
    assert names(folder, out=out) == ["B.MOV", "a.mp4", "deep/er/c.webm"]
    assert "out/a.mp4/preview.mp4" not in names(folder / "**", out=out)


def test_globs(folder: Path) -> None:
    assert names(folder / "*.mp4") == ["a.mp4"]
    assert names(folder / "**" / "*.webm") == ["deep/er/c.webm"]
    assert names(folder / "*.mp3") == ["song.mp3"], "a suffix that is named is taken at its word"
    assert names(folder / "d*") == ["deep/er/c.webm"]


def test_a_list(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.mp4"
    elsewhere.touch()
    listing = folder / "list.txt"
    listing.write_bytes(f"# mine\n\na.mp4\n  deep/er/c.webm  \n{elsewhere}\n../elsewhere.mp4\nmissing.mp4\n".encode())
    found = names(listing)
    assert found == sorted([str(elsewhere)[1:], "a.mp4", "deep/er/c.webm", "missing.mp4"])
    assert not any(name.startswith(("/", "..")) for name in found)


def test_single_files_are_named_below_the_folder_that_holds_them_all(folder: Path) -> None:
    assert names(folder / "a.mp4") == ["a.mp4"]
    assert names(folder / "a.mp4", folder / "deep" / "er" / "c.webm") == ["a.mp4", "deep/er/c.webm"]
    assert names(folder / "song.mp3") == ["song.mp3"], "a file that is named may be called anything"


def test_the_same_video_twice_is_one(folder: Path) -> None:
    assert names(folder, folder / "*.mp4") == names(folder)


def test_two_videos_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.mp4").touch()
    with pytest.raises(UsageError, match=r"share the run folder a\.mp4"):
        names(folder, other)


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    hostile = ["-o.mp4", "a\nb.mp4", "[red]x[bold].mp4", "%s;rm -rf.mp4", " .mp4", "é\u202e.mp4", "*.mp4"]
    for name in hostile:
        (tmp_path / name).touch()
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\xfe.mp4", os.O_CREAT))
    assert sorted(names(tmp_path)) == sorted([*hostile, os.fsdecode(b"\xff\xfe.mp4")])
    assert names(tmp_path / "*.mp4") == ["*.mp4"], "a file of that name comes before a pattern"


def test_links_to_folders_are_not_followed(folder: Path) -> None:
    (folder / "deep" / "circle").symlink_to(folder)
    (folder / "linked.mp4").symlink_to(folder / "a.mp4")
    assert names(folder) == ["B.MOV", "a.mp4", "deep/er/c.webm", "linked.mp4"]


def test_nothing_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        names(tmp_path / "nowhere")
    for empty in (folder / "*.avi", folder / "run"):
        with pytest.raises(VideoError, match="no video here"):
            names(empty)
