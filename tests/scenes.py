"""Exact scenes: a sphere, a plane, and a tiny dancer whose depth, mattes and pose are known to rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from dancedepth.models.body import ADULT, BodyModel, RestBody, skin_points
from dancedepth.models.geometry import Camera, pixel_rays
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.records import (
    BodyMotion,
    Frame,
    GeometrySequence,
    ImageSequence,
    Track,
    Tracks,
    VideoInfo,
)
from dancedepth.pipeline.synthesis.character import DressedBody

CAM_FROM_BODY = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""The body upright, facing the camera."""
HEIGHT_M = 1.7


def sphere_depth(camera: Camera, centre: tuple[float, float, float], radius_m: float) -> torch.Tensor:
    """Exact z (h w) of a sphere's near side; 0 beside it."""
    rays = pixel_rays(camera).double()
    middle = torch.tensor(centre, dtype=torch.float64)
    a, b = (rays * rays).sum(-1), (rays * middle).sum(-1)
    inside = b * b - a * ((middle * middle).sum() - radius_m**2)
    return torch.where(inside > 0, (b - inside.clamp_min(0).sqrt()) / a, 0.0).float()


def plane_depth(camera: Camera, normal: tuple[float, float, float], distance_m: float) -> torch.Tensor:
    """Exact z (h w) of the plane `normal . point == -distance_m`, whose unit normal points to the camera."""
    return (-distance_m / (pixel_rays(camera).double() @ torch.tensor(normal, dtype=torch.float64))).float()


@dataclass
class StillFrames:
    """A clip held in memory."""

    images: list[np.ndarray]
    info: VideoInfo = field(init=False)
    expected_frames: int | None = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.images[0].shape[:2]
        self.info = VideoInfo(Path("tiny.mp4"), width, height, 12.0, len(self.images) / 12, 0, "raw", None)
        self.expected_frames = len(self.images)

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self.images):
            yield Frame(index, index / 12, image)


@dataclass(frozen=True)
class Scene:
    """A clip, everything the stages before fusion would say of it, and the truth in the rest pose."""

    frames: StillFrames
    tracks: Tracks
    mattes: ImageSequence
    geometry: GeometrySequence
    motion: BodyMotion
    vertices: np.ndarray
    """(v 3) of the true canonical surface."""
    faces: np.ndarray
    colors: np.ndarray
    """(v 3), 0-1."""
    seen: np.ndarray
    """(v) in how many frames a vertex of the truth was seen."""
    skin_weights: np.ndarray
    skin_bones: np.ndarray

    def posed(self, frame: int) -> np.ndarray:
        """The true surface's vertices in the camera."""
        parts = (torch.from_numpy(part) for part in (self.vertices, self.skin_weights, self.skin_bones))
        return skin_points(*parts, torch.from_numpy(self.motion.cam_from_rest[frame])[None])[0].numpy()


Turns = Callable[[int], dict[str, tuple[float, float, float]]]


def turning(count: int, revolutions: float = 1.0) -> Turns:
    """Euler angles by bone name of a dancer who turns about and swings arms and knees; `root` turns the whole body."""

    def at(frame: int) -> dict[str, tuple[float, float, float]]:
        phase = 2 * math.pi * frame / count
        return {
            "root": (0.0, 0.0, revolutions * phase),
            "upperarm01.L": (0.0, 0.5 * math.sin(phase), 0.3),
            "upperarm01.R": (0.0, 0.5 * math.cos(phase), -0.3),
            "lowerarm01.L": (0.0, 0.0, 0.4 + 0.4 * math.sin(2 * phase)),
            "upperleg01.L": (0.3 * math.sin(phase), 0.0, 0.0),
            "lowerleg01.L": (-0.3 + 0.3 * math.cos(phase), 0.0, 0.0),
            "spine03": (0.0, 0.1 * math.sin(phase), 0.15 * math.sin(phase)),
        }

    return at


def still(angles: dict[str, tuple[float, float, float]]) -> Turns:
    """The same pose in every frame."""
    return lambda frame: angles


def rest_body(body: BodyModel) -> RestBody:
    """The dancer's unposed body."""
    return body.scaled_to_height(body.rest(torch.tensor(ADULT)), HEIGHT_M)


