from pathlib import Path

import numpy as np
import pytest
import trimesh
from dancedepth.pipeline import storage
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.records import Surface


@pytest.fixture
def ball() -> Surface:
    """A sphere, raised and moved to the body's front and left, so that every axis can be told."""
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.2)
    count = len(mesh.vertices)
    return Surface(
        vertices=(mesh.vertices + np.array([0.1, -0.3, 1.0])).astype(np.float32),
        faces=mesh.faces.astype(np.int64),
        normals=mesh.vertex_normals.astype(np.float32),
        colors=np.tile(np.array([[200, 100, 50]], np.uint8), (count, 1)),
        observed=np.linspace(0, 1, count, dtype=np.float32),
        skin_weights=np.tile(np.array([[0.5, 0.25, 0.25, 0]], np.float32), (count, 1)),
        skin_bones=np.tile(np.arange(4), (count, 1)),
    )


def test_surface_round_trip(tmp_path: Path, ball: Surface) -> None:
    storage.write_surface(tmp_path / "surface.npz", ball)
    again = storage.read_surface(tmp_path / "surface.npz")
    for name in storage.SURFACE_FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(ball, name))


def test_other_arrays_are_no_surface(tmp_path: Path) -> None:
    storage.write_arrays(tmp_path / "surface.npz", vertices=np.zeros((2, 3)))
    with pytest.raises(StorageError, match=r"surface\.npz.*no faces"):
        storage.read_surface(tmp_path / "surface.npz")


def test_ply_holds_observed_and_stands_upright(tmp_path: Path, ball: Surface) -> None:
    storage.write_mesh_ply(tmp_path / "mesh.ply", ball)
    mesh = trimesh.load(tmp_path / "mesh.ply", process=False)
    data = mesh.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_allclose(np.ravel(data["observed"]), ball.observed)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [0.1, 1.0, 0.3], atol=1e-3)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.02), "triangles must wind outwards"
    np.testing.assert_array_equal(mesh.visual.vertex_colors[0], [200, 100, 50, 255])


def test_glb_holds_colours_and_stands_upright(tmp_path: Path, ball: Surface) -> None:
    storage.write_mesh_glb(tmp_path / "mesh.glb", ball)
    (mesh,) = trimesh.load_scene(tmp_path / "mesh.glb", process=False).geometry.values()
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [0.1, 1.0, 0.3], atol=1e-3)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[0], [200, 100, 50, 255])
    outwards = mesh.vertices - mesh.vertices.mean(axis=0)
    assert (np.einsum("vd,vd->v", mesh.vertex_normals, outwards) > 0).all()
