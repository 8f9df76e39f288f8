"""Pictures of a surface, rendered off screen: one view, or the four sides of a contact sheet."""

from __future__ import annotations

import math

import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.records import Surface
from dancedepth.pipeline.surface import vertex_normals
from jaxtyping import Float, Int, UInt8

BACKGROUND = 0.13
AMBIENT = 0.35
VIEW_DISTANCE = 4.0
"""Camera distance over the surface's extent: far enough that near limbs do not look large."""
UNSEEN_COLOR = (0.85, 0.15, 0.1)


def render_surface(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    colors: UInt8[np.ndarray, "v 3"] | None,
    normals: Float[np.ndarray, "v 3"],
    camera: Camera,
    oversampling: int = 2,
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of a coloured surface under a light at the camera's left shoulder.

    Args:
        vertices, normals: in the camera's frame.
        colors: None shows the shape alone, in clay.
        oversampling: sub-pixels along each side of a pixel, against jagged edges.
    """
    fine = camera.resized(camera.width * oversampling, camera.height * oversampling)
    triangles = torch.as_tensor(faces).long()
    raster = rasterize(torch.as_tensor(vertices, dtype=torch.float32), triangles, fine)
    shades = np.full_like(vertices, 190) if colors is None else colors
    values = np.concatenate((shades / 255.0, normals), axis=1).astype(np.float32)
    image = raster.interpolate(triangles, torch.from_numpy(values)).numpy()
    normal = image[..., 3:] / np.maximum(np.linalg.norm(image[..., 3:], axis=-1, keepdims=True), 1e-6)
    light = np.array([-0.4, -0.5, -0.77], dtype=np.float32)
    shade = AMBIENT + (1 - AMBIENT) * np.clip(normal @ light, 0, 1)
    seen = (raster.face_index >= 0).numpy()[..., None]
    picture = np.where(seen, image[..., :3] * shade[..., None], BACKGROUND)
    blocks = picture.reshape(camera.height, oversampling, camera.width, oversampling, 3).mean(axis=(1, 3))
    return np.rint(blocks.clip(0, 1) * 255).astype(np.uint8)


def four_sides(surface: Surface, height_px: int = 480, look: str = "color") -> UInt8[np.ndarray, "h w 3"]:
    """The rest pose from its front, left, back and right, side by side; `look` is `color`, `clay` or `observed`."""
    colors = {"color": surface.colors, "clay": None, "observed": observed_colors(surface)}[look]
    views = [turned_view(surface, colors, quarter * math.pi / 2, height_px) for quarter in range(4)]
    return np.concatenate(views, axis=1)


def turned_view(
    surface: Surface, colors: UInt8[np.ndarray, "v 3"] | None, turn_rad: float, height_px: int
) -> UInt8[np.ndarray, "h w 3"]:
    """The rest pose from one side: 0 its front, then on to its left."""
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    extent = float((high - low).max())
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    cam_from_body = np.array([[cos, sin, 0], [0, 0, -1], [-sin, cos, 0]], dtype=np.float32)
    vertices = (surface.vertices - (low + high) / 2) @ cam_from_body.T
    vertices[:, 2] += VIEW_DISTANCE * extent
    width_px = round(height_px * 0.7)
    camera = Camera.centred(height_px * VIEW_DISTANCE * 0.93, width_px, height_px)
    return render_surface(vertices, surface.faces, colors, surface.normals @ cam_from_body.T, camera)


def posed_view(
    surface: Surface, vertices_cam: Float[np.ndarray, "v 3"], camera: Camera, look: str = "color"
) -> UInt8[np.ndarray, "h w 3"]:
    """The posed surface as the clip's camera sees it."""
    colors = surface.colors if look == "color" else None
    return render_surface(vertices_cam, surface.faces, colors, vertex_normals(vertices_cam, surface.faces), camera)


def observed_colors(surface: Surface) -> UInt8[np.ndarray, "v 3"]:
    """Light grey where seen, red where filled from the body."""
    share = surface.observed[:, None]
    mixed: np.ndarray = share * 0.8 + (1 - share) * np.array(UNSEEN_COLOR)
    return np.rint(mixed * 255).astype(np.uint8)
