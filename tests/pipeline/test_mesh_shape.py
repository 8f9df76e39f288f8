import numpy as np
import pytest
import trimesh
from dancedepth.pipeline.mesh_shape import closed_up, is_closed

BALL = trimesh.creation.icosphere(subdivisions=3, radius=0.5)


def without(*vertices: int) -> np.ndarray:
    """The ball's triangles but those around some of its vertices."""
    return BALL.faces[~np.isin(BALL.faces, vertices).any(axis=1)]


def around(vertex: int) -> np.ndarray:
    """A vertex two steps away: the holes around both touch in a vertex."""
    near = np.unique(BALL.faces[np.isin(BALL.faces, vertex).any(axis=1)])
    next_ring = np.unique(BALL.faces[np.isin(BALL.faces, near).any(axis=1)])
    return np.setdiff1d(next_ring, near)


@pytest.mark.parametrize("gone", [(0,), (0, 7), (0, int(around(0)[0])), (100, *around(100)[:2])])
def test_holes_are_filled(gone: tuple[int, ...]) -> None:
    faces = without(*gone)
    assert not is_closed(faces)
    vertices, filled = closed_up(BALL.vertices, faces)
    assert is_closed(filled)
    solid = trimesh.Trimesh(vertices, filled, process=False)
    assert solid.volume == pytest.approx(BALL.volume, rel=0.03), "the triangles that fill face outwards"


def test_closed_surfaces_stay_as_they_are() -> None:
    vertices, faces = closed_up(BALL.vertices, BALL.faces)
    assert vertices is BALL.vertices and faces is BALL.faces


def test_half_a_surface_stays_half() -> None:
    half = BALL.faces[(BALL.vertices[BALL.faces][..., 2] > 0).all(axis=1)]
    assert closed_up(BALL.vertices, half)[1] is half


def test_what_cannot_be_closed_stays_as_it_is() -> None:
    twice = np.concatenate((without(0), without(0)[-1:]))
    assert closed_up(BALL.vertices, twice)[1] is twice
