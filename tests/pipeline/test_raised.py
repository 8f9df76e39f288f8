"""A surface raised to normals: a plane with a bump that only its normals know."""

import numpy as np
import pytest
import trimesh
from dancedepth.pipeline.raised import MOST_M, raised
from dancedepth.pipeline.surface import vertex_normals

STEP_M = 0.003
SIDE = 61


def grid() -> tuple[np.ndarray, np.ndarray]:
    """A square of 18 cm."""
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    vertices = np.stack((across, down, np.zeros_like(across)), axis=-1).reshape(-1, 3) * STEP_M
    corner = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).ravel()
    faces = np.concatenate((np.stack((corner, corner + 1, corner + SIDE + 1), axis=1),
                            np.stack((corner, corner + SIDE + 1, corner + SIDE), axis=1)))  # fmt: skip
    return vertices.astype(np.float32), faces


def bump(vertices: np.ndarray, height_m: float, width_m: float) -> np.ndarray:
    off = vertices[:, :2] - (SIDE - 1) / 2 * STEP_M
    return height_m * np.exp(-0.5 * (off**2).sum(axis=1) / width_m**2)


@pytest.mark.parametrize("height_m", [0.002, -0.002])
def test_a_small_bump_of_the_normals_becomes_shape(height_m: float) -> None:
    vertices, faces = grid()
    true = vertices + bump(vertices, height_m, 0.008)[:, None] * np.array([0, 0, 1], np.float32)
    own, wanted = vertex_normals(vertices, faces), vertex_normals(true.astype(np.float32), faces)
    found = raised(vertices, faces, own, wanted)
    np.testing.assert_array_equal(found[:, :2], vertices[:, :2])
    middle = len(vertices) // 2
    assert found[middle, 2] - found[0, 2] == pytest.approx(height_m, rel=0.35), "what is broad in it is left away"
    after = vertex_normals(found, faces)
    angle = np.degrees(np.arccos(np.clip((after * wanted).sum(axis=1), -1, 1)))
    before = np.degrees(np.arccos(np.clip((own * wanted).sum(axis=1), -1, 1)))
    near = before > 2
    assert near.any() and angle[near].mean() < 0.3 * before[near].mean()


def test_a_surface_with_the_normals_that_are_wanted_stays() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.2)
    vertices = ball.vertices.astype(np.float32)
    own = vertex_normals(vertices, ball.faces)
    assert np.abs(raised(vertices, ball.faces, own, own) - vertices).max() < 1e-6


def test_nothing_moves_far() -> None:
    vertices, faces = grid()
    own = vertex_normals(vertices, faces)
    rng = np.random.default_rng(0)
    wanted = own + rng.normal(0, 3, own.shape)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(raised(vertices, faces, own, wanted.astype(np.float32)) - vertices).max() <= MOST_M
