from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from dancedepth.pipeline import storage
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.export.glb import write_mesh_glb
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


@pytest.mark.parametrize("skirt_m", [None, 0.3])
def test_files_know_whether_there_is_a_skirt(tmp_path: Path, ball: Surface, skirt_m: float | None) -> None:
    storage.write_surface(tmp_path / "surface.npz", replace(ball, skirt_m=skirt_m))
    assert storage.read_surface(tmp_path / "surface.npz").skirt_m == skirt_m


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


def test_glb_stands_upright(tmp_path: Path, ball: Surface) -> None:
    write_mesh_glb(tmp_path / "mesh.glb", ball, storage.gltf_axes(ball.vertices))
    (mesh,) = trimesh.load_scene(tmp_path / "mesh.glb", process=False).geometry.values()
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), [0.1, 1.0, 0.3], atol=1e-3)
    outwards = mesh.vertices - mesh.vertices.mean(axis=0)
    assert (np.einsum("vd,vd->v", mesh.vertex_normals, outwards) > 0).all()


def split(ball: Surface) -> Surface:
    """The ball with every corner a vertex of its own and a texture: its left half red, its upper half green too."""
    corners = ball.faces.ravel()
    texture = np.zeros((256, 256, 3), np.uint8)
    texture[:, :128, 0], texture[:128, :, 1] = 255, 255
    names = ("vertices", "normals", "colors", "observed", "skin_weights", "skin_bones")
    parts = {name: getattr(ball, name)[corners] for name in names}
    x, _, z = ball.vertices[ball.faces].mean(axis=1).T
    uv = np.stack((np.where(x > 0.1, 0.25, 0.75), np.where(z > 1, 0.75, 0.25)), axis=1)
    uv = np.repeat(uv, 3, axis=0).astype(np.float32)
    return Surface(**parts, faces=np.arange(len(corners)).reshape(-1, 3), uv=uv, texture=texture)


def test_textured_surface_round_trip(tmp_path: Path, ball: Surface) -> None:
    textured = split(ball)
    storage.write_surface(tmp_path / "surface.npz", textured)
    assert storage.read_surface(tmp_path / "surface.npz").normal_map is None
    textured = replace(textured, normal_map=textured.texture // 2)
    storage.write_surface(tmp_path / "surface.npz", textured)
    again = storage.read_surface(tmp_path / "surface.npz")
    for name in storage.TEXTURE_FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(textured, name))


def test_ply_of_a_textured_surface_is_closed(tmp_path: Path, ball: Surface) -> None:
    storage.write_mesh_ply(tmp_path / "mesh.ply", split(ball))
    mesh = trimesh.load(tmp_path / "mesh.ply", process=False)
    assert len(mesh.vertices) == len(ball.vertices)
    assert mesh.is_watertight
    assert mesh.volume > 0


def test_glb_holds_the_texture_the_right_way_round(tmp_path: Path, ball: Surface) -> None:
    painted = split(ball)
    write_mesh_glb(tmp_path / "mesh.glb", painted, storage.gltf_axes(painted.vertices))
    (mesh,) = trimesh.load_scene(tmp_path / "mesh.glb", process=False).geometry.values()
    colors = np.asarray(mesh.visual.to_color().vertex_colors)[:, :3]
    x, y, _ = (mesh.vertices[mesh.faces].mean(axis=1) - [0.1, 1.0, 0.3]).T
    red, green, _ = colors[mesh.faces[:, 0]].T > 127
    clear = (np.abs(x) > 0.01) & (np.abs(y) > 0.01)
    np.testing.assert_array_equal(red[clear], (x > 0)[clear])
    np.testing.assert_array_equal(green[clear], (y > 0)[clear])
