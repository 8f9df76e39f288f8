"""Faces that fusion blurred get the body's relief again, and the mesh there is fine enough to hold it."""

import numpy as np
import open3d as o3d
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.completion import FACE_M, SKULL_M, complete, within_reason
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.mesh_shape import is_closed, largest_component, subdivided, vertex_areas
from dancedepth.pipeline.outlines import Outline
from dancedepth.pipeline.relief import sharpened

from tests.scenes import rest_body

CONFIG = FusionConfig(voxel_m=0.008, truncation_m=0.03, texture_px=256, texture_views=1)
EGG_M = 0.015
"""How far a blurred face is off the true one, here and there."""

SCATTER_M = 0.01
"""Of the frames among themselves, as in videos."""


@pytest.fixture(scope="module")
def field(body: BodyModel) -> BodyField:
    return BodyField(body, rest_body(body))


def surface(field: BodyField, off_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Seen by many frames, all of which are `off_m` too near and too far in waves a hand's breadth long."""
    volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), 0.05)
    points = (volume.origins[volume.slots, None] + volume.offsets.T).numpy().reshape(-1, 3)
    waves = off_m * np.sin(points @ np.array([90.0, 0.0, 110.0]))
    distance = (field.signed_distance(points) - waves).reshape(-1, 64)
    volume.tsdf[volume.slots] = torch.from_numpy(np.clip(distance / CONFIG.truncation_m, -1, 1)).float()
    volume.weight[volume.slots] = 20.0
    volume.scatter[volume.slots] = 20.0 * (SCATTER_M / CONFIG.truncation_m) ** 2
    nothing = np.zeros(len(field.coarse.points), np.float32)
    tsdf = complete(volume, field, Outline(nothing, nothing), CONFIG)
    vertices, faces = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
    return largest_component(vertices.astype(np.float32), faces)


def off_mm(field: BodyField, vertices: np.ndarray, faces: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Signed distances of a part of the body's skin from a surface."""
    scene = o3d.t.geometry.RaycastingScene()
    share = o3d.core.Tensor.from_numpy
    scene.add_triangles(share(vertices.astype(np.float32)), share(faces.astype(np.uint32)))
    skin = field.fine.points[field.spread(part[:, None], field.fine.points)[:, 0] > 0.95]
    distances: np.ndarray = 1000 * scene.compute_signed_distance(share(skin)).numpy()
    return distances


def test_a_blurred_face_has_the_bodys_relief_and_clothes_keep_theirs(field: BodyField) -> None:
    vertices, faces = surface(field, EGG_M)
    assert np.abs(off_mm(field, vertices, faces, field.face)).mean() < 2.5
    trunk = field.spread((field.hair + field.face + field.limbs)[:, None], vertices)[:, 0] < 0.05
    assert np.abs(field.signed_distance(vertices[trunk])).mean() > 0.25 * EGG_M


@pytest.mark.parametrize("part", ["face", "hands"])
def test_sharpened_faces_and_hands_are_finer_than_voxels(field: BodyField, part: str) -> None:
    def share(points: np.ndarray, of: np.ndarray) -> np.ndarray:
        return field.spread(of[:, None], points)[:, 0]

    vertices, faces = surface(field, 0.0)
    sharp, finer = sharpened(vertices, faces, field)
    assert is_closed(finer)
    own = getattr(field, part)
    assert (share(sharp, own) > 0.95).sum() > 3 * (share(vertices, own) > 0.95).sum()
    rough = [off_mm(field, *mesh, own).std() for mesh in ((vertices, faces), (sharp, finer))]
    assert rough[1] < 0.8 * rough[0]
    elsewhere = share(vertices, np.clip(field.face + field.hands, 0, 1)) < 0.4
    assert np.array_equal(sharp[: len(vertices)][elsewhere], vertices[elsewhere])


def test_halved_edges_leave_a_closed_surface_of_the_same_area() -> None:
    ball = o3d.geometry.TriangleMesh.create_sphere(1.0, 12)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.triangles)
    for chosen in (vertices[:, 2] > 0.3, np.ones(len(vertices), bool), np.zeros(len(vertices), bool)):
        finer, corners = subdivided(vertices, faces, chosen)
        assert is_closed(corners)
        assert vertex_areas(finer, corners).sum() == pytest.approx(vertex_areas(vertices, faces).sum())
        inside = chosen[faces].all(axis=1).sum()
        assert len(corners) >= len(faces) + 3 * inside
    assert len(corners) == len(faces)


def test_no_hair_within_the_skull_and_no_mask_on_a_face(field: BodyField) -> None:
    for told, face, hair in ((0.05, FACE_M, 0.05), (-0.05, -FACE_M, -SKULL_M)):
        thick = within_reason(np.full(len(field.coarse.points), told), field)
        assert np.allclose(thick[field.face > 0.5], face)
        assert np.allclose(thick[field.hair > 0.5], hair)
