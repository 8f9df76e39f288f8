"""The atlas and the texture baked into it, on a ball photographed from several sides."""

from dataclasses import replace

import cv2
import numpy as np
import torch
import trimesh
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.atlas import Atlas
from dancedepth.pipeline.color_fill import Head
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.keyframes import Keyframe, keyframe
from dancedepth.pipeline.portrait import Portrait, choose_portrait
from dancedepth.pipeline.texture import Blend, ColorLayer, bake, blend
from dancedepth.pipeline.vertex_colors import VertexLooks, balanced, consensus, vertex_look
from dancedepth.pipeline.volume_sampling import Samples

CAMERA = Camera.centred(500.0, 320, 320)
SIZE = 512


def pattern(points: np.ndarray) -> np.ndarray:
    """Bands finer than the vertices' spacing."""
    return 0.5 + 0.35 * np.sin(points @ np.array([[60.0, 10, 0], [0, 70, 20], [15, 0, 65]]).T)


def placed(ball: trimesh.Trimesh, turn: float) -> np.ndarray:
    cos, sin = np.cos(turn), np.sin(turn)
    return (ball.vertices @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T + [0, 0, 1.5]).astype(np.float32)


def photo(ball: trimesh.Trimesh, turn: float, index: int, gain: float = 1.0) -> Keyframe:
    raster = rasterize(torch.from_numpy(placed(ball, turn)), torch.from_numpy(ball.faces), CAMERA)
    rest = raster.interpolate(torch.from_numpy(ball.faces), torch.from_numpy(ball.vertices).float()).numpy()
    inside = raster.face_index.numpy() >= 0
    rgb = np.where(inside[..., None], pattern(rest) * gain * 255, 30).astype(np.uint8)
    made = keyframe(index, FrameImages(rgb, (inside * 255).astype(np.uint8), raster.depth_m.numpy()), CAMERA)
    assert made is not None
    return made


def painted(
    atlas: Atlas, color: np.ndarray, looks: VertexLooks, made: Blend, frames: list[Keyframe], posed: list[np.ndarray]
) -> np.ndarray:
    (image,) = bake(atlas, [ColorLayer(color, looks, made, frames)], made, frames, posed, SIZE)
    return image


def baked(ball: trimesh.Trimesh, atlas: Atlas, gains: tuple[float, ...]) -> np.ndarray:
    """Absolute error of every texel that lies in a triangle."""
    turns = [2 * np.pi * k / len(gains) for k in range(len(gains))]
    frames = [photo(ball, turn, k, gain) for k, (turn, gain) in enumerate(zip(turns, gains, strict=True))]
    posed = [placed(ball, turn) for turn in turns]
    weight, color = (
        np.stack(part)
        for part in zip(*(vertex_look(f, p, ball.faces) for f, p in zip(frames, posed, strict=True)), strict=True)
    )
    looks = balanced(weight, color, pattern(ball.vertices).astype(np.float32))
    agreed = consensus(looks)
    trust = (agreed.weight > 0.05).astype(np.float32)
    image = painted(atlas, agreed.color, looks, blend(looks, agreed.color, trust, ball.faces), frames, posed)
    flat = np.stack((atlas.uv[:, 0] * SIZE, (1 - atlas.uv[:, 1]) * SIZE, np.ones(len(atlas.uv))), axis=1)
    raster = rasterize(
        torch.from_numpy(flat.astype(np.float32)), torch.from_numpy(atlas.faces), Camera(1.0, 0.0, 0.0, SIZE, SIZE)
    )
    rest = torch.from_numpy(ball.vertices[atlas.source]).float()
    at = raster.interpolate(torch.from_numpy(atlas.faces), rest).numpy()
    seen = (raster.face_index.numpy() >= 0) & (np.abs(at[..., 1]) < 0.25)
    return np.abs(image / 255 - pattern(at))[seen]


