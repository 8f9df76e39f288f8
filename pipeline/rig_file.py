"""`rig.npz` of the run folder: the skeleton and its motion, as the exports need them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.records import Rig
from dancedepth.pipeline.storage import read_arrays, write_arrays

ARRAYS = ("rest_bones", "times_s", "turns", "root", "world_from_cam")


def write_rig(path: Path, rig: Rig) -> None:
    """Write everything of the rig; `camera` holds focal, cx, cy, width, height in pixels; NaN stands for unknown."""
    camera = rig.camera
    write_arrays(
        path,
        bone_names=np.array(rig.bone_names),
        bone_parents=np.array(rig.bone_parents),
        rest_lift_m=np.float64(rig.rest_lift_m),
        camera=np.array([camera.focal_px, camera.cx, camera.cy, camera.width, camera.height], dtype=np.float64),
        foot_sliding_m_s=_number(rig.foot_sliding_m_s),
        foot_sliding_fitted_m_s=_number(rig.foot_sliding_fitted_m_s),
        **{name: getattr(rig, name) for name in ARRAYS},
    )


def read_rig(path: Path) -> Rig:
    """The rig that `write_rig` wrote; a file that is none is an error that names it."""
    arrays = read_arrays(path)
    try:
        focal_px, cx, cy, width, height = arrays["camera"].tolist()
        return Rig(
            bone_names=tuple(arrays["bone_names"].tolist()),
            bone_parents=tuple(arrays["bone_parents"].tolist()),
            rest_lift_m=float(arrays["rest_lift_m"]),
            camera=Camera(focal_px, cx, cy, int(width), int(height)),
            foot_sliding_m_s=_known(arrays["foot_sliding_m_s"]),
            foot_sliding_fitted_m_s=_known(arrays["foot_sliding_fitted_m_s"]),
            **{name: arrays[name] for name in ARRAYS},
        )
    except (KeyError, ValueError) as error:
        raise StorageError(f"this is no rig ({error})", str(path), "Run again with --overwrite.") from error


def _number(value: float | None) -> np.float64:
    return np.float64(np.nan if value is None else value)


def _known(value: np.ndarray) -> float | None:
    return float(value) if np.isfinite(value) else None
