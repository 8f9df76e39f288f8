"""The surface in colour, from a head, a trunk and a hand that are balls."""

import numpy as np
import torch
import trimesh
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.keyframes import Keyframe, keyframe
from dancedepth.pipeline.records import BodyMotion, Surface
from dancedepth.pipeline.surfacing import Shape, painted
from dancedepth.pipeline.volume_sampling import Samples

CAMERA = Camera.centred(500.0, 320, 320)
SKIN, CLOTH = np.array([205, 155, 130]), np.array([40, 60, 190])
CAM_FROM_BODY = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 1.5], [0, 0, 0, 1]])
"""An upright body that faces the camera."""


def dancer(third: tuple[float, float, float] = (0.26, 0, 0)) -> tuple[trimesh.Trimesh, np.ndarray]:
    """The three balls as one mesh, and each vertex's bone."""
    balls = [trimesh.creation.icosphere(subdivisions=3, radius=radius) for radius in (0.14, 0.1, 0.06)]
    for ball, place in zip(balls, ([0, 0, 0], [0, 0, 0.28], third), strict=True):
        ball.apply_translation(place)
    return trimesh.util.concatenate(balls), np.repeat(np.arange(3), [len(ball.vertices) for ball in balls])


def photo(mesh: trimesh.Trimesh, index: int, paint: np.ndarray) -> Keyframe:
    """Of the mesh as it is, each triangle in the colour of its first vertex."""
    at = mesh.vertices @ CAM_FROM_BODY[:3, :3].T + CAM_FROM_BODY[:3, 3]
    raster = rasterize(torch.from_numpy(at).float(), torch.from_numpy(np.array(mesh.faces)), CAMERA)
    face = raster.face_index.numpy()
    rgb = np.where(face[..., None] >= 0, paint[mesh.faces[face, 0]], 30).astype(np.uint8)
    alpha = ((face >= 0) * 255).astype(np.uint8)
    made = keyframe(index, FrameImages(rgb, alpha, raster.depth_m.numpy()), CAMERA)
    assert made is not None
    return made


def surface_of(
    mesh: trimesh.Trimesh, bones: np.ndarray, paints: list[np.ndarray], names: tuple[str, ...], away_m: float = 0.0
) -> Surface:
    """Painted by one photo for each of the paints; at rest the last ball is `away_m` farther to the side."""
    count = len(mesh.vertices)
    weights = np.zeros((count, 4), np.float32)
    weights[:, 0] = 1
    shift = np.array([away_m, 0, 0])
    rest = mesh.vertices + (bones == 2)[:, None] * shift
    shape = Shape(rest.astype(np.float32), mesh.faces, weights, np.repeat(bones[:, None], 4, axis=1))
    cam_from_rest = np.tile(CAM_FROM_BODY, (len(paints), 3, 1, 1))
    cam_from_rest[:, 2, :3, 3] -= CAM_FROM_BODY[:3, :3] @ shift
    motion = BodyMotion(
        times_s=np.arange(len(paints)) / 12,
        fitted=np.ones(len(paints), bool),
        phenotype=np.zeros(6, np.float32),
        height_m=0.5,
        rest_bone_poses=np.tile(np.eye(4, dtype=np.float32), (3, 1, 1)),
        cam_from_rest=cam_from_rest.astype(np.float32),
        bone_names=names,
        camera=CAMERA,
        reprojection_error_px=np.ones(len(paints), np.float32),
    )
    frames = [photo(mesh, index, paint) for index, paint in enumerate(paints)]
    mean = np.mean(paints, axis=0) / 255
    return painted(shape, Samples(mean, np.ones(count), np.ones(count)), motion, frames, 256)


def worst(surface: Surface, rows: np.ndarray, color: np.ndarray) -> int:
    """How far the colours of the vertices that face the camera are from one colour, of 255."""
    seen = rows & (surface.vertices[:, 1] < -0.02)
    assert seen.any()
    return int(np.abs(surface.colors[seen, :3].astype(int) - color).max())


def test_hands_are_painted_by_looks_at_hands() -> None:
    """Two of three frames show the cloth behind the fingers where the fit has the hand."""
    mesh, bones = dancer()
    paints = [np.stack((CLOTH, SKIN, hand))[bones] for hand in (CLOTH, CLOTH, SKIN)]
    surface = surface_of(mesh, bones, paints, ("spine01", "head", "wrist.L"))
    for bone, color in enumerate((CLOTH, SKIN, SKIN)):
        assert worst(surface, surface.skin_bones[:, 0] == bone, color) < 25, bone


def test_an_arm_beside_the_trunk_is_not_painted_on_it() -> None:
    """It hangs before the trunk's side, and all frames show it farther in than the fit has it."""
    mesh, bones = dancer((0.16, -0.12, 0))
    rim = (bones == 0) & (mesh.vertices[:, 0] > 0.05)
    paint = np.where(rim[:, None], SKIN, np.stack((CLOTH, SKIN, SKIN))[bones])
    surface = surface_of(mesh, bones, [paint] * 3, ("spine01", "head", "lowerarm01.L"), away_m=0.3)
    x, y, z = surface.vertices.T
    there = (surface.skin_bones[:, 0] == 0) & (x > 0.06) & (x < 0.08) & (np.abs(z) < 0.06) & (y < 0)
    off = np.linalg.norm(surface.colors[there, :3].mean(axis=0) - CLOTH)
    assert there.any() and off < 0.5 * np.linalg.norm(SKIN - CLOTH), "filled from cloth around, as far as there is any"
    assert worst(surface, surface.skin_bones[:, 0] == 2, SKIN) < 25
