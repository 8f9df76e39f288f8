"""How smoothly the fitted body moves."""

from __future__ import annotations

import numpy as np
from dancedepth.pipeline.records import BodyMotion
from jaxtyping import Float

JOINTS = ("head", *(f"{bone}.{side}" for side in "LR" for bone in (
    "upperarm01", "lowerarm01", "wrist", "upperleg01", "lowerleg01", "foot"
)))  # fmt: skip
"""Bones whose heads are the head, shoulders, elbows, wrists, hips, knees and ankles."""


def mean_acceleration(motion: BodyMotion) -> float | None:
    """Mean length of the joints' acceleration in m/s^2, over `JOINTS` and all triples of successive fitted frames.

    The acceleration is the second difference for uneven times: the change of velocity between the two gaps, over the
    time between the gaps' middles. None if no three fitted frames follow one another.
    """
    joints = [motion.bone_names.index(name) for name in JOINTS if name in motion.bone_names]
    fitted = motion.fitted[2:] & motion.fitted[1:-1] & motion.fitted[:-2]
    if not fitted.any():
        return None
    acceleration = _second_difference(motion.bone_poses[..., :3, 3][:, joints], motion.times_s)
    return float(np.linalg.norm(acceleration[fitted], axis=-1).mean())


def _second_difference(
    positions: Float[np.ndarray, "n j 3"], times_s: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n-2 j 3"]:
    gaps = np.diff(times_s)[:, None, None]
    velocity = np.diff(positions, axis=0) / gaps
    return np.diff(velocity, axis=0) / ((gaps[1:] + gaps[:-1]) / 2)
