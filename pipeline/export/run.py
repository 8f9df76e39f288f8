"""A finished run in the formats of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dancedepth.pipeline import storage
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.export.bvh import write_bvh
from dancedepth.pipeline.export.glb import write_dancer_glb
from dancedepth.pipeline.export.meshes import write_mesh
from dancedepth.pipeline.export.usd import write_usdz
from dancedepth.pipeline.records import Observer, Rig, Surface
from dancedepth.pipeline.rig import posed_surface, rest_surface
from dancedepth.pipeline.rig_file import read_rig
from dancedepth.pipeline.workspace import RunFolder

Format = Literal["ply", "obj", "glb", "usdz", "bvh"]
FRAME_FORMATS = ("ply", "obj", "glb", "usdz")
"""Formats that can hold one pose."""


@dataclass(frozen=True)
class ExportConfig:
    """What is wanted of a run."""

    to: Format
    """`ply`, `obj`: the surface at rest; `glb`, `usdz`: skinned and animated; `bvh`: the skeleton's motion."""
    frame: int | None = None
    """The surface in the pose of this frame of the run, counted from 0; None: see `to`."""
    sequence: bool = False
    """One posed surface for every frame."""

    def __post_init__(self) -> None:
        if self.to not in get_args(Format):
            known = ", ".join(get_args(Format))
            raise UsageError(f"there is no format named {self.to!r}", "--to", f"There are {known}.")
        if self.frame is not None and self.sequence:
            raise UsageError("give one of the two", "--frame, --sequence")
        if (self.frame is not None or self.sequence) and self.to not in FRAME_FORMATS:
            raise UsageError(
                "a BVH file holds the whole motion, not one pose", "--to bvh", "Leave the other option out."
            )


def export_run(run: Path, config: ExportConfig, out: Path | None, observer: Observer) -> Path:
    """Write what is wanted and return where it is: a file, or for a sequence the folder of its files.

    Args:
        run: a finished run folder.
        config: what is wanted.
        out: the file or folder; None: under `export/` in the run folder.
        observer: told of every frame of a sequence.

    Raises:
        UsageError: it is no finished run, has no such frame, or the format needs a package that is not there.
        StorageError: a file cannot be read or written.
    """
    folder = RunFolder(run)
    for needed in (folder.manifest, folder.surface, folder.rig):
        if not needed.is_file():
            what = f"this is no finished run (it has no {needed.name})"
            raise UsageError(what, str(run), "Give a folder that `dancedepth reconstruct` has finished.")
    surface, rig = storage.read_surface(folder.surface), read_rig(folder.rig)
    if config.sequence:
        return _write_sequence(out or run / "export" / config.to, surface, rig, config.to, observer)
    path = out or run / "export" / f"{_name(config)}.{config.to}"
    if path.suffix != f".{config.to}":
        raise UsageError(f"the file's name must end in .{config.to}", str(path))
    if config.frame is not None:
        _require_frame(config.frame, rig)
        write_mesh(path, surface, posed_surface(surface, rig, config.frame))
    elif config.to == "bvh":
        write_bvh(path, rig)
    elif config.to == "glb":
        write_dancer_glb(path, surface, rig)
    elif config.to == "usdz":
        write_usdz(path, surface, rest_surface(surface, rig), rig)
    else:
        write_mesh(path, surface, rest_surface(surface, rig))
    return path


def _write_sequence(folder: Path, surface: Surface, rig: Rig, to: str, observer: Observer) -> Path:
    observer.stage_started("export", len(rig.times_s))
    for frame in range(len(rig.times_s)):
        write_mesh(folder / f"{frame:06d}.{to}", surface, posed_surface(surface, rig, frame))
        observer.advanced()
    return folder


def _require_frame(frame: int, rig: Rig) -> None:
    last = len(rig.times_s) - 1
    if not 0 <= frame <= last:
        raise UsageError(f"the run has no frame {frame}", "--frame", f"Its frames are 0 to {last}.")


def _name(config: ExportConfig) -> str:
    if config.frame is not None:
        return f"frame_{config.frame:06d}"
    return "surface" if config.to in ("ply", "obj") else "dancer"
