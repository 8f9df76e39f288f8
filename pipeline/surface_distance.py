"""Distances between two skinned surfaces in one pose, as they stand, scaled, and after a rigid alignment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from dancedepth.models.body import skin_points
from dancedepth.models.metrics import Similarity, fit_similarity, sample_triangles
from jaxtyping import Float, Int

ICP_STEPS = 12
ICP_POINTS = 1000
"""Of each surface; the alignment has six unknowns."""
ICP_TOLERANCE_M = 1e-4
"""The alignment stops when no point moves farther than this; a tenth of what the scores show."""
SKY_DIRECTIONS = 32
SKY_SHARE = 0.06
"""A triangle from which fewer directions than this lead out lies under clothes or inside the mouth."""
RAY_START_M = 1e-3


@dataclass(frozen=True)
class SkinnedSurface:
    """A surface at rest, with skinning weights, and fixed sample points on it."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    skin_weights: Float[np.ndarray, "v k"]
    skin_bones: Int[np.ndarray, "v k"]
    sample_face: Int[np.ndarray, "n"]
    sample_weights: Float[np.ndarray, "n 3"]
    """Barycentric."""

    def at_samples(self, values: Float[np.ndarray, "v *c"]) -> Float[np.ndarray, "n *c"]:
        """Vertex values at the sample points."""
        result: np.ndarray = np.einsum("nk,nk...->n...", self.sample_weights, values[self.faces[self.sample_face]])
        return result

    def pose(self, cam_from_rest: Float[np.ndarray, "j 4 4"]) -> Float[np.ndarray, "v 3"]:
        """All vertices in the camera, by linear blend skinning."""
        posed = skin_points(
            torch.as_tensor(self.vertices, dtype=torch.float32),
            torch.as_tensor(self.skin_weights, dtype=torch.float32),
            torch.as_tensor(self.skin_bones).long(),
            torch.as_tensor(cam_from_rest, dtype=torch.float32)[None],
        )
        result: np.ndarray = posed[0].numpy()
        return result

    def samples_only(self, count: int) -> SkinnedSurface:
        """The triangles of the first samples alone, to pose those quickly."""
        corners = self.faces[self.sample_face[:count]]
        used, compact = np.unique(corners, return_inverse=True)
        return replace(
            self,
            vertices=self.vertices[used],
            faces=compact.reshape(-1, 3),
            skin_weights=self.skin_weights[used],
            skin_bones=self.skin_bones[used],
            sample_face=np.arange(len(corners)),
            sample_weights=self.sample_weights[:count],
        )


def skinned_surface(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    skin_weights: Float[np.ndarray, "v k"],
    skin_bones: Int[np.ndarray, "v k"],
    samples: int,
    seed: int,
) -> SkinnedSurface:
    """A surface with `samples` points spread evenly over its area at rest."""
    chosen, weights = sample_triangles(vertices, faces, samples, seed)
    return SkinnedSurface(vertices, faces, skin_weights, skin_bones, chosen, weights)


def outer_faces(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "g 3"]:
    """The triangles that can be seen from outside, without the body under the clothes."""
    directions = _sphere(SKY_DIRECTIONS)
    centres = vertices[faces].mean(axis=1)
    origins = centres[:, None] + RAY_START_M * directions
    rays = np.concatenate((origins, np.broadcast_to(directions, origins.shape)), axis=-1).astype(np.float32)
    blocked = _scene(vertices, faces).test_occlusions(_tensor(rays)).numpy()
    kept: np.ndarray = faces[(~blocked).mean(axis=1) >= SKY_SHARE]
    return kept


class SurfacePair:
    """The run's surface and the truth's, posed in the camera in one frame."""

    def __init__(self, run: SkinnedSurface, run_cam: np.ndarray, truth: SkinnedSurface, truth_cam: np.ndarray) -> None:
        self.run_samples, self.truth_samples = run.at_samples(run_cam), truth.at_samples(truth_cam)
        self._run, self._truth = _scene(run_cam, run.faces), _scene(truth_cam, truth.faces)

    def distances(self, move: Similarity) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m"]]:
        """Metres from the run's samples, moved, to the truth, and from the truth's samples to the moved run."""
        to_truth = self._truth.compute_distance(_tensor(move.apply(self.run_samples))).numpy()
        to_run = self._run.compute_distance(_tensor(move.undo(self.truth_samples))).numpy() * move.scale
        return to_truth, to_run

    def align(self, start: Similarity) -> Similarity:
        """The rigid motion, after `start.scale`, that brings the surfaces nearest: ICP in both directions at once."""
        own, other = self.run_samples[:ICP_POINTS], self.truth_samples[:ICP_POINTS]
        move = start
        for _ in range(ICP_STEPS):
            near_truth = _closest(self._truth, move.apply(own))
            near_run = _closest(self._run, move.undo(other))
            source, target = np.concatenate((own, near_run)), np.concatenate((near_truth, other))
            found = fit_similarity(source * start.scale, target, with_scale=False)
            before, move = move, Similarity(start.scale, found.rotation, found.translation)
            if np.abs(move.apply(own) - before.apply(own)).max() < ICP_TOLERANCE_M:
                break
        return move


def _scene(vertices: np.ndarray, faces: np.ndarray) -> Any:
    import open3d

    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(_tensor(vertices), open3d.core.Tensor.from_numpy(np.ascontiguousarray(faces, np.uint32)))
    return scene


def _closest(scene: Any, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    found: np.ndarray = scene.compute_closest_points(_tensor(points))["points"].numpy()
    return found


def _tensor(values: np.ndarray) -> Any:
    import open3d

    return open3d.core.Tensor.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _sphere(count: int) -> Float[np.ndarray, "n 3"]:
    """Directions spread evenly: a Fibonacci spiral."""
    step = np.arange(count) + 0.5
    z, turn = 1 - 2 * step / count, step * np.pi * (1 + np.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.stack((radius * np.cos(turn), radius * np.sin(turn), z), axis=-1)
