"""Hairdos: the scalp raised along its normals, and for longer hair a sheet that hangs from it around the head."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from dancedepth.models.body import SKIN_VERTICES, BodyModel, RestBody
from dancedepth.pipeline.synthesis import anatomy
from dancedepth.pipeline.synthesis.mesh import FAR_M, Mesh, clip, kept_faces, smoothed, subdivide, vertex_normals
from dancedepth.pipeline.synthesis.noise import value_noise
from jaxtyping import Float
from torch import Tensor

Style = Literal["short", "bob", "long", "bun"]
STYLES: tuple[Style, ...] = ("short", "bob", "long", "bun")
HAIRLINE = (
    (-0.170, 0.915), (-0.138, 0.898), (-0.120, 0.882), (-0.104, 0.850), (-0.085, 0.838), (-0.072, 0.800),
    (-0.060, 0.800), (-0.053, 0.832), (-0.020, 0.826), (-0.008, 0.785), (0.015, 0.748), (0.080, 0.742),
)  # fmt: skip
"""(y, z) of the hairline seen from the side on the average adult: forehead, temple, sideburn, over the ear, nape."""
AXIS_Y = -0.035
"""The head's vertical axis on the average adult."""


def above_hairline(template: Float[Tensor, "v 3"]) -> Float[Tensor, "v"]:
    """Metres above the hairline; negative on face, ears and neck."""
    ys, zs = (column.contiguous() for column in template.new_tensor(HAIRLINE).unbind(dim=1))
    y = template[:, 1].contiguous()
    right = torch.searchsorted(ys, y).clamp(1, len(ys) - 1)
    share = ((y - ys[right - 1]) / (ys[right] - ys[right - 1])).clamp(0, 1)
    return template[:, 2] - torch.lerp(zs[right - 1], zs[right], share)


def hair(body: BodyModel, rest: RestBody, style: Style, thickness_m: float, detail: int, seed: int) -> list[Mesh]:
    """The pieces of a hairdo."""
    cap = _cap(body, rest, thickness_m, detail, seed)
    if style == "short":
        return [cap]
    if style == "bun":
        return [cap, _bun(body, rest, detail)]
    bottom_z = 0.70 if style == "bob" else 0.52
    return [cap, _curtain(body, rest, bottom_z, thickness_m + 0.006, detail, seed)]


def hair_uv(template: Float[Tensor, "v 3"]) -> Float[Tensor, "v 2"]:
    """(across, along) the strands in metres: around the head's axis, and down."""
    x, y, z = template.unbind(dim=1)
    angle = torch.atan2(x, y - AXIS_Y + 0.03)
    return torch.stack((0.09 * angle, 0.5 * (x * x + (y - AXIS_Y) ** 2).sqrt() - z), dim=1)


def _cap(body: BodyModel, rest: RestBody, thickness_m: float, detail: int, seed: int) -> Mesh:
    faces = body.faces[(body.faces < SKIN_VERTICES).all(dim=1)]
    template = anatomy.average_adult(body)
    mesh = Mesh.of(rest.vertices, template, anatomy.dense_weights(body), faces)
    mesh = kept_faces(mesh, (mesh.template[:, 2] > 0.70) & (above_hairline(mesh.template) > -0.01))
    mesh = subdivide(mesh, detail)
    mesh = clip(mesh, above_hairline(mesh.template))
    rounds = 3 * 4 ** max(detail - 1, 0)
    flat = smoothed(mesh.rest, mesh.faces, rounds)
    normals = vertex_normals(flat, mesh.faces)
    rise = (mesh.hem / 0.03).clamp(0, 1)
    rise = 0.15 + 0.85 * rise * (2 - rise)
    locks = value_noise(
        torch.cat((hair_uv(mesh.template) / flat.new_tensor([0.012, 0.05]), rise[:, None] + seed), dim=1)
    )
    height = thickness_m * rise * (0.75 + 0.5 * locks)
    weights = _head_weights(body, mesh.template)
    return replace(mesh, rest=flat + normals * height[:, None], cavity=0.6 * (1 - locks), weights=weights)


