"""The normal map, baked from pictures of a ball whose normals have ripples that its triangles have not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import trimesh
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.atlas import Atlas
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.keyframes import Keyframe, keyframe
from dancedepth.pipeline.normal_map import NormalLayer, seen_normals
from dancedepth.pipeline.tangents import detailed, tangents, unit
from dancedepth.pipeline.texture import bake, blend
from dancedepth.pipeline.vertex_colors import VertexLooks, vertex_look
from scipy.spatial.transform import Rotation

CAMERA = Camera.centred(500.0, 320, 320)
SIZE = 512
TURNS = np.linspace(0, 2 * np.pi, 8, endpoint=False)


def rippled(points: np.ndarray) -> np.ndarray:
    """Unit normals of the ball with ripples four centimetres long along its three axes."""
    normals = points / np.linalg.norm(points, axis=-1, keepdims=True) + 0.3 * np.sin(150 * points)
    unit: np.ndarray = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    return unit


def off(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=-1), -1, 1)))


def turned(turn: float) -> np.ndarray:
    """Camera from rest."""
    return Rotation.from_euler("y", turn).as_matrix().astype(np.float32)


def photo(ball: trimesh.Trimesh, turn: float, mistaken: Rotation) -> Keyframe:
    """With normals as seen by somebody who takes everything for turned a little more."""
    posed = (ball.vertices @ turned(turn).T + [0, 0, 1.5]).astype(np.float32)
    raster = rasterize(torch.from_numpy(posed), torch.from_numpy(ball.faces), CAMERA)
    rest = raster.interpolate(torch.from_numpy(ball.faces), torch.from_numpy(ball.vertices).float()).numpy()
    inside = raster.face_index.numpy() >= 0
    normals = np.zeros((*inside.shape, 3), np.float32)
    normals[inside] = mistaken.apply(rippled(rest[inside]) @ turned(turn).T)
    grey = np.full(normals.shape, 128, np.uint8)
    images = FrameImages(grey, (inside * 255).astype(np.uint8), raster.depth_m.numpy(), normals=normals)
    made = keyframe(0, images, CAMERA)
    assert made is not None
    return made


def shown(ball: trimesh.Trimesh, atlas: Atlas, frames: list[Keyframe]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points within 20 cm of the ball's middle plane, the surface's normals there and those that the map shows."""
    posed = [(ball.vertices @ turned(turn).T + [0, 0, 1.5]).astype(np.float32) for turn in TURNS]
    seen = [vertex_look(frame, at, ball.faces) for frame, at in zip(frames, posed, strict=True)]
    weight, color = (np.stack(part) for part in zip(*seen, strict=True))
    looks = VertexLooks(weight, color, np.ones((len(frames), 3), np.float32))
    trust = (weight.max(axis=0) > 0.05).astype(np.float32)
    made = blend(looks, np.full((len(trust), 3), 0.5, np.float32), trust, ball.faces)
    normals, vertices = ball.vertex_normals.astype(np.float32), ball.vertices.astype(np.float32)
    turns = [np.tile(turned(turn), (len(vertices), 1, 1)) for turn in TURNS]
    seen = seen_normals(normals, ball.faces, looks, made, frames, posed, turns)
    layer = NormalLayer.on(vertices, normals, atlas, seen)
    (normal_map,) = bake(atlas, [layer], made, frames, posed, SIZE)
    rng = np.random.default_rng(1)
    corners, shares = atlas.faces[rng.integers(0, len(atlas.faces), 5000)], rng.dirichlet([1] * 3, 5000)
    own, split = normals[atlas.source], vertices[atlas.source]
    along = tangents(split, atlas.faces, own, atlas.uv)
    points, uv, flat, beside = (
        (part[corners] * shares[..., None]).sum(axis=1) for part in (split, atlas.uv, own, along)
    )
    belt = np.abs(points[:, 1]) < 0.2
    return points[belt], unit(flat)[belt], detailed(normal_map, uv, flat, beside)[belt]


def test_the_map_shows_the_ripples(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    points, flat, found = shown(ball, atlas, [photo(ball, turn, Rotation.identity()) for turn in TURNS])
    assert off(flat, rippled(points)).mean() > 14
    assert off(found, rippled(points)).mean() < 5


def test_what_whole_frames_are_tilted_by_is_left_away(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    mistakes = [Rotation.from_rotvec([0.2 * (-1) ** k, 0.1, 0]) for k in range(len(TURNS))]
    frames = [photo(ball, turn, mistake) for turn, mistake in zip(TURNS, mistakes, strict=True)]
    points, _, found = shown(ball, atlas, frames)
    assert off(found, rippled(points)).mean() < 7, "and not the twelve degrees of the mistake"


def test_where_frames_see_nothing_or_something_else_the_map_is_flat(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    frames = [photo(ball, turn, Rotation.identity()) for turn in TURNS]
    nothing = [replace(frame, normals=np.full_like(frame.normals, 128)) for frame in frames]
    _, flat, found = shown(ball, atlas, nothing)
    assert off(found, flat).max() < 1.5
    _, flat, found = shown(ball, atlas, [striped(frame) for frame in frames])
    assert off(found, flat).max() < 40 and off(found, flat).mean() < 5, "what looks sideways is no fold"


def striped(frame: Keyframe) -> Keyframe:
    """With a smooth ball's normals, but for stripes that look to the right, as an arm's edge before it does."""
    rows, columns = np.mgrid[: frame.camera.height, : frame.camera.width] + 0.5
    ray = np.stack(((columns - frame.camera.cx), (rows - frame.camera.cy), np.full(rows.shape, 500.0)), axis=-1) / 500
    ahead, square = ray[..., 2] * 1.5, (ray**2).sum(axis=-1)
    reach = (ahead - np.sqrt(np.maximum(ahead**2 - square * (1.5**2 - 0.3**2), 0))) / square
    normals = (ray * reach[..., None] - [0, 0, 1.5]) / 0.3
    normals[:, ::24] = normals[:, 1::24] = normals[:, 2::24] = (1, 0, 0)
    return replace(frame, normals=cv2.convertScaleAbs(normals, alpha=127.5, beta=127.5))


@pytest.mark.parametrize("mirrored", [False, True])
def test_tangents_of_a_square(mirrored: bool) -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 2, 0], [0, 2, 0]], np.float32)
    uv = np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32)  # u grows along y, v along x
    if mirrored:
        uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * [1, -1]
    normals = np.tile(np.array([[0, 0, 1]], np.float32), (4, 1))
    found = tangents(vertices, np.array([[0, 1, 2], [0, 2, 3]]), normals, uv)
    along, up = ([1, 0, 0], [0, -1, 0]) if mirrored else ([0, 1, 0], [1, 0, 0])
    np.testing.assert_allclose(found[:, :3], np.tile(along, (4, 1)), atol=1e-6)
    np.testing.assert_allclose(np.cross(normals, found[:, :3]) * found[:, 3:], np.tile(up, (4, 1)), atol=1e-6)


def test_a_vertex_without_room_in_the_texture_has_a_tangent() -> None:
    vertices, uv = np.eye(3, dtype=np.float32), np.zeros((3, 2), np.float32)
    normals = np.full((3, 3), 3**-0.5, np.float32)
    found = tangents(vertices, np.array([[0, 1, 2]]), normals, uv)
    np.testing.assert_allclose(np.linalg.norm(found[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((found[:, :3] * normals).sum(axis=1), 0, atol=1e-6)
