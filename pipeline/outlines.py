"""How far clothes stand off the body at its outline, measured in the mattes.

Depth says least where a surface turns away from the camera; there the matte's edge says exactly where it is. At every
sample of the skin that a frame sees edge-on, the way from the sample along its normal to the matte's edge is measured.
A clip tells a quantile over its frames: a limb that the fit put a little too far left in one frame is as far too far
right for its other side, and clothes swing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.body_field import SurfaceSamples
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

EDGE_ON_COS = 0.3
"""Skin is seen edge-on if its normal and the ray to it are at a right angle, within this."""
STEP_M = 0.004
STEPS_IN, STEPS_OUT = 15, 40
"""The edge is looked for so far below and above the skin."""
NEAREST_M = 0.05
QUANTILE = 0.35
"""Of the measurements: loose clothes hang off the body on the lower side only, and on the other cling to it."""
CLEAR_STEPS = 3
"""The body is left behind after so many steps, and no other part of it begins within so many of the edge."""


@dataclass(frozen=True)
class Outline:
    """What the mattes' edges told of `s` samples of the skin."""

    offset_m: Float[np.ndarray, "s"]
    """From the skin out to the clothes; 0 where no frame told."""
    weight: Float[np.ndarray, "s"]
    """Of the frames that told: one that sees the sample exactly edge-on counts one."""


class OutlineGauge:
    """Measures frame after frame; a histogram a sample keeps its memory the same however many there are."""

    def __init__(self, samples: SurfaceSamples, image: Camera, device: torch.device) -> None:
        """`image` is the camera of the whole picture: where it ends, nothing is known of an edge."""
        self._points, self._normals, self._skin = (
            torch.as_tensor(values, dtype=torch.float32, device=device)
            for values in (samples.points, samples.normals, samples.skin)
        )
        self._image = image
        self._counts = torch.zeros((len(self._points), STEPS_IN + STEPS_OUT), device=device)

    def add(
        self,
        matte: Bool[Tensor, "h w"],
        body: Bool[Tensor, "h w"],
        camera: Camera,
        cam_from_rest: Float[Tensor, "j 4 4"],
        weight: float,
    ) -> None:
        """Measure in one frame.

        Args:
            matte: the dancer, in a window of the picture that holds all of them.
            body: where that window shows the fitted body.
            camera: the window's.
            cam_from_rest: the bones' transforms.
            weight: the frame's.
        """
        matrices = (self._skin @ cam_from_rest[:, :3].reshape(-1, 12)).view(-1, 3, 4)
        at = (matrices[:, :, :3] @ self._points[..., None])[..., 0] + matrices[:, :, 3]
        normals = normalize((matrices[:, :, :3] @ self._normals[..., None])[..., 0], dim=1)
        rays = normalize(at, dim=1)
        facing = (normals * rays).sum(dim=1)
        rows = torch.nonzero(facing.abs() < EDGE_ON_COS)[:, 0]
        across = normalize(normals[rows] - facing[rows, None] * rays[rows], dim=1)
        steps = torch.arange(-STEPS_IN, STEPS_OUT, device=at.device)
        way = at[rows, None] + across[:, None] * (steps * STEP_M)[:, None]
        clothed, skin = _looked_up(matte, way, camera), _looked_up(body, way, camera)
        edge, found = _edges(clothed)
        beside = (steps > CLEAR_STEPS) & (steps <= edge[:, None] - STEPS_IN + CLEAR_STEPS)
        found &= ~(skin & beside).any(dim=1) & _seen(way, self._image).all(dim=1)
        share = weight * (1 - facing[rows].abs() / EDGE_ON_COS)
        self._counts[rows[found], edge[found]] += share[found]

    def outline(self) -> Outline:
        """The weighted quantile `QUANTILE` of every sample's measurements."""
        total = self._counts.sum(dim=1)
        below = self._counts.cumsum(dim=1)
        step = (below < total[:, None] * QUANTILE).sum(dim=1).clamp_max(STEPS_IN + STEPS_OUT - 1)
        offset = torch.where(total > 0, (step - STEPS_IN - 0.5) * STEP_M, 0.0)
        return Outline(offset.cpu().numpy(), total.cpu().numpy())


def _edges(clothed: Bool[Tensor, "r k"]) -> tuple[Int[Tensor, "r"], Bool[Tensor, "r"]]:
    """The first step outside the matte beyond the skin; if the skin is outside already, the first after the last one
    inside below it. And whether there is such a step.
    """
    inside = clothed[:, STEPS_IN]
    out, back = ~clothed[:, STEPS_IN:], clothed[:, :STEPS_IN].flip(1)
    beyond = out.to(torch.uint8).argmax(dim=1) + STEPS_IN
    below = STEPS_IN - back.to(torch.uint8).argmax(dim=1)
    return torch.where(inside, beyond, below), torch.where(inside, out.any(dim=1), back.any(dim=1))


def _looked_up(image: Bool[Tensor, "h w"], points: Float[Tensor, "r k 3"], camera: Camera) -> Bool[Tensor, "r k"]:
    """The image's values where points are seen; false outside it."""
    scale = camera.focal_px / points[..., 2].clamp_min(NEAREST_M)
    column = (points[..., 0] * scale + camera.cx).floor().long()
    row = (points[..., 1] * scale + camera.cy).floor().long()
    inside = _within(column, row, camera)
    return image.reshape(-1)[torch.where(inside, row * camera.width + column, 0)] & inside


def _seen(points: Float[Tensor, "r k 3"], camera: Camera) -> Bool[Tensor, "r k"]:
    """Whether points lie before the camera and in its image."""
    scale = camera.focal_px / points[..., 2].clamp_min(NEAREST_M)
    column, row = points[..., 0] * scale + camera.cx, points[..., 1] * scale + camera.cy
    return _within(column, row, camera) & (points[..., 2] > NEAREST_M)


def _within(column: Tensor, row: Tensor, camera: Camera) -> Tensor:
    return (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
