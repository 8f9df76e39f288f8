"""Colours of what was not seen, on shapes where it is known what they should be."""

import numpy as np
import pytest
import trimesh
from dancedepth.pipeline.color_fill import Head, filled_colors
from dancedepth.pipeline.mesh_shape import is_closed, laplacian, largest_component, simplified, vertex_areas

SHIRT, SKIN = np.array([0.8, 0.1, 0.1]), np.array([0.7, 0.5, 0.4])


@pytest.fixture(scope="module")
def column() -> trimesh.Trimesh:
    """A trunk of 1 m, its front towards -y."""
    mesh = trimesh.creation.icosphere(subdivisions=5)
    return trimesh.Trimesh(mesh.vertices * [0.15, 0.15, 0.5] + [0, 0, 0.4], mesh.faces, process=False)


def dressed(column: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Shirt above, skin below, and what a camera in front sees of it."""
    color = np.where(column.vertices[:, 2:] > 0.4, SHIRT, SKIN)
    seen = np.clip(-column.vertex_normals[:, 1] * 3, 0, 1)
    return color, seen


def test_the_back_is_dressed_like_the_front_at_its_height(column: trimesh.Trimesh) -> None:
    color, seen = dressed(column)
    given = np.where(seen[:, None] > 0, color, 0.0)
    filled = filled_colors(column.vertices, column.faces, given, seen, None)
    z = column.vertices[:, 2]
    clear = np.abs(z - 0.4) > 0.12
    assert np.abs(filled - color)[clear].max() < 0.1


def test_what_was_seen_stays(column: trimesh.Trimesh) -> None:
    color, seen = dressed(column)
    filled = filled_colors(column.vertices, column.faces, color, seen, None)
    assert np.abs(filled - color)[seen > 0.9].mean() < 0.01


def test_a_spot_of_another_colour_on_the_front_is_not_repeated_on_the_back(column: trimesh.Trimesh) -> None:
    color, seen = dressed(column)
    front = column.vertices[:, 1] < 0
    spot = front & (np.linalg.norm(column.vertices[:, [0, 2]] - [0.0, 0.2], axis=1) < 0.04)
    color = np.where(spot[:, None], [0.0, 1.0, 0.0], color)
    filled = filled_colors(column.vertices, column.faces, np.where(seen[:, None] > 0, color, 0.0), seen, None)
    back = column.vertex_normals[:, 1] > 0.7
    assert filled[back & (column.vertices[:, 2] < 0.3), 1].max() < 0.6


def test_there_is_no_edge_between_seen_and_filled(column: trimesh.Trimesh) -> None:
    color, seen = dressed(column)
    tint = np.where(column.vertices[:, :1] > 0, 1.2, 0.8)
    given = np.where(seen[:, None] > 0, color * tint, 0.0)
    filled = filled_colors(column.vertices, column.faces, given, seen, None)
    first, second = column.edges_unique.T
    z = column.vertices[:, 2]
    border = ((seen[first] > 0) != (seen[second] > 0)) & (np.abs(z[first] - 0.4) > 0.1)
    border &= np.abs(column.vertices[first, 0]) > 0.1
    step = np.abs(filled[first] - filled[second]).max(axis=1)[border]
    plain = np.where(seen[:, None] > 0, given, color)
    assert step.max() < 0.5 * np.abs(plain[first] - plain[second]).max(axis=1)[border].max()


def test_the_back_of_a_head_has_the_hair_of_its_top() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.11)
    z, y = ball.vertices[:, 2], ball.vertices[:, 1]
    hair = np.array([0.1, 0.08, 0.06])
    color = np.where(z[:, None] > 0.06, hair, SKIN)
    seen = np.clip(-ball.vertex_normals[:, 1] * 3, 0, 1)
    head = Head(np.ones(len(z), bool), np.ones(len(z)), 0.0)
    filled = filled_colors(ball.vertices, ball.faces, np.where(seen[:, None] > 0, color, 0.0), seen, head)
    back = (y > 0.08) & (z > -0.03)
    assert np.abs(filled[back] - hair).mean() < 0.05
    face = (y < -0.08) & (z < 0.03)
    assert np.abs(filled[face] - SKIN).mean() < 0.02


def test_hair_runs_forward_above_the_ears() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.11)
    z, y = ball.vertices[:, 2], ball.vertices[:, 1]
    hair = np.array([0.1, 0.08, 0.06])
    color = np.where(z[:, None] > 0.05, hair, SKIN)
    seen = np.clip(-ball.vertex_normals[:, 1] * 4 - 1.6, 0, 1)
    head = Head(np.ones(len(z), bool), np.ones(len(z)), 0.0)
    filled = filled_colors(ball.vertices, ball.faces, np.where(seen[:, None] > 0, color, 0.0), seen, head)
    temple, cheek = ((np.abs(y + 0.015) < 0.01) & (np.abs(z - height) < 0.01) for height in (0.05, -0.05))
    off = [np.abs(filled[place] - hair).mean() for place in (temple, cheek)]
    assert off[0] < 0.2 and off[1] > 0.35


@pytest.mark.parametrize("long", [True, False])
def test_hair_beside_the_neck_hangs_behind_it_too(long: bool) -> None:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.11)
    neck = trimesh.creation.cylinder(0.07, 0.3, sections=64).subdivide_to_size(0.012)
    neck.apply_translation([0, 0, -0.2])
    both = trimesh.util.concatenate(ball, neck)
    x, y, z = both.vertices.T
    hair = np.array([0.1, 0.08, 0.06])
    beside = (np.abs(x) > 0.035) & (z > -0.2) & long
    color = np.where(((z > 0.06) | beside)[:, None], hair, SKIN)
    seen = np.clip(-both.vertex_normals[:, 1] * 4 + 0.6, 0, 1)
    own = np.arange(len(z)) < len(ball.vertices)
    filled = filled_colors(
        both.vertices, both.faces, np.where(seen[:, None] > 0, color, 0.0), seen, Head(own, 1.0 * own, 0.0)
    )
    high, low = ((y > 0.06) & ~own & (np.abs(z - at) < 0.02) for at in (-0.14, -0.3))
    assert (np.abs(filled[high] - hair).mean() < 0.1) == long
    assert np.abs(filled[low] - SKIN).mean() < 0.1


def test_simplified_keeps_the_shape_closed() -> None:
    ball = trimesh.creation.icosphere(subdivisions=6, radius=0.2)
    vertices, faces = simplified(ball.vertices.astype(np.float32), ball.faces.astype(np.int64), 4000)
    assert len(faces) <= 4000
    assert is_closed(faces)
    assert np.abs(np.linalg.norm(vertices, axis=1) - 0.2).max() < 5e-4
    assert vertex_areas(vertices, faces).sum() == pytest.approx(4 * np.pi * 0.04, rel=0.005)


def test_an_open_surface_is_not_closed() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    assert is_closed(ball.faces)
    assert not is_closed(ball.faces[1:])
    flipped = ball.faces.copy()
    flipped[0] = flipped[0, ::-1]
    assert not is_closed(flipped)


def test_only_the_largest_piece_stays() -> None:
    ball, crumb = trimesh.creation.icosphere(subdivisions=3), trimesh.creation.icosphere(subdivisions=1)
    both = np.concatenate((ball.faces, crumb.faces + len(ball.vertices)))
    vertices, faces = largest_component(np.concatenate((ball.vertices, crumb.vertices + 5)), both)
    assert len(vertices) == len(ball.vertices)
    assert len(faces) == len(ball.faces)


def test_the_laplacian_of_a_linear_function_vanishes_on_a_plane() -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 12), indexing="ij")
    index = np.arange(144).reshape(12, 12)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    faces = np.concatenate((np.stack((a, b, c), axis=1), np.stack((a, c, d), axis=1)))
    points = np.stack((x, y, 0 * x), axis=-1).reshape(-1, 3)
    bent = laplacian(points, faces) @ (2 * points[:, 0] + 3 * points[:, 1])
    inner = index[1:-1, 1:-1].ravel()
    assert np.abs(bent[inner]).max() < 0.1
