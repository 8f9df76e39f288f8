"""A posed dressed body in its room: the picture, and depth, normals and coverage that agree with it exactly.

The picture is supersampled; depth and normals are sampled at the centres of the picture's own pixels, from the same
posed triangles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from dancedepth.models.body import skin_points
from dancedepth.models.geometry import Camera, project
from dancedepth.models.raster import Raster, rasterize
from dancedepth.pipeline.synthesis.character import DressedBody
from dancedepth.pipeline.synthesis.mesh import vertex_normals
from dancedepth.pipeline.synthesis.noise import step
from dancedepth.pipeline.synthesis.room import Backdrop, Room
from dancedepth.pipeline.synthesis.shadows import ShadowMap
from dancedepth.pipeline.synthesis.staging import View
from jaxtyping import Float, Int, UInt8
from torch import Tensor

NOISE = 0.006
"""Standard deviation of the sensor's noise, in parts of the display range."""
SKY_BLUR_M = 0.10
"""How far the sky's light reaches round a corner."""


@dataclass(frozen=True)
class Picture:
    """One rendered frame and its truth."""

    rgb: UInt8[Tensor, "h w 3"]
    depth_m: Float[Tensor, "h w"]
    """0 where the person does not cover the pixel's centre."""
    normals: Float[Tensor, "h w 3"]
    alpha: UInt8[Tensor, "h w"]
    """How much of the pixel the person covers."""


@dataclass(frozen=True)
class _Posed:
    """The dressed body in one frame, camera axes."""

    points: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]


