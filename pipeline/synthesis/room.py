"""A room to dance in: floor, walls and things in it, traced once for a still camera, and its light.

World frame: z up, floor at z = 0, the dancer near the origin, the camera at negative y. Colours are linear light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from dancedepth.models.geometry import pixel_rays
from dancedepth.pipeline.synthesis.materials import hashed, step, value_noise
from dancedepth.pipeline.synthesis.staging import View
from jaxtyping import Float
from torch import Generator, Tensor

Paint = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""World points to colours."""


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


@dataclass(frozen=True)
class _Box:
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    paint: Paint

    def rows(self, view: View) -> tuple[float, float]:
        """Image rows between which it lies."""
        corners = torch.cartesian_prod(*torch.stack((self.low, self.high), dim=1))
        return _rows(corners, view)

    def distance(
        self, origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], inverse: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p"]:
        """Along each ray to the box, in ray lengths; infinite beside it."""
        first, second = (self.low - origin) * inverse, (self.high - origin) * inverse
        enter, leave = torch.minimum(first, second).amax(dim=1), torch.maximum(first, second).amin(dim=1)
        return torch.where((enter < leave) & (enter > 0.05), enter, torch.inf)

    def normal(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Of the side that each point lies on."""
        centre, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        side = half - (points - centre).abs()
        return torch.nn.functional.one_hot(side.argmin(dim=1), 3) * (points - centre).sign()


@dataclass(frozen=True)
class _Ball:
    centre: Float[Tensor, "3"]
    radius: float
    paint: Paint

    def rows(self, view: View) -> tuple[float, float]:
        """Image rows between which it lies."""
        sides = torch.tensor([-self.radius, self.radius])
        return _rows(self.centre + torch.cartesian_prod(sides, sides, sides), view)

    def distance(
        self, origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], inverse: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p"]:
        """Along each ray to the ball, in ray lengths; infinite beside it."""
        offset = origin - self.centre
        a, b = (rays * rays).sum(dim=1), rays @ offset
        discriminant = b * b - a * (offset @ offset - self.radius**2)
        distance = (-b - discriminant.clamp_min(0).sqrt()) / a
        return torch.where((discriminant > 0) & (distance > 0.05), distance, torch.inf)

    def normal(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Outwards."""
        return (points - self.centre) / self.radius


Thing = _Box | _Ball


def _rows(corners: Float[Tensor, "8 3"], view: View) -> tuple[float, float]:
    """Image rows between which points lie; all of them if some are not before the camera."""
    seen = corners @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    if float(seen[:, 2].min()) < 0.1:
        return -torch.inf, torch.inf
    rows = seen[:, 1] / seen[:, 2] * view.camera.focal_px + view.camera.cy
    return float(rows.min()) - 2, float(rows.max()) + 2


class Room:
    """Drawn from a seed: materials, furniture, light."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed + 15485863)
        self._things = _furnish(generator)
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


RAYS_AT_ONCE = 16384
FARTHEST_M = 60.0
WALL_Y = 2.6
"""How far behind the dancer the wall stands, metres."""


def _offsets(samples: int) -> list[tuple[float, float]]:
    """Where within a pixel further rays go: along a diagonal, which smooths edges of any but one direction."""
    steps = [(k + 0.5) / samples - 0.5 for k in range(samples)]
    return [(step, -step) for step in steps] if samples > 1 else []


def _light(generator: Generator) -> Light:
    azimuth, height = _between(generator, -1.1, 1.1), _between(generator, 0.55, 1.05)
    sin, cos = torch.tensor([azimuth, height]).sin(), torch.tensor([azimuth, height]).cos()
    to_sun = torch.stack((sin[0] * cos[1], -cos[0] * cos[1], sin[1]))
    warmth = _between(generator, -0.08, 0.12)
    strength = _between(generator, 0.75, 1.25)
    tint = torch.tensor([1 + warmth, 1.0, 1 - warmth])
    return Light(to_sun, strength * tint, 0.62 * (2 - tint), 0.30 * tint)


def _furnish(generator: Generator) -> list[Thing]:
    far = 8.0
    wall, second, wood = _muted(generator), _muted(generator), _wood(generator)
    things: list[Thing] = [
        _box((-far, -far, -0.1), (far, WALL_Y, 0.0), _floor(generator, wood)),
        _box((-far, WALL_Y, 0.0), (far, WALL_Y + 0.1, 6.0), _wall(generator, wall, second)),
        _box((-far, WALL_Y - 0.02, 0.0), (far, WALL_Y, 0.12), _flat((0.55, 0.53, 0.50))),
        _box((-3.4, -far, 0.0), (-3.3, WALL_Y, 6.0), _wall(generator, second, wall)),
        _box((3.3, -far, 0.0), (3.4, WALL_Y, 6.0), _wall(generator, second, wall)),
    ]
    if _between(generator, 0, 1) < 0.6:
        wide, deep = _between(generator, 1.0, 1.5), _between(generator, 0.8, 1.2)
        things.append(_box((-wide, -deep, 0.0), (wide, deep, 0.004), _rug(generator)))
    for _ in range(2 + int(_between(generator, 0, 2.99))):
        things += _picture(generator)
    for side in (-1, 1):
        things += _furniture(generator, side, wood)
    return things


def _picture(generator: Generator) -> list[Thing]:
    x, z = _between(generator, -1.5, 1.5), _between(generator, 1.3, 2.4)
    wide, high = _between(generator, 0.18, 0.45), _between(generator, 0.18, 0.4)
    frame, scale = _muted(generator), _between(generator, 0.05, 0.2)
    one, two = _vivid(generator), _vivid(generator)

    def art(points: Tensor) -> Tensor:
        share = step(value_noise(points / scale) - 0.5, 0.05)[:, None]
        return points.new_tensor(one) * share + points.new_tensor(two) * (1 - share)

    return [
        _box(
            (x - wide - 0.03, WALL_Y - 0.03, z - high - 0.03), (x + wide + 0.03, WALL_Y, z + high + 0.03), _flat(frame)
        ),
        _box((x - wide, WALL_Y - 0.035, z - high), (x + wide, WALL_Y, z + high), art),
    ]


def _furniture(generator: Generator, side: int, wood: tuple[float, float, float]) -> list[Thing]:
    x = side * _between(generator, 0.9, 1.6)
    kind = int(_between(generator, 0, 3.99))
    color = _vivid(generator)
    if kind == 0:  # a shelf with boxes on it
        low, high = min(x, x + side * 0.9), max(x, x + side * 0.9)
        shelf = [_box((low, WALL_Y - 0.4, 0.0), (high, WALL_Y, 0.75), _planks(wood))]
        return [*shelf, _box((low + 0.1, WALL_Y - 0.3, 0.75), (low + 0.35, WALL_Y - 0.1, 1.05), _flat(color))]
    if kind == 1:  # a plant in its pot
        leaves = [_Ball(torch.tensor([x, WALL_Y - 0.45, 1.0]), 0.36, _leaves()) for _ in range(1)]
        leaves.append(_Ball(torch.tensor([x + 0.2, WALL_Y - 0.5, 0.75]), 0.25, _leaves()))
        return [_box((x - 0.15, WALL_Y - 0.6, 0.0), (x + 0.15, WALL_Y - 0.3, 0.4), _flat(color)), *leaves]
    if kind == 2:  # a sofa
        low, high = min(x, x + side * 1.5), max(x, x + side * 1.5)
        seat = _box((low, WALL_Y - 0.85, 0.0), (high, WALL_Y, 0.42), _woven(color))
        return [seat, _box((low, WALL_Y - 0.25, 0.42), (high, WALL_Y, 0.85), _woven(color))]
    return [_Ball(torch.tensor([x, WALL_Y - 0.5, 0.28]), 0.28, _flat(color))]


def _box(low: tuple[float, float, float], high: tuple[float, float, float], paint: Paint) -> _Box:
    return _Box(torch.tensor(low), torch.tensor(high), paint)


def _flat(color: tuple[float, float, float]) -> Paint:
    return lambda points: (
        points.new_tensor(color).expand(len(points), 3) * (0.95 + 0.1 * value_noise(points / 0.1))[:, None]
    )


def _woven(color: tuple[float, float, float]) -> Paint:
    return lambda points: (
        points.new_tensor(color).expand(len(points), 3) * (0.85 + 0.3 * hashed(points / 0.008))[:, None]
    )


def _leaves() -> Paint:
    def paint(points: Tensor) -> Tensor:
        return points.new_tensor([0.05, 0.14, 0.03]) * (0.3 + 1.5 * value_noise(points / 0.05))[:, None]

    return paint


def _planks(color: tuple[float, float, float], width_m: float = 0.14) -> Paint:
    def paint(points: Tensor) -> Tensor:
        x, y, z = points.unbind(dim=1)
        row = (x / width_m).floor()
        board = torch.stack((row, ((y + z) / 1.3 + 0.37 * row).floor(), 0 * row), dim=1)
        grain = value_noise(torch.stack((x / 0.012, (y + z) / 0.35, row), dim=1))
        gap = step(((x / width_m) % 1 - 0.5).abs() - 0.49, 0.01)
        shade = (0.75 + 0.3 * hashed(board + 0.5) + 0.25 * (grain - 0.5)) * (1 - 0.5 * gap)
        return points.new_tensor(color) * shade[:, None]

    return paint


def _floor(generator: Generator, wood: tuple[float, float, float]) -> Paint:
    if _between(generator, 0, 1) < 0.65:
        return _planks(wood)
    one, size = _muted(generator), _between(generator, 0.3, 0.6)

    def tiles(points: Tensor) -> Tensor:
        cell = points / size
        gap = ((cell[:, :2] % 1 - 0.5).abs() > 0.49).any(dim=1)
        shade = (
            0.8
            + 0.25 * hashed(torch.cat((cell[:, :2], 0 * cell[:, 2:] + 0.5), dim=1))
            + 0.15 * value_noise(points / 0.1)
        )
        return points.new_tensor(one) * torch.where(gap, 0.5, shade)[:, None]

    return tiles


def _wall(generator: Generator, one: tuple[float, float, float], two: tuple[float, float, float]) -> Paint:
    kind, scale = int(_between(generator, 0, 2.99)), _between(generator, 0.15, 0.4)

    def paint(points: Tensor) -> Tensor:
        x, y, z = points.unbind(dim=1)
        along = x + y
        base = points.new_tensor(one).expand(len(points), 3)
        plaster = 0.92 + 0.10 * value_noise(points / 0.25) + 0.05 * value_noise(points / 0.02)
        if kind == 1:  # bricks
            row = (z / 0.08).floor()
            column = along / 0.24 + 0.5 * (row % 2)
            brick = hashed(torch.stack((column.floor(), row, 0 * row), dim=1) + 0.5)
            mortar = ((column % 1 - 0.5).abs() > 0.47) | ((z / 0.08 % 1 - 0.5).abs() > 0.43)
            plaster = plaster * torch.where(mortar, 1.15, 0.7 + 0.35 * brick)
        if kind == 2:  # striped paper
            share = step(torch.sin(6.283 * along / scale))[:, None]
            base = base * share + 0.5 * (base + points.new_tensor(two)) * (1 - share)
        return base * plaster[:, None]

    return paint


def _rug(generator: Generator) -> Paint:
    one, two, scale = _vivid(generator), _muted(generator), _between(generator, 0.1, 0.3)

    def paint(points: Tensor) -> Tensor:
        share = step(torch.sin(6.283 * points[:, 0] / scale) * torch.sin(6.283 * points[:, 1] / scale))[:, None]
        color = points.new_tensor(one) * share + points.new_tensor(two) * (1 - share)
        return 0.8 * color * (0.85 + 0.3 * hashed(points / 0.01))[:, None]

    return paint


def _wood(generator: Generator) -> tuple[float, float, float]:
    light = _between(generator, 0.4, 1.4)
    return (0.30 * light, 0.17 * light, 0.085 * light)


def _muted(generator: Generator) -> tuple[float, float, float]:
    base = _between(generator, 0.18, 0.6)
    r, g, b = (base * _between(generator, 0.75, 1.15) for _ in range(3))
    return (r, g, b)


def _vivid(generator: Generator) -> tuple[float, float, float]:
    r, g, b = (_between(generator, 0.03, 0.5) for _ in range(3))
    return (r, g, b)


def _between(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))
