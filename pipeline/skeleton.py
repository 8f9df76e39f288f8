"""A skeleton in motion: bones turned about their heads, from one another, and into the world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class SkeletonMotion:
    """Where every bone is in every frame, in whatever frame the root is given in; bones keep their lengths."""

    parents: tuple[int, ...]
    """Parents stand before children; the root's is -1."""
    offsets: Float[np.ndarray, "j 3"]
    """Each bone's head in its parent's axes, metres; the root's is not used."""
    turns: Float[np.ndarray, "n j 3 3"]
    """Rotation of each bone in its parent's axes; the root's is to the outer frame."""
    root: Float[np.ndarray, "n 3"]
    """The root's head in the outer frame, metres."""

    @classmethod
    def from_bones(cls, bones: Float[np.ndarray, "n j 4 4"], parents: tuple[int, ...]) -> SkeletonMotion:
        """From bone poses; heads are taken to be fixed in their parents, as in the first frame."""
        above = [max(parent, 0) for parent in parents]
        rotations = bones[..., :3, :3].astype(np.float64)
        turns = rotations[:, above].swapaxes(-1, -2) @ rotations
        turns[:, 0] = rotations[:, 0]
        between = bones[0, :, :3, 3] - bones[0, above, :3, 3]
        offsets = (rotations[0, above].swapaxes(-1, -2) @ between[..., None])[..., 0]
        return cls(parents, offsets, turns, bones[:, 0, :3, 3].astype(np.float64))

    def bones(self) -> Float[np.ndarray, "n j 4 4"]:
        """The poses of all bones in the outer frame."""
        result = np.zeros((*self.turns.shape[:2], 4, 4))
        result[..., 3, 3] = 1
        result[:, 0, :3, :3], result[:, 0, :3, 3] = self.turns[:, 0], self.root
        for bone, parent in enumerate(self.parents[1:], start=1):
            above = result[:, parent]
            result[:, bone, :3, :3] = above[:, :3, :3] @ self.turns[:, bone]
            result[:, bone, :3, 3] = above[:, :3, :3] @ self.offsets[bone] + above[:, :3, 3]
        return result

    def moved(self, transform: Float[np.ndarray, "4 4"]) -> SkeletonMotion:
        """The same motion in another outer frame."""
        turns = self.turns.copy()
        turns[:, 0] = transform[:3, :3] @ turns[:, 0]
        return replace(self, turns=turns, root=self.root @ transform[:3, :3].T + transform[:3, 3])

    def quaternions(self) -> Float[np.ndarray, "n j 4"]:
        """The bones' turns as x, y, z, w."""
        count, bones = self.turns.shape[:2]
        return Rotation.from_matrix(self.turns.reshape(-1, 3, 3)).as_quat().reshape(count, bones, 4)


def turns_of(quaternions: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 3 3"]:
    """Rotation matrices of x, y, z, w."""
    return Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix().reshape(*quaternions.shape[:-1], 3, 3)
