"""The run folder: where each file of a run lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths of the run folder's contract."""

    root: Path

    def mask(self, index: int) -> Path:
        """The dancer's matte in a frame."""
        return self.root / "masks" / f"{index:06d}.png"

    def depth(self, index: int) -> Path:
        """A frame's depth."""
        return self.root / "depth" / f"{index:06d}.png"

    def normals(self, index: int) -> Path:
        """A frame's normals."""
        return self.root / "normals" / f"{index:06d}.png"

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