def dressed_dancer(
    body: BodyModel, clothed: DressedBody, count: int, turns: Turns, camera: Camera | None = None
) -> Scene:
    """The same in clothes."""
    return dancer(
        body, count, turns, camera, (clothed.vertices, clothed.faces, clothed.skin_weights, clothed.skin_bones)
    )


def dancer(
    body: BodyModel,
    count: int,
    turns: Turns,
    camera: Camera | None = None,
    dressed: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
    distance_m: float = 2.6,
    paint: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Scene:
    """A body (or a dressed surface: vertices, faces, skin weights, skin bones) posed by `turns`, rendered exactly.

    `paint` gives (v 3) colours to points at rest; a pattern all over without it.
    """
    camera = camera or Camera.centred(400.0, 240, 320)
    rest = rest_body(body)
    if dressed is None:
        used, faces = torch.unique(body.faces, return_inverse=True)
        points, weights, bones = rest.vertices[used], body.skin_weights[used], body.skin_bones[used]
    else:
        points, faces, weights, bones = dressed
    cam_from_rest = _cam_from_rest(body, rest.bone_poses[:, :3, 3], count, turns, distance_m)
    colors = (paint or _pattern)(points)
    images, depths = [], []
    seen = torch.zeros(len(points))
    for transforms in cam_from_rest:
        posed = skin_points(points, weights, bones, transforms[None])[0]
        raster = rasterize(posed, faces, camera)
        depths.append(raster.depth_m.numpy())
        images.append((raster.interpolate(faces, colors) * 255).byte().numpy())
        seen[torch.unique(faces[raster.face_index[raster.face_index >= 0]])] += 1
    return Scene(
        frames=StillFrames(images),
        tracks=_tracks(count, camera),
        mattes=ImageSequence(tuple(range(count)), lambda i: ((depths[i] > 0) * 255).astype(np.uint8)),
        geometry=GeometrySequence(*(ImageSequence(tuple(range(count)), lambda i: depths[i]),) * 2),
        motion=BodyMotion(
            times_s=np.arange(count) / 12,
            fitted=np.ones(count, dtype=bool),
            phenotype=np.array(ADULT, dtype=np.float32),
            height_m=HEIGHT_M,
            rest_bone_poses=rest.bone_poses.numpy(),
            cam_from_rest=cam_from_rest.numpy(),
            bone_names=body.bone_names,
            camera=camera,
            reprojection_error_px=np.zeros(count),
        ),
        vertices=points.numpy(),
        faces=faces.numpy(),
        colors=colors.numpy(),
        seen=seen.numpy(),
        skin_weights=weights.numpy(),
        skin_bones=bones.numpy(),
    )


def _cam_from_rest(body: BodyModel, heads: torch.Tensor, count: int, turns: Turns, distance_m: float) -> torch.Tensor:
    rotations = torch.eye(3).repeat(count, len(body.bone_names), 1, 1)
    for frame in range(count):
        for name, angles in turns(frame).items():
            rotations[frame, body.bone(name)] = _euler(angles)
    rotations[:, 0] = CAM_FROM_BODY @ rotations[:, 0]
    return body.pose(heads[None], rotations, torch.tensor([0.0, 0.0, distance_m]).repeat(count, 1))


def _euler(angles: tuple[float, float, float]) -> torch.Tensor:
    result = torch.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        result = turn @ result
    return result


def _pattern(points: torch.Tensor) -> torch.Tensor:
    """Smooth bands of colour fixed to the rest surface."""
    return 0.5 + 0.4 * torch.sin(points @ torch.tensor([[9.0, 2.0, 5.0], [3.0, 11.0, 1.0], [12.0, 4.0, 8.0]]).T)


def _tracks(count: int, camera: Camera) -> Tracks:
    box = np.array([0.0, 0.0, camera.width, camera.height])
    person = Track.unseen(1, count)
    person.boxes_px[:], person.keypoints_px[:], person.confidence[:], person.score[:] = box, 0.0, 1.0, 1.0
    return Tracks(np.arange(count) / 12, np.ones(count), np.zeros(count), (person,), 0, (camera.width, camera.height))
