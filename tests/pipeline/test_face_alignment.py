"""A head with a relief, seen where it is, and posed a little elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.color_fill import Head
from dancedepth.pipeline.face_alignment import face_aligned
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.keyframes import Keyframe, keyframe
from dancedepth.pipeline.surface import vertex_normals

CAMERA = Camera.centred(800.0, 320, 320)
FEATURES = ((-0.03, -0.02, -0.012), (0.03, -0.02, -0.012), (0.0, 0.015, 0.018), (0.0, 0.05, 0.008))
"""Eyes, nose and mouth: across, down, and how far they rise, metres."""
CAM_FROM_BODY = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def skull() -> trimesh.Trimesh:
    """At rest it looks towards -y."""
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.1)
    x, y, z = ball.vertices.T
    rise = sum(up * np.exp(-((x - across) ** 2 + (z + down) ** 2) / 0.01**2) for across, down, up in FEATURES)
    ball.vertices *= 1 + (rise * (y < 0) / 0.1)[:, None]
    return ball


def posed(mesh: trimesh.Trimesh) -> np.ndarray:
    return (mesh.vertices @ CAM_FROM_BODY.T + [0.05, -0.1, 1.5]).astype(np.float32)


def photo(mesh: trimesh.Trimesh) -> Keyframe:
    faces, at = np.array(mesh.faces), posed(mesh)
    raster = rasterize(torch.from_numpy(at), torch.from_numpy(faces), CAMERA)
    normals = raster.interpolate(torch.from_numpy(faces), torch.from_numpy(vertex_normals(at, faces))).numpy()
    inside = raster.face_index.numpy() >= 0
    grey = np.full((*inside.shape, 3), 128, np.uint8)
    images = FrameImages(grey, (inside * 255).astype(np.uint8), raster.depth_m.numpy())
    made = keyframe(0, images, CAMERA, normals.astype(np.float32))
    assert made is not None
    return made


def moved(mesh: trimesh.Trimesh, frame: Keyframe, off_m: tuple[float, float]) -> np.ndarray:
    """How far the head was moved that was posed so far off."""
    count = len(mesh.vertices)
    head = Head(np.ones(count, bool), np.ones(count, np.float32), 0.0)
    wrong = posed(mesh) + np.array([*off_m, 0], np.float32)
    found = face_aligned(frame, wrong, np.array(mesh.faces), head, mesh.vertices.astype(np.float32)) - wrong
    assert np.abs(found[:, 2]).max() == 0 and np.ptp(found, axis=0).max() < 0.004
    return found.mean(axis=0)[:2]


@pytest.mark.parametrize("off_m", [(0.014, -0.01), (-0.02, 0.018)])
def test_a_face_goes_to_where_its_relief_is_seen(off_m: tuple[float, float]) -> None:
    mesh = skull()
    np.testing.assert_allclose(moved(mesh, photo(mesh), off_m), -np.array(off_m), atol=0.0035)


def test_it_stays_where_it_is_right_or_nothing_tells() -> None:
    mesh = skull()
    assert not moved(mesh, photo(mesh), (0.0, 0.0)).any()
    assert not moved(mesh, replace(photo(mesh), normals=None), (0.014, -0.01)).any()
    assert not moved(mesh, photo(mesh), (3.0, 0.0)).any(), "it is posed beyond the border"
