"""Pictures of a surface, rendered off screen: from one side or four, at rest or posed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.records import Surface
from dancedepth.pipeline.surface import seamless_normals, vertex_normals
from dancedepth.pipeline.tangents import detailed, tangents, unit
from jaxtyping import Bool, Float, UInt8

Look = Literal["color", "clay", "normals", "observed"]
"""What a surface is painted with: its colours, nothing, its normals towards the camera, or how much of it was seen."""
BACKGROUND = 0.13
AMBIENT = 0.35
LIGHT = np.array([-0.4, -0.5, -0.77], dtype=np.float32)
"""To the surface from a lamp at the camera's left shoulder, reversed."""
CLAY = 0.75
VIEW_DISTANCE = 4.0
"""Camera distance over the surface's extent: far enough that near limbs do not look large."""
ASPECT = 0.7
"""Width of a view of the rest pose over its height."""
UNSEEN_COLOR = (0.85, 0.15, 0.1)


def render(
    surface: Surface,
    vertices_cam: Float[np.ndarray, "v 3"],
    camera: Camera,
    look: Look = "color",
    oversampling: int = 2,
    background: UInt8[np.ndarray, "h w 3"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of the surface under a light at the camera's left shoulder.

    Args:
        surface: closed; its own vertices are not used.
        vertices_cam: its vertices in the camera's frame.
        camera: of the picture.
        look: how it is painted.
        oversampling: sub-pixels along each side of a pixel, against jagged edges.
        background: drawn over this picture instead of a dark ground.
    """
    fine = camera.resized(camera.width * oversampling, camera.height * oversampling)
    faces = torch.as_tensor(surface.faces).long()
    raster = rasterize(torch.as_tensor(vertices_cam, dtype=torch.float32), faces, fine, front_only=True)
    seen = (raster.face_index >= 0).numpy()
    corners, shares = faces[raster.face_index[seen]], raster.barycentric[seen][..., None]

    def pixels(values: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "p c"]:
        mixed: np.ndarray = (torch.from_numpy(values.astype(np.float32))[corners] * shares).sum(dim=1).numpy()
        return mixed

    if look == "color" and surface.uv is not None and surface.texture is not None:
        color = _texels(surface.texture, pixels(surface.uv))
    else:
        color = pixels(_paint(surface, look))
    normal = shown_normals(surface, vertices_cam, pixels)
    if look == "normals":
        color = normal * np.array([0.5, -0.5, -0.5], np.float32) + 0.5
    else:
        color = color * (AMBIENT + (1 - AMBIENT) * np.clip(normal @ LIGHT, 0, 1))[:, None]
    plain = round(BACKGROUND * 255)
    picture = np.full((camera.height, camera.width, 3), plain, np.uint8) if background is None else background.copy()
    return _laid_over(picture, seen, color, oversampling)


def shown_normals(
    surface: Surface, vertices_cam: Float[np.ndarray, "v 3"], pixels: Callable[[np.ndarray], np.ndarray]
) -> Float[np.ndarray, "p 3"]:
    """Unit normals of a picture's pixels, with the normal map's detail if there is one.

    Args:
        vertices_cam: the surface's vertices in the camera's frame.
        pixels: from what vertices have to what the pixels have of it.
    """
    if surface.uv is None:
        return unit(pixels(vertex_normals(vertices_cam, surface.faces)))
    normals = seamless_normals(vertices_cam, surface.faces, surface.vertices)
    if surface.normal_map is None:
        return unit(pixels(normals))
    along = tangents(vertices_cam, surface.faces, normals, surface.uv)
    return detailed(surface.normal_map, pixels(surface.uv), pixels(normals), pixels(along))


def _laid_over(
    picture: UInt8[np.ndarray, "h w 3"],
    seen: Bool[np.ndarray, "y x"],
    color: Float[np.ndarray, "p 3"],
    oversampling: int,
) -> UInt8[np.ndarray, "h w 3"]:
    """Sub-pixels' colours over a picture, which shows through where a pixel has less than all of them."""
    if oversampling == 1:
        picture[seen] = np.rint(color.clip(0, 1) * 255)
        return picture
    height, width = picture.shape[:2]
    blocks = seen.reshape(height, oversampling, width, oversampling)
    some = blocks.any(axis=(1, 3))
    which = np.zeros(some.shape, np.int64)
    which[some] = np.arange(some.sum())
    rows, columns = (place // oversampling for place in np.nonzero(seen))
    pixel = which[rows, columns]
    share = np.bincount(pixel) / oversampling**2
    total = np.stack([np.bincount(pixel, color[:, k]) for k in range(3)], axis=1) / oversampling**2
    mixed = total + (1 - share)[:, None] * picture[some] / 255
    picture[some] = np.rint(mixed.clip(0, 1) * 255)
    return picture


def four_sides(surface: Surface, height_px: int = 480, look: Look = "color") -> UInt8[np.ndarray, "h w 3"]:
    """The rest pose from its front, left, back and right, side by side."""
    camera = Camera.centred(height_px * VIEW_DISTANCE * 0.93, round(height_px * ASPECT), height_px)
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    views = []
    for quarter in range(4):
        cos, sin = math.cos(quarter * math.pi / 2), math.sin(quarter * math.pi / 2)
        cam_from_body = np.array([[cos, sin, 0], [0, 0, -1], [-sin, cos, 0]], dtype=np.float32)
        cam = (surface.vertices - (low + high) / 2) @ cam_from_body.T
        cam[:, 2] += VIEW_DISTANCE * float((high - low).max())
        views.append(render(surface, cam, camera, look))
    return np.concatenate(views, axis=1)


def coarser(surface: Surface, cell_m: float) -> Surface:
    """A lighter surface for small pictures: all vertices in one cell of a grid become one (vertex clustering)."""
    cells = np.floor(surface.vertices / cell_m).astype(np.int64)
    _, first, place = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    place = place.ravel()
    count = np.bincount(place)[:, None]

    def mean(values: np.ndarray) -> np.ndarray:
        columns = [np.bincount(place, column) for column in values.reshape(len(place), -1).T]
        result: np.ndarray = np.stack(columns, axis=1) / count
        return result.astype(np.float32)

    faces = place[surface.faces]
    a, b, c = faces.T
    return replace(
        surface,
        vertices=mean(surface.vertices),
        faces=faces[(a != b) & (b != c) & (c != a)],
        normals=surface.normals[first],
        colors=np.rint(mean(surface.colors)).astype(np.uint8),
        observed=mean(surface.observed)[:, 0],
        skin_weights=surface.skin_weights[first],
        skin_bones=surface.skin_bones[first],
        uv=None,
        texture=None,
        normal_map=None,
    )


def _texels(texture: UInt8[np.ndarray, "t t 3"], uv: Float[np.ndarray, "p 2"]) -> Float[np.ndarray, "p 3"]:
    """The texture's nearest colours, 0-1; v runs up."""
    size = len(texture)
    column, row = (np.clip(share * size, 0, size - 1).astype(int) for share in (uv[:, 0], 1 - uv[:, 1]))
    colors: np.ndarray = texture[row, column] / np.float32(255)
    return colors


def _paint(surface: Surface, look: Look) -> Float[np.ndarray, "v 3"]:
    if look == "color":
        painted: np.ndarray = surface.colors / 255
        return painted
    if look == "observed":
        share = surface.observed[:, None]
        mixed: np.ndarray = share * 0.8 + (1 - share) * np.array(UNSEEN_COLOR)
        return mixed
    return np.full((len(surface.vertices), 3), CLAY)
