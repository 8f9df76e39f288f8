"""The run folder: where each file of a run lies, whose it is, and which stages of it are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from dancedepth.pipeline.errors import RunFolderError, StorageError
from dancedepth.pipeline.folder_lock import LOCK_NAME, folder_lock
from dancedepth.pipeline.image_store import ImageStore

STAGE_OUTPUTS = {
    "tracks": ("tracks.json",),
    "mattes": ("masks/",),
    "body_motion": ("motion.npz",),
    "depths": ("depth/", "normals/", "confidence/", "adapted.safetensors"),
    "points": ("points/",),
    "fusion": ("surface.npz", "mesh.ply", "mesh.glb"),
    "rig": ("rig.npz", "dancer.glb"),
    "report": ("preview.mp4", "report.html"),
}
"""What each stage leaves behind, in the order of the stages; names that end in / are folders of one file a frame."""
LAST_STAGE = "report"
"""Runs of `dancedepth depth` and of older versions end before it, and have more to do."""
LEAVES = ("points",)
"""Stages that nothing rests on: they can be made again without those that follow."""
OPTIONAL_OUTPUTS = ("confidence/", "adapted.safetensors")
"""What a stage makes in some of its configurations only."""
OTHER_OUTPUTS = ("run.json",)
"""Files of the run folder's contract that belong to the run as a whole."""
FRAME_NAME = "[0-9]" * 6 + ".p[nl][gy]"
"""Names of the files in those folders: images as PNG, point clouds as PLY."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of the run folder's contract."""

    root: Path
    images: ImageStore | None = field(default=None, compare=False, repr=False)
    """Its images, as far as this process has seen them, where they are quicker to have than from their files."""

    def mask(self, index: int) -> Path:
        """The dancer's matte in a frame."""
        return self.root / "masks" / f"{index:06d}.png"

    def depth(self, index: int) -> Path:
        """A frame's depth."""
        return self.root / "depth" / f"{index:06d}.png"

    def normals(self, index: int) -> Path:
        """A frame's normals."""
        return self.root / "normals" / f"{index:06d}.png"

    def confidence(self, index: int) -> Path:
        """How sure the depth networks are in a frame."""
        return self.root / "confidence" / f"{index:06d}.png"

    def points(self, index: int) -> Path:
        """A frame's depth as a point cloud."""
        return self.root / "points" / f"{index:06d}.ply"

    @property
    def manifest(self) -> Path:
        """What was run, on what, and how it went."""
        return self.root / "run.json"

    @property
    def tracks(self) -> Path:
        """Everybody in the clip."""
        return self.root / "tracks.json"

    @property
    def motion(self) -> Path:
        """The fitted body."""
        return self.root / "motion.npz"

    @property
    def adapted(self) -> Path:
        """The depth networks after they learned from the clip itself."""
        return self.root / "adapted.safetensors"

    @property
    def surface(self) -> Path:
        """The canonical surface with its skinning weights."""
        return self.root / "surface.npz"

    @property
    def mesh_ply(self) -> Path:
        """The canonical surface for anyone."""
        return self.root / "mesh.ply"

    @property
    def mesh_glb(self) -> Path:
        """The canonical surface for viewers."""
        return self.root / "mesh.glb"

    @property
    def rig(self) -> Path:
        """The skeleton and its motion in the world."""
        return self.root / "rig.npz"

    @property
    def dancer_glb(self) -> Path:
        """The surface, skinned and animated."""
        return self.root / "dancer.glb"

    @property
    def preview(self) -> Path:
        """Input, depth, normals and the moving surface, as a video."""
        return self.root / "preview.mp4"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.root / "report.html"

    def outputs(self, stage: str) -> list[Path]:
        """The files that a stage has left here so far."""
        found: list[Path] = []
        for name in STAGE_OUTPUTS[stage]:
            path = self.root / name
            found += sorted(path.glob(FRAME_NAME)) if name.endswith("/") else [path] * path.is_file()
        return found

    @staticmethod
    def knows(name: str) -> bool:
        """Whether a file of this name, relative to a run folder, is one of the contract's."""
        folder, slash, file = name.rpartition("/")
        names = [*OTHER_OUTPUTS, *(output for outputs in STAGE_OUTPUTS.values() for output in outputs)]
        return name in names if not slash else f"{folder}/" in names and fnmatchcase(file, FRAME_NAME)

    def holds(self, stage: str, frames: int | None) -> bool:
        """Whether a stage's files are all here: one file for each of its `frames` in every folder."""
        for name in STAGE_OUTPUTS[stage]:
            path = self.root / name
            if name in OPTIONAL_OUTPUTS and not path.exists():
                continue
            if name.endswith("/"):
                if len(list(path.glob(FRAME_NAME))) != frames:
                    return False
            elif not path.is_file():
                return False
        return True

    def image_indices(self, kind: str) -> tuple[int, ...]:
        """Frames that have an image in the folder `kind`."""
        return tuple(int(path.stem) for path in sorted((self.root / kind).glob(FRAME_NAME)))

    def remove_stage(self, stage: str) -> None:
        """Remove a stage's files, and its folders where nobody else's file is in them."""
        self._remove(self.outputs(stage), STAGE_OUTPUTS[stage])

    def remove_run(self) -> None:
        """Remove every file of the contract; other files stay."""
        for stage in STAGE_OUTPUTS:
            self.remove_stage(stage)
        self._remove([self.root / name for name in OTHER_OUTPUTS], ())

    def remove_parts(self) -> None:
        """Remove half-written files of the contract, which a run that was cut off left behind."""
        names = [*OTHER_OUTPUTS, *(name for names in STAGE_OUTPUTS.values() for name in names)]
        parts = [self.root / f"{name}.part" for name in names if not name.endswith("/")]
        for name in names:
            parts += list((self.root / name).glob(f"{FRAME_NAME}.part")) if name.endswith("/") else []
        self._remove(parts, ())

    def _remove(self, files: list[Path], folders: tuple[str, ...]) -> None:
        try:
            for file in files:
                file.unlink(missing_ok=True)
            for name in folders:
                folder = self.root / name
                if name.endswith("/") and folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        except OSError as error:
            what = f"a file of an earlier run cannot be removed ({error.strerror})"
            raise StorageError(what, error.filename or str(self.root), "Choose another --out") from error