def test_the_atlas_has_every_triangle_once_and_none_overlap(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    np.testing.assert_array_equal(
        np.sort(np.sort(atlas.source[atlas.faces], axis=1), axis=0), np.sort(np.sort(ball.faces, axis=1), axis=0)
    )
    assert atlas.uv.min() >= 0
    assert atlas.uv.max() <= 1
    a, b, c = (atlas.uv[atlas.faces[:, k]] for k in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert 0.3 < area < 1, "of the picture is used, which overlaps would exceed"
    true = trimesh.Trimesh(ball.vertices, ball.faces, process=False).area_faces
    stretch = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / true
    assert np.percentile(stretch, 99) < 4 * np.percentile(stretch, 1)


def test_the_texture_shows_what_the_photos_show(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    error = baked(ball, atlas, (1.0,) * 8)
    assert error.mean() < 0.03
    assert np.percentile(error, 99) < 0.15


def test_what_hides_a_part_of_a_triangle_is_not_painted_on_it(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    """A red finger, narrower than the triangles, before a grey ball."""
    clear, posed = photo(ball, 0.0, 0), placed(ball, 0.0)
    rgb, depth_mm = np.repeat(clear.rgb[..., :1], 3, axis=-1), clear.depth_mm.copy()
    middle = rgb.shape[1] // 2
    rgb[:, middle - 3 : middle + 3] = (255, 0, 0)
    depth_mm[:, middle - 4 : middle + 4] = 1000
    frame = replace(clear, rgb=rgb, depth_mm=depth_mm)
    weight, color = vertex_look(frame, posed, ball.faces)
    looks = VertexLooks(weight[None], color[None], np.ones((1, 3), np.float32))
    plain = np.full((len(weight), 3), 0.5, np.float32)
    made = blend(looks, plain, (weight > 0).astype(np.float32), ball.faces)
    image = painted(atlas, plain, looks, replace(made, shift=np.zeros_like(made.shift)), [frame], [posed]) / 255
    assert made.share.max() > 0.9
    assert (image[..., 0] - image[..., 1:].max(axis=-1)).max() < 0.05


def test_photos_of_different_exposure_are_balanced(ball: trimesh.Trimesh, atlas: Atlas) -> None:
    error = baked(ball, atlas, (0.85, 1.1, 0.9, 1.15, 0.85, 1.1, 0.9, 1.15))
    assert error.mean() < 0.05, "without balance 0.07"


def test_a_photo_of_something_else_is_outvoted() -> None:
    weight = np.ones((5, 10), np.float32)
    color = np.full((5, 10, 3), 0.6, np.float32)
    color[2] = (0.1, 0.9, 0.1)
    looks = balanced(weight, color, np.full((10, 3), 0.6, np.float32))
    np.testing.assert_allclose(consensus(looks).color, 0.6, atol=0.02)


def test_a_face_comes_from_one_look(ball: trimesh.Trimesh) -> None:
    """Two looks that see the ball about equally well: in the face there is none of the second."""
    count = len(ball.vertices)
    weight = np.full((2, count), 0.9, np.float32)
    weight[1, ball.vertices[:, 0] > 0] = 1.0
    color = np.full((2, count, 3), 0.5, np.float32)
    samples = Samples(color[0], np.ones(count), np.ones(count))
    face = ball.vertices[:, 2] > 0.1
    looks, rest = Portrait(face, 0, np.ones(count)).alone(
        VertexLooks(weight, color, np.ones((2, 3), np.float32)), samples
    )
    made = blend(looks, color[0], np.ones(count, np.float32), ball.faces)
    assert made.share[1, ball.vertices[:, 2] > 0.2].max() < 0.01
    assert made.share[1, (ball.vertices[:, 0] > 0.2) & (ball.vertices[:, 2] < -0.1)].min() > 0.7
    assert (rest.color_weight[face] == 0).all() and (rest.color_weight[~face] == 1).all()


def test_the_portrait_has_open_eyes(ball: trimesh.Trimesh) -> None:
    """Two looks at the same front: eyes as lines in a busier picture, and eyes as discs."""
    vertices = np.asarray(ball.vertices)
    nobody = np.zeros(len(vertices), bool)
    eyes = np.array([[-0.05, -0.29, 0.03], [0.05, -0.29, 0.03]])
    at = (vertices @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T + [0, 0, 1.0]).astype(np.float32)
    raster = rasterize(torch.from_numpy(at), torch.from_numpy(ball.faces), CAMERA)
    rest = raster.interpolate(torch.from_numpy(ball.faces), torch.from_numpy(vertices).float()).numpy()
    inside = raster.face_index.numpy() >= 0

    def look(half_height: float, speckles: float) -> Keyframe:
        away = np.stack([np.hypot((rest[..., 0] - x) / 0.006, (rest[..., 2] - z) / half_height) for x, _, z in eyes])
        grey = np.where((away < 1).any(axis=0), 30.0, 200.0)
        mouth = np.abs(rest[..., 2] + 0.1) < 0.04
        grey = grey - speckles * mouth * np.random.default_rng(0).random(grey.shape)
        rgb = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
        made = keyframe(0, FrameImages(rgb, (inside * 255).astype(np.uint8), raster.depth_m.numpy()), CAMERA)
        assert made is not None
        return made

    frames = [look(0.001, 150.0), look(0.006, 30.0)]
    seen = [vertex_look(frame, at, ball.faces) for frame in frames]
    looks = VertexLooks(np.stack([w for w, _ in seen]), np.stack([c for _, c in seen]), np.ones((2, 3), np.float32))
    chosen = [
        choose_portrait(vertices, head, nobody, looks, frames, [at, at], ball.faces)
        for head in (Head(~nobody, np.ones(len(vertices)), 0.0), Head(~nobody, np.ones(len(vertices)), 0.0, eyes))
    ]
    assert [portrait and portrait.frame for portrait in chosen] == [0, 1]


def test_the_portrait_is_sharp_from_the_front_and_without_hands(ball: trimesh.Trimesh) -> None:
    """Five looks at a ball whose front is the face: from the side, blurred, behind a hand, and as it should be."""
    vertices = np.asarray(ball.vertices)
    hands = vertices[:, 2] > 0.29  # what is there is no hand's, but is posed as one
    head = Head(~hands, np.ones(len(vertices)), 0.0)
    facing = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

    def look(turn: float, hand_at: float, blurred: bool) -> tuple[Keyframe, np.ndarray]:
        cos, sin = np.cos(turn), np.sin(turn)
        turned = vertices @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T
        at = (turned @ facing.T + [0, 0, 1.5]).astype(np.float32)
        at[hands] = [hand_at, 0, 1.0]
        raster = rasterize(torch.from_numpy(at), torch.from_numpy(ball.faces), CAMERA)
        rest = raster.interpolate(torch.from_numpy(ball.faces), torch.from_numpy(vertices).float()).numpy()
        inside = raster.face_index.numpy() >= 0
        rgb = np.where(inside[..., None], pattern(rest) * 255, 30).astype(np.uint8)
        rgb = cv2.GaussianBlur(rgb, (0, 0), 8) if blurred else rgb
        made = keyframe(0, FrameImages(rgb, (inside * 255).astype(np.uint8), raster.depth_m.numpy()), CAMERA)
        assert made is not None
        return made, at

    shots = [look(0.9, 0.6, False), look(0, 0.6, True), look(0, 0.02, False), look(0.1, 0.6, False)]
    frames, posed = [shot[0] for shot in shots], [shot[1] for shot in shots]
    seen = [vertex_look(frame, at, ball.faces) for frame, at in shots]
    looks = VertexLooks(np.stack([w for w, _ in seen]), np.stack([c for _, c in seen]), np.ones((4, 3), np.float32))
    portrait = choose_portrait(vertices, head, hands, looks, frames, posed, ball.faces)
    assert portrait is not None and portrait.frame == 3
    assert (vertices[portrait.face, 1] < 0).all()
    assert (
        portrait.weight[vertices[:, 1] < -0.25].min() > 0.9
        and portrait.weight[(vertices[:, 1] > 0.05) & (vertices[:, 2] < 0.2)].max() == 0
    )
    assert choose_portrait(vertices, None, hands, looks, frames, posed, ball.faces) is None
