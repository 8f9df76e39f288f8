import numpy as np
import pytest
import trimesh
from dancedepth.models.metrics import Similarity
from dancedepth.pipeline.surface_distance import SkinnedSurface, SurfacePair, outer_faces, skinned_surface
from scipy.spatial.transform import Rotation

STILL = Similarity(1.0, np.eye(3), np.zeros(3))


def rigid(mesh: trimesh.Trimesh, samples: int = 3000) -> SkinnedSurface:
    """A mesh that hangs on one bone."""
    vertices = np.array(mesh.vertices, np.float32)
    weights, bones = np.ones((len(vertices), 1), np.float32), np.zeros((len(vertices), 1), np.int64)
    return skinned_surface(vertices, np.array(mesh.faces), weights, bones, samples, seed=0)


def test_distances_between_spheres_are_the_difference_of_their_radii() -> None:
    small, large = (rigid(trimesh.creation.icosphere(4, radius)) for radius in (0.5, 0.52))
    pair = SurfacePair(small, small.vertices, large, large.vertices)
    for distances in pair.distances(STILL):
        np.testing.assert_allclose(distances, 0.02, atol=0.001)


def test_scaling_the_run_scales_both_directions() -> None:
    sphere = rigid(trimesh.creation.icosphere(4, 0.5))
    pair = SurfacePair(sphere, sphere.vertices, sphere, sphere.vertices)
    for distances in pair.distances(Similarity(1.1, np.eye(3), np.zeros(3))):
        np.testing.assert_allclose(distances, 0.05, atol=0.001)


def test_a_moved_box_is_aligned() -> None:
    box = rigid(trimesh.creation.box((0.4, 0.7, 1.6)).subdivide().subdivide())
    turn = Rotation.from_rotvec([0.05, -0.1, 0.08]).as_matrix()
    pair = SurfacePair(box, box.vertices @ turn.T + np.array([0.03, 0.05, -0.04]), box, box.vertices)
    before, after = pair.distances(STILL)[0].mean(), pair.distances(pair.align(STILL))[0].mean()
    assert before > 0.02
    assert after < 0.002


def test_alignment_keeps_the_scale_it_was_given() -> None:
    sphere = rigid(trimesh.creation.icosphere(3, 0.5))
    pair = SurfacePair(sphere, sphere.vertices * 2 + 0.1, sphere, sphere.vertices)
    move = pair.align(Similarity(0.5, np.eye(3), np.zeros(3)))
    assert move.scale == 0.5
    assert pair.distances(move)[0].max() < 0.003


def test_what_lies_inside_is_not_outer() -> None:
    inner, outer = trimesh.creation.icosphere(3, 0.4), trimesh.creation.icosphere(3, 0.5)
    both = trimesh.util.concatenate((inner, outer))
    kept = outer_faces(np.array(both.vertices), np.array(both.faces))
    assert len(kept) == len(outer.faces)
    assert kept.min() >= len(inner.vertices)


def test_samples_follow_the_bones() -> None:
    box = rigid(trimesh.creation.box((1.0, 1.0, 1.0)))
    transform = np.eye(4, dtype=np.float32)[None]
    transform[0, :3, 3] = 1.0, 2.0, 3.0
    few = box.samples_only(50)
    moved, still = few.at_samples(few.pose(transform)), box.at_samples(box.vertices)[:50]
    np.testing.assert_allclose(moved - still, np.tile([1.0, 2.0, 3.0], (50, 1)), atol=1e-5)
    assert np.abs(still).max() == pytest.approx(0.5)
