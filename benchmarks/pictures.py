"""The textured surface as a picture, and how alike two pictures are."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.records import BodyMotion, Surface
from dancedepth.pipeline.surface import pose_surface
from dancedepth.pipeline.texture import looked_up
from dancedepth.pipeline.turntable import shown_normals

SSIM_SIGMA_PX, SSIM_C1, SSIM_C2 = 1.5, 0.01**2, 0.03**2
"""As in Wang et al. 2004."""


def textured(surface: Surface, motion: BodyMotion, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The textured surface in one frame on grey, 0-1, and where it is."""
    assert surface.uv is not None and surface.texture is not None
    posed, faces = torch.from_numpy(pose_surface(surface, motion.cam_from_rest[index])), torch.from_numpy(surface.faces)
    raster = rasterize(posed, faces, motion.camera, front_only=True)
    uv = raster.interpolate(faces, torch.from_numpy(surface.uv)).numpy()
    covered = raster.face_index.numpy() >= 0
    side = len(surface.texture)
    image = np.full((*covered.shape, 3), 0.5, np.float32)
    image[covered] = looked_up(surface.texture, np.stack((uv[covered, 0], 1 - uv[covered, 1]), axis=1) * side)
    return image, covered


def shown(surface: Surface, motion: BodyMotion, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (p 3) that the surface with its normal map shows in one frame, and where (h w) the p pixels are."""
    posed, faces = pose_surface(surface, motion.cam_from_rest[index]), torch.from_numpy(surface.faces)
    raster = rasterize(torch.from_numpy(posed), faces, motion.camera, front_only=True)
    covered = raster.face_index.numpy() >= 0

    def pixels(values: np.ndarray) -> np.ndarray:
        return raster.interpolate(faces, torch.from_numpy(values.astype(np.float32))).numpy()[covered]

    return shown_normals(surface, posed, pixels), covered


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity of grey values, pixel by pixel."""
    x, y = a.mean(axis=-1, dtype=np.float64), b.mean(axis=-1, dtype=np.float64)

    def blur(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), SSIM_SIGMA_PX)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, both = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + SSIM_C1) * (2 * both + SSIM_C2)
    result: np.ndarray = above / ((mean_x**2 + mean_y**2 + SSIM_C1) * (var_x + var_y + SSIM_C2))
    return result
