"""Floor, walls, pictures and furniture of a room, drawn at random."""

from __future__ import annotations

import torch
from dancedepth.pipeline.synthesis.draws import between
from dancedepth.pipeline.synthesis.noise import hashed, step, value_noise
from dancedepth.pipeline.synthesis.things import Ball, Box, Paint, Thing
from torch import Generator, Tensor

Color = tuple[float, float, float]
WALL_Y = 2.6
"""How far behind the dancer the wall stands, metres."""


def furnish(generator: Generator) -> list[Thing]:
    """Everything in the room, the room itself first."""
    far = 8.0
    wall, second, wood = _muted(generator), _muted(generator), _wood(generator)
    things: list[Thing] = [
        _box((-far, -far, -0.1), (far, WALL_Y, 0.0), _floor(generator, wood)),
        _box((-far, WALL_Y, 0.0), (far, WALL_Y + 0.1, 6.0), _wall(generator, wall, second)),
        _box((-far, WALL_Y - 0.02, 0.0), (far, WALL_Y, 0.12), _flat((0.55, 0.53, 0.50))),
        _box((-3.4, -far, 0.0), (-3.3, WALL_Y, 6.0), _wall(generator, second, wall)),
        _box((3.3, -far, 0.0), (3.4, WALL_Y, 6.0), _wall(generator, second, wall)),
    ]
    if between(generator, 0, 1) < 0.6:
        wide, deep = between(generator, 1.0, 1.5), between(generator, 0.8, 1.2)
        things.append(_box((-wide, -deep, 0.0), (wide, deep, 0.004), _rug(generator)))
    for _ in range(2 + int(between(generator, 0, 2.99))):
        things += _picture(generator)
    for side in (-1, 1):
        things += _furniture(generator, side, wood)
    return things


def _picture(generator: Generator) -> list[Thing]:
    x, z = between(generator, -1.5, 1.5), between(generator, 1.3, 2.4)
    wide, high = between(generator, 0.18, 0.45), between(generator, 0.18, 0.4)
    frame, scale = _muted(generator), between(generator, 0.05, 0.2)
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


def _furniture(generator: Generator, side: int, wood: Color) -> list[Thing]:
    x = side * between(generator, 0.9, 1.6)
    kind = int(between(generator, 0, 3.99))
    color = _vivid(generator)
    if kind == 0:  # a shelf with boxes on it
        low, high = min(x, x + side * 0.9), max(x, x + side * 0.9)
        shelf = [_box((low, WALL_Y - 0.4, 0.0), (high, WALL_Y, 0.75), _planks(wood))]
        return [*shelf, _box((low + 0.1, WALL_Y - 0.3, 0.75), (low + 0.35, WALL_Y - 0.1, 1.05), _flat(color))]
    if kind == 1:  # a plant in its pot
        leaves = [Ball(torch.tensor([x, WALL_Y - 0.45, 1.0]), 0.36, _leaves()) for _ in range(1)]
        leaves.append(Ball(torch.tensor([x + 0.2, WALL_Y - 0.5, 0.75]), 0.25, _leaves()))
        return [_box((x - 0.15, WALL_Y - 0.6, 0.0), (x + 0.15, WALL_Y - 0.3, 0.4), _flat(color)), *leaves]
    if kind == 2:  # a sofa
        low, high = min(x, x + side * 1.5), max(x, x + side * 1.5)
        seat = _box((low, WALL_Y - 0.85, 0.0), (high, WALL_Y, 0.42), _woven(color))
        return [seat, _box((low, WALL_Y - 0.25, 0.42), (high, WALL_Y, 0.85), _woven(color))]
    return [Ball(torch.tensor([x, WALL_Y - 0.5, 0.28]), 0.28, _flat(color))]


def _box(low: Color, high: Color, paint: Paint) -> Box:
    return Box(torch.tensor(low), torch.tensor(high), paint)


def _flat(color: Color) -> Paint:
    return lambda points: (
        points.new_tensor(color).expand(len(points), 3) * (0.95 + 0.1 * value_noise(points / 0.1))[:, None]
    )


def _woven(color: Color) -> Paint:
    return lambda points: (
        points.new_tensor(color).expand(len(points), 3) * (0.85 + 0.3 * hashed(points / 0.008))[:, None]
    )


def _leaves() -> Paint:
    def paint(points: Tensor) -> Tensor:
        return points.new_tensor([0.05, 0.14, 0.03]) * (0.3 + 1.5 * value_noise(points / 0.05))[:, None]

    return paint


def _planks(color: Color, width_m: float = 0.14) -> Paint:
    def paint(points: Tensor) -> Tensor:
        x, y, z = points.unbind(dim=1)
        row = (x / width_m).floor()
        board = torch.stack((row, ((y + z) / 1.3 + 0.37 * row).floor(), 0 * row), dim=1)
        grain = value_noise(torch.stack((x / 0.012, (y + z) / 0.35, row), dim=1))
        gap = step(((x / width_m) % 1 - 0.5).abs() - 0.49, 0.01)
        shade = (0.75 + 0.3 * hashed(board + 0.5) + 0.25 * (grain - 0.5)) * (1 - 0.5 * gap)
        return points.new_tensor(color) * shade[:, None]

    return paint


def _floor(generator: Generator, wood: Color) -> Paint:
    if between(generator, 0, 1) < 0.65:
        return _planks(wood)
    one, size = _muted(generator), between(generator, 0.3, 0.6)

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


def _wall(generator: Generator, one: Color, two: Color) -> Paint:
    kind, scale = int(between(generator, 0, 2.99)), between(generator, 0.15, 0.4)

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
    one, two, scale = _vivid(generator), _muted(generator), between(generator, 0.1, 0.3)

    def paint(points: Tensor) -> Tensor:
        share = step(torch.sin(6.283 * points[:, 0] / scale) * torch.sin(6.283 * points[:, 1] / scale))[:, None]
        color = points.new_tensor(one) * share + points.new_tensor(two) * (1 - share)
        return 0.8 * color * (0.85 + 0.3 * hashed(points / 0.01))[:, None]

    return paint


def _wood(generator: Generator) -> Color:
    light = between(generator, 0.4, 1.4)
    return (0.30 * light, 0.17 * light, 0.085 * light)


def _muted(generator: Generator) -> Color:
    base = between(generator, 0.18, 0.6)
    r, g, b = (base * between(generator, 0.75, 1.15) for _ in range(3))
    return (r, g, b)


def _vivid(generator: Generator) -> Color:
    r, g, b = (between(generator, 0.03, 0.5) for _ in range(3))
    return (r, g, b)
