"""The truth of a rendered clip: `truth.json`, `motion.npz`, `surface.npz`, and an image of each kind a frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dancedepth.pipeline.errors import StorageError, UsageError
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.storage import read_arrays, read_json, read_motion
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Truth:
    """What is known of a clip; linear blend skinning of the surface by the motion is the posed truth."""

    folder: RunFolder
    """Depth, normals and masks lie in it as they do in a run."""
    fps: float
    times_s: Float[np.ndarray, "n"]
    motion: BodyMotion
    vertices: Float[np.ndarray, "v 3"]
    """Of the dressed surface at rest, metres, in the body's axes."""
    faces: Int[np.ndarray, "f 3"]
    skin_weights: Float[np.ndarray, "v 8"]
    skin_bones: Int[np.ndarray, "v 8"]


def read_truth(folder: Path) -> Truth:
    """Read the truth in `folder`, or in `folder/truth`.

    Raises:
        UsageError: there is none.
        StorageError: a file is missing or broken.
    """
    found = next((place for place in (folder, folder / "truth") if (place / "truth.json").is_file()), None)
    if found is None:
        raise UsageError("there is no truth.json in it", str(folder), "Give the folder that `dancedepth synth` wrote.")
    values, arrays = read_json(found / "truth.json"), read_arrays(found / "surface.npz")
    try:
        return Truth(
            folder=RunFolder(found),
            fps=float(values["fps"]),
            times_s=np.array([frame["time_s"] for frame in values["frames"]], dtype=np.float64),
            motion=read_motion(found / "motion.npz"),
            **{name: arrays[name] for name in ("vertices", "faces", "skin_weights", "skin_bones")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"this is not the truth of a clip ({error!r})", str(found), "Render it again.") from error