@contextmanager
def claimed(root: Path) -> Iterator[RunFolder]:
    """The run folder, made if need be and held by this process alone; whatever happens, nothing half-written stays.

    Raises:
        RunFolderError: it is a file, or a folder with files but no run.
        RunInUseError: another process writes it.
        StorageError: it cannot be made or written.
    """
    folder = RunFolder(root)
    _require_run_or_empty(folder)
    is_new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the output folder cannot be made ({error.strerror})"
        raise StorageError(what, str(root), "Choose another --out") from error
    try:
        with folder_lock(root):
            _require_run_or_empty(folder)
            folder.remove_parts()
            try:
                yield folder
            finally:
                folder.remove_parts()
    finally:
        if is_new and not any(root.iterdir()):
            root.rmdir()


def _require_run_or_empty(folder: RunFolder) -> None:
    root = folder.root
    if root.exists() and not root.is_dir():
        raise RunFolderError("this is a file, not a folder", str(root), "Choose another --out")
    if not root.exists() or folder.manifest.is_file():
        return
    try:
        others = [path.name for path in root.iterdir() if path.name not in (LOCK_NAME, "run.json.part")]
    except OSError as error:
        raise StorageError(
            f"the folder cannot be read ({error.strerror})", str(root), "Choose another --out"
        ) from error
    if others:
        what = f"the folder is not empty and holds no run ({others[0]} is in it)"
        raise RunFolderError(what, str(root), "Choose a new or empty folder as --out")
