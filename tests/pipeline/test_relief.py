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


def in_the_face(field: BodyField, vertices: np.ndarray) -> np.ndarray:
    return field.spread(field.face[:, None], vertices)[:, 0] > 0.95


def missing_mm(field: BodyField, vertices: np.ndarray, faces: np.ndarray) -> float:
    """Mean distance of the body's face from a surface."""
    scene = o3d.t.geometry.RaycastingScene()
    share = o3d.core.Tensor.from_numpy
    scene.add_triangles(share(vertices.astype(np.float32)), share(faces.astype(np.uint32)))
    skin = field.fine.points[in_the_face(field, field.fine.points)]
    return float(1000 * scene.compute_distance(share(skin)).numpy().mean())


def test_a_blurred_face_has_the_bodys_relief_and_clothes_keep_theirs(field: BodyField) -> None:
    vertices, faces = surface(field, EGG_M)
    assert missing_mm(field, vertices, faces) < 2.5
    trunk = field.spread((field.hair + field.face + field.limbs)[:, None], vertices)[:, 0] < 0.05
    assert np.abs(field.signed_distance(vertices[trunk])).mean() > 0.25 * EGG_M


def test_a_sharpened_face_is_finer_than_voxels(field: BodyField) -> None:
    vertices, faces = surface(field, 0.0)
    sharp, finer = sharpened(vertices, faces, field)
    assert is_closed(finer)
    assert in_the_face(field, sharp).sum() > 3 * in_the_face(field, vertices).sum()
    rough = [field.signed_distance(one[in_the_face(field, one)]).std() for one in (vertices, sharp)]
    assert rough[1] < 0.6 * rough[0]
    elsewhere = ~in_the_face(field, vertices) & (field.spread(field.face[:, None], vertices)[:, 0] < 0.4)
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
