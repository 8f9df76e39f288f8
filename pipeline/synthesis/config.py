"""Everything a rendered clip can be told; defaults live here and the command line reads them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dancedepth.pipeline.errors import UsageError

MOST_PIXELS = 4096 * 4096


def _require(condition: bool, option: str, what: str) -> None:
    if not condition:
        raise UsageError(what, option, "See `dancedepth synth --help`.")


@dataclass(frozen=True)
class SynthConfig:
    """One clip of a rendered dancer."""

    seconds: float = 4.0
    """Length of the clip."""
    fps: float = 24.0
    """Frames a second."""
    width: int = 720
    """Pixels, even, as H.264 in yuv420p wants it."""
    height: int = 1280
    """Pixels, even."""
    seed: int = 0
    """Of the person, the clothes, the dance, the room and the light."""
    motion: Path | None = None
    """A BVH file to follow, at most to its end; None: a procedural dance with a full turn."""
    motion_start_s: float = 0.0
    """Where in the BVH file to start."""
    garments: Path | None = None
    """A folder of MakeHuman assets (`clothes/`, `hair/`, `skins/`); None: everything is procedural."""
    garment_names: tuple[str, ...] = ()
    """Which of them to wear; empty: drawn by the seed."""
    long_wear: bool = False
    """Whether some seeds wear dresses, open coats and loose sleeves, and clothes have fine folds."""
    height_m: float | None = None
    """The dancer's height, from sole to crown without shoes or hair; None: as the body's shape has it."""
    supersampling: int = 2
    """Samples a pixel side."""

    def __post_init__(self) -> None:
        _require(0 < self.seconds <= 600, "--seconds", f"{self.seconds:g} is not a length between 0 and 600 s")
        _require(0 < self.fps <= 240, "--fps", f"{self.fps:g} is not a frame rate between 0 and 240")
        even = self.width % 2 == 0 and self.height % 2 == 0
        size = f"{self.width}x{self.height}"
        _require(even, "--size", f"{size}: width and height must be even, as H.264 wants them")
        _require(min(self.width, self.height) >= 64, "--size", f"{size} is smaller than 64 pixels")
        _require(self.width * self.height <= MOST_PIXELS, "--size", f"{size} is more than 4096 x 4096 pixels")
        _require(0 <= self.seed < 2**31, "--seed", "a seed lies between 0 and 2147483647")
        tall = self.height_m is None or 0.4 <= self.height_m <= 2.6
        _require(tall, "--height", f"{self.height_m} m is not a person's height (0.4 to 2.6 m)")
        _require(self.motion_start_s >= 0, "--motion-start", "the start must be 0 s or later")
        named = not self.garment_names or self.garments is not None
        _require(named, "--garment", "naming a garment needs the folder it lies in (--garments)")
        _require(1 <= self.supersampling <= 4, "supersampling", "1 to 4 samples a pixel side")

    @property
    def frames(self) -> int:
        """How many frames are asked for; at least one."""
        return max(1, round(self.seconds * self.fps))

    def to_json(self) -> dict[str, Any]:
        """Plain values; of paths only the names, so that a clip's truth does not depend on where it was made."""
        values = asdict(self)
        for key in ("motion", "garments"):
            values[key] = values[key] and Path(values[key]).name
        return values