class Renderer:
    """Draws one dressed body before one still camera; what does not move is drawn once."""

    def __init__(self, dressed: DressedBody, view: View, room: Room, supersampling: int = 2) -> None:
        self._dressed, self._view, self._light = dressed, view, room.light
        self._supersampling = supersampling
        self._backdrop: Backdrop = room.backdrop(view, supersampling)
        self._sun = ShadowMap(room.light.to_sun, pixel_m=0.006, blur_m=0.014)
        self._above = ShadowMap(torch.tensor([0.08, -0.05, 1.0]), pixel_m=0.02, blur_m=SKY_BLUR_M)
        self._gloss = torch.tensor([material.gloss for material in dressed.materials])
        owner = torch.zeros(len(dressed.vertices), dtype=torch.long)
        owner[dressed.faces.flatten()] = dressed.face_material.repeat_interleave(3)
        self._vertex_gloss = self._gloss[owner]
        self._cut_out = any(m.opaque(dressed.corner_uv[:1, 0]) is not None for m in dressed.materials)

    def render(self, cam_from_rest: Float[Tensor, "j 4 4"], generator: torch.Generator | None = None) -> Picture:
        """The body with its bones at `cam_from_rest`; without a generator the picture has no sensor noise."""
        dressed, camera = self._dressed, self._view.camera
        points = skin_points(dressed.vertices, dressed.skin_weights, dressed.skin_bones, cam_from_rest[None])[0]
        posed = _Posed(points, vertex_normals(points, dressed.faces))
        left, top, width, height = _window(points, camera)
        window = camera.crop(left, top, width, height)
        world = (points - self._view.cam_from_world[:3, 3]) @ self._view.cam_from_world[:3, :3]
        sun, above = self._sun.cast(world, dressed.faces), self._above.cast(world, dressed.faces)
        ambient, glossy = self._lit(posed, world, sun, above)
        truth = self._raster(points, window)
        color, cover = self._colored(points, window, ambient, glossy)
        background = self._background(sun, above)
        area = (slice(top, top + height), slice(left, left + width))
        background[area] = color + background[area] * (1 - cover[..., None])
        rgb = _displayed(background, generator)
        depth, normals, alpha = self._truth_maps(truth, posed, camera, area, cover)
        return Picture(rgb, depth, normals, alpha)

    def _lit(
        self, posed: _Posed, world: Float[Tensor, "v 3"], sun: ShadowMap, above: ShadowMap
    ) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "v 3"]]:
        """Light falling on each vertex, and light that it mirrors."""
        light = self._light
        normals = posed.normals @ self._view.cam_from_world[:3, :3]
        facing = normals @ light.to_sun
        seen = sun.visibility(world + 0.008 * normals) * step(facing, 0.15)
        open_sky = above.visibility(world + 0.02 * normals)
        direct = light.sun * (facing.clamp_min(0) * seen)[:, None]
        ambient = light.ambient(normals[:, 2]) * (0.55 + 0.45 * open_sky)[:, None]
        to_camera = torch.nn.functional.normalize(self._view.position - world, dim=1)
        half = torch.nn.functional.normalize(to_camera + light.to_sun, dim=1)
        mirror = (normals * half).sum(dim=1).clamp_min(0) ** 24 * seen * self._vertex_gloss
        rim = (1 - (normals * to_camera).sum(dim=1).abs().clamp(max=1)) ** 4 * 0.35 * self._vertex_gloss
        return direct + ambient, light.sun * mirror[:, None] + light.sky * rim[:, None]

    def _raster(self, points: Float[Tensor, "v 3"], camera: Camera) -> Raster:
        if not self._cut_out:
            return rasterize(points, self._dressed.faces, camera)
        return rasterize(points, self._dressed.faces, camera, self._opaque)

    def _opaque(self, face: Int[Tensor, "p"], weights: Float[Tensor, "p 3"]) -> Tensor:
        """Which samples of triangles a cut-out texture leaves standing."""
        keep = torch.ones_like(face, dtype=torch.bool)
        owner = self._dressed.face_material[face]
        for index, material in enumerate(self._dressed.materials):
            if material.opaque(self._dressed.corner_uv[:1, 0]) is None:
                continue
            rows = torch.nonzero(owner == index)[:, 0]
            uv = (self._dressed.corner_uv[face[rows]] * weights[rows, :, None].to(self._dressed.corner_uv)).sum(dim=1)
            opaque = material.opaque(uv)
            if opaque is not None:
                keep[rows] = opaque
        return keep

    def _colored(
        self, points: Float[Tensor, "v 3"], window: Camera, light: Float[Tensor, "v 3"], glossy: Float[Tensor, "v 3"]
    ) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
        """Colour times coverage, and coverage, of the window's pixels."""
        dressed, fold = self._dressed, self._supersampling
        fine = Camera(
            window.focal_px * fold, window.cx * fold, window.cy * fold, window.width * fold, window.height * fold
        )
        raster = self._raster(points, fine)
        rows = torch.nonzero(raster.face_index.flatten() >= 0)[:, 0]
        face = raster.face_index.flatten()[rows]
        weights = raster.barycentric.view(-1, 3)[rows]
        corners = dressed.faces[face]
        values = torch.cat((dressed.pattern, light, glossy), dim=1)
        at = torch.stack([values[corners[:, k]] * weights[:, k, None] for k in range(3)]).sum(dim=0)
        uv = (dressed.corner_uv[face] * weights[..., None]).sum(dim=1)
        albedo = dressed.albedo(dressed.face_material[face], at[:, :5], uv)
        lit = albedo * at[:, 5:8] + at[:, 8:11]
        pixel = (rows // fine.width) // fold * window.width + (rows % fine.width) // fold
        total = lit.new_zeros(window.height * window.width, 4)
        total.index_add_(0, pixel, torch.cat((lit, torch.ones_like(lit[:, :1])), dim=1) / fold**2)
        total = total.view(window.height, window.width, 4)
        return total[..., :3], total[..., 3]

    def _background(self, sun: ShadowMap, above: ShadowMap) -> Float[Tensor, "h w 3"]:
        backdrop = self._backdrop
        shade, dim = sun.visibility_grid(backdrop.points), above.visibility_grid(backdrop.points)
        return backdrop.ambient * (0.45 + 0.55 * dim)[..., None] + backdrop.sunlit * shade[..., None]

    def _truth_maps(
        self, raster: Raster, posed: _Posed, camera: Camera, area: tuple[slice, slice], cover: Float[Tensor, "h w"]
    ) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w 3"], UInt8[Tensor, "h w"]]:
        depth = posed.points.new_zeros(camera.height, camera.width)
        normals = posed.points.new_zeros(camera.height, camera.width, 3)
        alpha = torch.zeros(camera.height, camera.width, dtype=torch.uint8)
        depth[area] = raster.depth_m
        normals[area] = _facing_camera(
            raster.interpolate(self._dressed.faces, posed.normals), raster.depth_m, camera, area
        )
        alpha[area] = (cover * 255).round().clamp(0, 255).to(torch.uint8)
        return depth, normals, alpha


def _facing_camera(
    normals: Float[Tensor, "h w 3"], depth_m: Float[Tensor, "h w"], camera: Camera, area: tuple[slice, slice]
) -> Float[Tensor, "h w 3"]:
    """Unit normals, turned over where the inside of cloth is seen."""
    rows, columns = torch.nonzero(depth_m > 0, as_tuple=True)
    at = torch.nn.functional.normalize(normals[rows, columns], dim=1)
    x = (columns + area[1].start + 0.5 - camera.cx) / camera.focal_px
    y = (rows + area[0].start + 0.5 - camera.cy) / camera.focal_px
    away = at[:, 0] * x + at[:, 1] * y + at[:, 2] > 0
    out = torch.zeros_like(normals)
    out[rows, columns] = torch.where(away[:, None], -at, at)
    return out


def _window(points: Float[Tensor, "v 3"], camera: Camera) -> tuple[int, int, int, int]:
    """Left, top, width and height of the part of the image that the points reach."""
    pixels = project(points, camera)
    low, high = pixels.amin(dim=0).tolist(), pixels.amax(dim=0).tolist()
    left, top = max(0, math.floor(low[0]) - 1), max(0, math.floor(low[1]) - 1)
    right, bottom = min(camera.width, math.ceil(high[0]) + 1), min(camera.height, math.ceil(high[1]) + 1)
    return min(left, camera.width - 1), min(top, camera.height - 1), max(1, right - left), max(1, bottom - top)


def _displayed(linear: Float[Tensor, "h w 3"], generator: torch.Generator | None) -> UInt8[Tensor, "h w 3"]:
    """Display values: soft highlights, gamma, noise."""
    soft = torch.where(linear < 0.7, linear, 1 - 0.3 * torch.exp(-(linear - 0.7) / 0.3))
    shown = soft.clamp(0, 1) ** (1 / 2.2)
    if generator is not None:
        shown = shown + NOISE * torch.randn(shown.shape, generator=generator)
    return (shown * 255).round().clamp(0, 255).to(torch.uint8)