def _curtain(body: BodyModel, rest: RestBody, bottom_z: float, thickness_m: float, detail: int, seed: int) -> Mesh:
    """Hair hanging around back and sides: rows by height, columns by angle from the back."""
    template = anatomy.average_adult(body)
    rows, columns = 20 * 2**detail, 24 * 2**detail
    angle = torch.linspace(-1.95, 1.95, columns).to(template)
    z = torch.linspace(0.925, bottom_z, rows).to(template)
    radius = _outline(body, template, angle, z) + thickness_m
    grid_z, grid_angle = torch.meshgrid(z, angle, indexing="ij")
    ends = (grid_angle.abs() / 1.95) ** 4
    wave = torch.sin(grid_angle * 23 + 3 * torch.sin(grid_angle * 7 + seed) + 4 * (grid_z - bottom_z))
    radius = radius * (1 - 0.05 * ends) + 0.0035 * wave
    side_z = torch.where(grid_angle.abs() > 1.1, torch.full_like(grid_z, max(bottom_z, 0.69)), bottom_z)
    lifted = torch.maximum(grid_z, side_z + 0.004 * torch.sin(grid_angle * 17))
    points = torch.stack((radius * grid_angle.sin(), AXIS_Y + radius * grid_angle.cos(), lifted), dim=2).view(-1, 3)
    mesh = Mesh.of(
        _to_body(body, template, rest)(points),
        points,
        _head_weights(body, points),
        _grid_faces(rows, columns).to(points.device),
    )
    return replace(mesh, cavity=0.35 * (1 - wave.flatten()), hem=torch.full_like(mesh.hem, FAR_M))


def _outline(
    body: BodyModel, template: Float[Tensor, "v 3"], angle: Float[Tensor, "c"], z: Float[Tensor, "r"]
) -> Float[Tensor, "r c"]:
    """How far the head, neck and back reach at each height and angle, and hair hangs over what is higher."""
    skin = template[:SKIN_VERTICES]
    skin = skin[(skin[:, 2] > 0.45) & (anatomy.arm_weight(body, anatomy.dense_weights(body)[:SKIN_VERTICES]) < 0.1)]
    x, y = skin[:, 0], skin[:, 1] - AXIS_Y
    radius, direction = (x * x + y * y).sqrt(), torch.atan2(x, y)
    rows = []
    for height in z:
        near = (skin[:, 2] - height).abs() < 0.014
        apart = (direction[near][None] - angle[:, None] + math.pi) % (2 * math.pi) - math.pi
        reach = radius[near][None] - 0.25 * apart.abs()
        rows.append(reach.amax(dim=1) if near.any() else torch.zeros_like(angle))
    body_radius = torch.stack(rows).clamp(max=0.135)
    hung = [body_radius[0]]
    for row in body_radius[1:]:
        hung.append(torch.maximum(row, hung[-1] - 0.0006))
    kernel = torch.stack(hung)[None, None]
    smooth = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(kernel, (4, 4, 4, 4), mode="replicate"), 9, 1)
    return smooth[0, 0]


def _bun(body: BodyModel, rest: RestBody, detail: int) -> Mesh:
    rows, columns = 10 * 2**detail, 16 * 2**detail
    polar = torch.linspace(0.02, math.pi - 0.02, rows)
    around = torch.linspace(0, 2 * math.pi, columns)
    grid_p, grid_a = torch.meshgrid(polar, around, indexing="ij")
    swirl = 1 + 0.05 * torch.sin(3 * grid_a + 7 * grid_p)
    unit = torch.stack((grid_p.sin() * grid_a.cos(), grid_p.sin() * grid_a.sin(), grid_p.cos()), dim=2)
    points = (unit * swirl[..., None] * torch.tensor([0.042, 0.036, 0.040]) + torch.tensor([0.0, 0.052, 0.905])).view(
        -1, 3
    )
    template = anatomy.average_adult(body)
    points = points.to(template)
    faces = _grid_faces(rows, columns).to(points.device)
    mesh = Mesh.of(_to_body(body, template, rest)(points), points, _head_weights(body, points), faces)
    return replace(mesh, cavity=(1.05 - swirl.flatten().to(template)) * 3)


def _to_body(
    body: BodyModel, template: Float[Tensor, "v 3"], rest: RestBody
) -> Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n 3"]]:
    """The affine map that takes the average adult's head to this one's, by least squares."""
    head = template[:SKIN_VERTICES, 2] > 0.70
    ones = torch.ones_like(template[:SKIN_VERTICES][head][:, :1])
    solution = torch.linalg.lstsq(
        torch.cat((template[:SKIN_VERTICES][head], ones), dim=1), rest.vertices[:SKIN_VERTICES][head]
    ).solution
    return lambda points: torch.cat((points, torch.ones_like(points[:, :1])), dim=1) @ solution


def _head_weights(body: BodyModel, template: Float[Tensor, "v 3"]) -> Float[Tensor, "v j"]:
    """Hair follows the head; what hangs below the chin more and more the back."""
    share = ((template[:, 2] - 0.56) / 0.16).clamp(0, 1)
    weights = template.new_zeros(len(template), len(body.bone_names))
    weights[:, body.bone("head")] = share
    weights[:, body.bone("spine01")] = 1 - share
    return weights


def _grid_faces(rows: int, columns: int) -> Tensor:
    index = torch.arange(rows * columns).view(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    lower = torch.stack((a, b, c), dim=2).view(-1, 3)
    upper = torch.stack((b, d, c), dim=2).view(-1, 3)
    return torch.cat((lower, upper))
