"""A room to dance in: floor, walls and things in it, traced once for a still camera, and its light.

World frame: z up, floor at z = 0, the dancer near the origin, the camera at negative y. Colours are linear light.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from dancedepth.models.geometry import pixel_rays
from dancedepth.pipeline.synthesis.draws import between
from dancedepth.pipeline.synthesis.furniture import WALL_Y, furnish
from dancedepth.pipeline.synthesis.staging import View
from dancedepth.pipeline.synthesis.things import Thing
from jaxtyping import Float
from torch import Generator, Tensor

RAYS_AT_ONCE = 16384
"""Few enough to stay in the processor's cache."""
FARTHEST_M = 60.0


@dataclass(frozen=True)
class Light:
    """A sun through a big window, the room's own diffuse light, and what the floor throws back."""

    to_sun: Float[Tensor, "3"]
    """World frame, unit."""
    sun: Float[Tensor, "3"]
    sky: Float[Tensor, "3"]
    bounce: Float[Tensor, "3"]

    def ambient(self, up: Float[Tensor, "*p"]) -> Float[Tensor, "*p 3"]:
        """Diffuse light on a surface whose normal's vertical part is `up`."""
        share = (0.5 + 0.5 * up)[..., None]
        return self.sky * share + self.bounce * (1 - share)


@dataclass(frozen=True)
class Backdrop:
    """The empty room as the camera sees it."""

    ambient: Float[Tensor, "h w 3"]
    """Radiance without sun."""
    sunlit: Float[Tensor, "h w 3"]
    """What the sun adds where nothing is in its way."""
    points: Float[Tensor, "h w 3"]
    """What each pixel sees, world, metres."""


class Room:
    """Drawn from a seed: materials, furniture, light."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed + 15485863)
        self._things = furnish(generator)
        self.light = _light(generator)

    def backdrop(self, view: View, samples: int = 2) -> Backdrop:
        """Trace the room: at the pixels' centres, and `samples` more rays a pixel for smooth edges."""
        centre = self._traced(view, 0.0, 0.0)
        parts = [centre] + [self._traced(view, dx, dy) for dx, dy in _offsets(samples)]
        return Backdrop(
            torch.stack([p.ambient for p in parts]).mean(dim=0),
            torch.stack([p.sunlit for p in parts]).mean(dim=0),
            centre.points,
        )

    def _traced(self, view: View, dx: float, dy: float) -> Backdrop:
        """One ray a pixel, off its centre by (dx, dy) pixels."""
        camera = view.camera
        moved = replace(camera, cx=camera.cx - dx, cy=camera.cy - dy)
        rays = pixel_rays(moved).view(-1, 3) @ view.cam_from_world[:3, :3]
        # In strips, so that most things need not be asked.
        rows = max(1, RAYS_AT_ONCE // camera.width)
        spans = [thing.rows(view) for thing in self._things]
        parts = []
        for top in range(0, camera.height, rows):
            near = [t for t, (low, high) in zip(self._things, spans, strict=True) if low < top + rows and high > top]
            parts.append(self._struck(view.position, rays[top * camera.width : (top + rows) * camera.width], near))
        size = (camera.height, camera.width, 3)
        return Backdrop(
            torch.cat([p.ambient for p in parts]).view(size),
            torch.cat([p.sunlit for p in parts]).view(size),
            torch.cat([p.points for p in parts]).view(size),
        )

    def _struck(self, origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], things: list[Thing]) -> Backdrop:
        """What rays see of some things; the images are rows of rays here."""
        inverse = 1 / torch.where(rays.abs() < 1e-9, 1e-9, rays)
        distances = torch.stack([thing.distance(origin, rays, inverse) for thing in things])
        nearest, owner = distances.min(dim=0)
        nearest = nearest.clamp(max=FARTHEST_M)
        points = origin + rays * nearest[:, None]
        color, normal = torch.full_like(points, 0.05), torch.zeros_like(points)
        for index in owner.unique().tolist():
            mine = torch.nonzero(owner == index)[:, 0]
            color[mine] = things[index].paint(points[mine])
            normal[mine] = things[index].normal(points[mine])
        corner = (points[:, 2].abs() / 0.5).clamp(0, 1) * ((WALL_Y - points[:, 1]).abs() / 0.6).clamp(0, 1)
        ambient = color * self.light.ambient(normal[:, 2]) * (0.72 + 0.28 * corner)[:, None]
        facing = (normal @ self.light.to_sun).clamp_min(0)
        return Backdrop(ambient, color * self.light.sun * facing[:, None], points)


def _offsets(samples: int) -> list[tuple[float, float]]:
    """Where within a pixel further rays go: along a diagonal, which smooths edges of any but one direction."""
    steps = [(k + 0.5) / samples - 0.5 for k in range(samples)]
    return [(step, -step) for step in steps] if samples > 1 else []


def _light(generator: Generator) -> Light:
    azimuth, height = between(generator, -1.1, 1.1), between(generator, 0.55, 1.05)
    sin, cos = torch.tensor([azimuth, height]).sin(), torch.tensor([azimuth, height]).cos()
    to_sun = torch.stack((sin[0] * cos[1], -cos[0] * cos[1], sin[1]))
    warmth = between(generator, -0.08, 0.12)
    strength = between(generator, 0.75, 1.25)
    tint = torch.tensor([1 + warmth, 1.0, 1 - warmth])
    return Light(to_sun, strength * tint, 0.62 * (2 - tint), 0.30 * tint)
