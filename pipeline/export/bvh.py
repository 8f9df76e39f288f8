"""The skeleton's motion as a Biovision file, which every animation program reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dancedepth.pipeline.motion_filter import same_side
from dancedepth.pipeline.records import Rig
from dancedepth.pipeline.storage import write_bytes
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

CM_PER_M = 100
"""BVH has no unit; centimetres are usual."""
ORDER = "ZXY"
"""Of the rotation channels: the usual one, which Blender reads as it is."""
END_SITE_M = 0.03
"""Length of a bone that nothing hangs on."""


def write_bvh(path: Path, rig: Rig) -> None:
    """Write all bones: y up, centimetres, rest pose facing +z, at the clip's mean rate.

    BVH has evenly spaced frames and joints that are upright at rest: motion is resampled where the clip's times are
    uneven (linear places, spherical turns), and each turn is expressed in the world's axes at rest.
    """
    times_s = rig.times_s - rig.times_s[0]
    step_s = float(times_s[-1]) / (len(times_s) - 1)
    even_s = np.arange(len(times_s)) * step_s
    even_s[-1] = times_s[-1]
    root = np.stack([np.interp(even_s, times_s, rig.root[:, k]) for k in range(3)], axis=1)
    turns = np.stack([_resampled(rig.turns[:, bone], times_s, even_s) for bone in range(len(rig.bone_names))], axis=1)
    upright = _upright(rig, turns)
    lines = ["HIERARCHY", *_joint(rig, 0, 0), "MOTION", f"Frames: {len(even_s)}", f"Frame Time: {step_s:.9f}"]
    values = np.concatenate([root * CM_PER_M, *(_degrees(upright[bone]) for bone in _depth_first(rig, 0))], axis=1)
    lines += [" ".join(f"{value:.5f}" for value in row) for row in values]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def _upright(rig: Rig, turns: Float[np.ndarray, "n j 3 3"]) -> list[Float[np.ndarray, "n 3 3"]]:
    """Each bone's turn in axes that are the world's at rest: with rest R and parent's rest P, P turn R^T."""
    rest = rig.rest_bones[:, :3, :3]
    above = [np.eye(3), *(rest[parent] for parent in rig.bone_parents[1:])]
    return [above[bone] @ turns[:, bone] @ rest[bone].T for bone in range(len(rest))]


def _joint(rig: Rig, bone: int, depth: int) -> list[str]:
    indent = "  " * depth
    parent, heads = rig.bone_parents[bone], rig.rest_bones[:, :3, 3]
    offset = (heads[bone] - (heads[parent] if parent >= 0 else heads[bone])) * CM_PER_M
    turns = " ".join(f"{axis}rotation" for axis in ORDER)
    places = "Xposition Yposition Zposition "
    lines = [f"{indent}{'ROOT' if parent < 0 else 'JOINT'} {rig.bone_names[bone]}", indent + "{"]
    lines += [f"{indent}  OFFSET {_numbers(offset)}"]
    lines += [f"{indent}  CHANNELS {'6 ' + places if parent < 0 else '3 '}{turns}"]
    children = [child for child, above in enumerate(rig.bone_parents) if above == bone]
    for child in children:
        lines += _joint(rig, child, depth + 1)
    if not children:
        end = rig.rest_bones[bone, :3, 1] * END_SITE_M * CM_PER_M
        lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {_numbers(end)}", f"{indent}  }}"]
    return [*lines, indent + "}"]


def _depth_first(rig: Rig, bone: int) -> list[int]:
    children = [child for child, above in enumerate(rig.bone_parents) if above == bone]
    return [bone, *(below for child in children for below in _depth_first(rig, child))]


def _resampled(
    quaternions: Float[np.ndarray, "n 4"], times_s: Float[np.ndarray, "n"], even_s: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n 3 3"]:
    return np.asarray(Slerp(times_s, Rotation.from_quat(same_side(quaternions)))(even_s).as_matrix())


def _degrees(turns: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3"]:
    """Euler angles in `ORDER`, without jumps of a whole turn."""
    angles = Rotation.from_matrix(turns).as_euler(ORDER)
    return np.degrees(np.unwrap(angles, axis=0))


def _numbers(values: Float[np.ndarray, "3"]) -> str:
    return " ".join(f"{value:.5f}" for value in values)
