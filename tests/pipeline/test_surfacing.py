"""The surface in colour, from a head, a trunk and a hand that are balls."""

import numpy as np
import torch
import trimesh
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.keyframes import Keyframe, keyframe
from dancedepth.pipeline.records import BodyMotion
from dancedepth.pipeline.surfacing import Shape, painted
from dancedepth.pipeline.volume_sampling import Samples

CAMERA = Camera.centred(500.0, 320, 320)
SKIN, CLOTH = np.array([205, 155, 130]), np.array([40, 60, 190])
BONES = ("spine01", "head", "wrist.L")
CAM_FROM_BODY = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 1.5], [0, 0, 0, 1]])
"""An upright body that faces the camera."""


def dancer() -> tuple[trimesh.Trimesh, np.ndarray]:
    """The three balls as one mesh, and each vertex's bone."""
    balls = [trimesh.creation.icosphere(subdivisions=3, radius=radius) for radius in (0.14, 0.1, 0.06)]
    for ball, place in zip(balls, ([0, 0, 0], [0, 0, 0.28], [0.26, 0, 0]), strict=True):
        ball.apply_translation(place)
    return trimesh.util.concatenate(balls), np.repeat(np.arange(3), [len(ball.vertices) for ball in balls])


def photo(mesh: trimesh.Trimesh, bones: np.ndarray, index: int, hand: np.ndarray) -> Keyframe:
    at = mesh.vertices @ CAM_FROM_BODY[:3, :3].T + CAM_FROM_BODY[:3, 3]
    raster = rasterize(torch.from_numpy(at).float(), torch.from_numpy(np.array(mesh.faces)), CAMERA)
    face = raster.face_index.numpy()
    paint = np.stack((CLOTH, SKIN, hand))[bones[mesh.faces[face, 0]]]
    rgb = np.where(face[..., None] >= 0, paint, 30).astype(np.uint8)
    alpha = ((face >= 0) * 255).astype(np.uint8)
    made = keyframe(index, FrameImages(rgb, alpha, raster.depth_m.numpy()), CAMERA)
    assert made is not None
    return made


def test_hands_are_painted_by_looks_at_hands() -> None:
    """Two of three frames show the cloth behind the fingers where the fit has the hand."""
    mesh, bones = dancer()
    count = len(mesh.vertices)
    weights = np.zeros((count, 4), np.float32)
    weights[:, 0] = 1
    shape = Shape(mesh.vertices.astype(np.float32), mesh.faces, weights, np.repeat(bones[:, None], 4, axis=1))
    motion = BodyMotion(
        times_s=np.arange(3) / 12,
        fitted=np.ones(3, bool),
        phenotype=np.zeros(6, np.float32),
        height_m=0.5,
        rest_bone_poses=np.tile(np.eye(4, dtype=np.float32), (3, 1, 1)),
        cam_from_rest=np.tile(CAM_FROM_BODY.astype(np.float32), (3, 3, 1, 1)),
        bone_names=BONES,
        camera=CAMERA,
        reprojection_error_px=np.ones(3, np.float32),
    )
    frames = [photo(mesh, bones, index, hand) for index, hand in enumerate((CLOTH, CLOTH, SKIN))]
    mean = np.stack((CLOTH, SKIN, (2 * CLOTH + SKIN) / 3))[bones] / 255
    surface = painted(shape, Samples(mean, np.ones(count), np.ones(count)), motion, frames, 256)
    seen = surface.vertices[:, 1] < -0.02
    for bone, color in enumerate((CLOTH, SKIN, SKIN)):
        own = seen & (surface.skin_bones[:, 0] == bone)
        assert np.abs(surface.colors[own, :3].astype(int) - color).max() < 25, BONES[bone]
