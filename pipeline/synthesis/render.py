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
from dancedepth.pipeline.synthesis.posed_folds import PosedFolds, Raised
from dancedepth.pipeline.synthesis.room import Backdrop, Room
from dancedepth.pipeline.synthesis.shadows import ShadowMap
from dancedepth.pipeline.synthesis.staging import View
from jaxtyping import Float, Int, UInt8
from torch import Tensor

NOISE = 0.006
"""Standard deviation of the sensor's noise, in parts of the display range."""
DEEP_M, IN_A_VALLEY = 0.006, 0.35
"""Valleys of fine folds get this share less light where they are so deep or deeper."""
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
    folds: PosedFolds | None
    """Folds finer than the mesh; None: there are none."""


@dataclass(frozen=True)
class _Lit:
    """Light at each vertex."""

    diffuse: Float[Tensor, "v 3"]
    """Falling on it."""
    glossy: Float[Tensor, "v 3"]
    """Mirrored by it."""
    sunny: Float[Tensor, "v"]
    """0-1, how much of the sun reaches it."""
    open_sky: Float[Tensor, "v"]


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
        folds = PosedFolds(dressed, points) if dressed.folds else None
        posed = _Posed(points, vertex_normals(points, dressed.faces), folds)
        left, top, width, height = _window(points, camera)
        window = camera.crop(left, top, width, height)
        world = (points - self._view.cam_from_world[:3, 3]) @ self._view.cam_from_world[:3, :3]
        sun, above = self._sun.cast(world, dressed.faces), self._above.cast(world, dressed.faces)
        truth = self._raster(points, window)
        color, cover = self._colored(posed, window, self._lit(posed, world, sun, above))
        background = self._background(sun, above)
        area = (slice(top, top + height), slice(left, left + width))
        background[area] = color + background[area] * (1 - cover[..., None])
        rgb = _displayed(background, generator)
        depth, normals, alpha = self._truth_maps(truth, posed, camera, area, cover)
        return Picture(rgb, depth, normals, alpha)

    def _lit(self, posed: _Posed, world: Float[Tensor, "v 3"], sun: ShadowMap, above: ShadowMap) -> _Lit:
        light = self._light
        normals = posed.normals @ self._view.cam_from_world[:3, :3]
        sunny = sun.visibility(world + 0.008 * normals)
        open_sky = above.visibility(world + 0.02 * normals)
        to_camera = torch.nn.functional.normalize(self._view.position - world, dim=1)
        half = torch.nn.functional.normalize(to_camera + light.to_sun, dim=1)
        seen = sunny * step(normals @ light.to_sun, 0.15)
        mirror = (normals * half).sum(dim=1).clamp_min(0) ** 24 * seen * self._vertex_gloss
        rim = (1 - (normals * to_camera).sum(dim=1).abs().clamp(max=1)) ** 4 * 0.35 * self._vertex_gloss
        glossy = light.sun * mirror[:, None] + light.sky * rim[:, None]
        return _Lit(self._diffuse(normals, sunny, open_sky), glossy, sunny, open_sky)

    def _diffuse(
        self, normals: Float[Tensor, "p 3"], sunny: Float[Tensor, "p"], open_sky: Float[Tensor, "p"]
    ) -> Float[Tensor, "p 3"]:
        """Light that falls on surfaces with these unit normals, world frame."""
        light = self._light
        facing = normals @ light.to_sun
        direct = light.sun * (facing.clamp_min(0) * sunny * step(facing, 0.15))[:, None]
        return direct + light.ambient(normals[:, 2]) * (0.55 + 0.45 * open_sky)[:, None]

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
        self, posed: _Posed, window: Camera, light: _Lit
    ) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
        """Colour times coverage, and coverage, of the window's pixels."""
        dressed, fold = self._dressed, self._supersampling
        fine = Camera(
            window.focal_px * fold, window.cx * fold, window.cy * fold, window.width * fold, window.height * fold
        )
        raster = self._raster(posed.points, fine)
        rows = torch.nonzero(raster.face_index.flatten() >= 0)[:, 0]
        face = raster.face_index.flatten()[rows]
        weights = raster.barycentric.view(-1, 3)[rows]
        at = _weighted(torch.cat((dressed.pattern, light.diffuse, light.glossy), dim=1), dressed.faces[face], weights)
        uv = (dressed.corner_uv[face] * weights[..., None]).sum(dim=1)
        albedo = dressed.albedo(dressed.face_material[face], at[:, :5], uv)
        diffuse = at[:, 5:8]
        if posed.folds is not None:
            diffuse = self._relit(diffuse, posed.folds.at(face, weights), posed.normals, light, face, weights)
        lit = albedo * diffuse + at[:, 8:11]
        pixel = (rows // fine.width) // fold * window.width + (rows % fine.width) // fold
        total = lit.new_zeros(window.height * window.width, 4)
        total.index_add_(0, pixel, torch.cat((lit, torch.ones_like(lit[:, :1])), dim=1) / fold**2)
        total = total.view(window.height, window.width, 4)
        return total[..., :3], total[..., 3]

    def _relit(
        self,
        diffuse: Float[Tensor, "p 3"],
        raised: Raised,
        outsides: Float[Tensor, "v 3"],
        light: _Lit,
        face: Int[Tensor, "p"],
        weights: Float[Tensor, "p 3"],
    ) -> Float[Tensor, "p 3"]:
        """The light on pixels where folds turn the surface towards it or away; valleys see less of it."""
        vertices, shares = self._dressed.faces[face[raised.rows]], weights[raised.rows]
        smooth = torch.nn.functional.normalize(_weighted(outsides, vertices, shares), dim=1)
        sunny, open_sky = _weighted(torch.stack((light.sunny, light.open_sky), dim=1), vertices, shares).unbind(dim=1)
        world_from_cam = self._view.cam_from_world[:3, :3]
        flat, folded = (
            self._diffuse(normals @ world_from_cam, sunny, open_sky) for normals in (smooth, raised.turned(smooth))
        )
        valley = 1 - (-raised.height_m / DEEP_M).clamp(0, 1) * IN_A_VALLEY
        out = diffuse.clone()
        out[raised.rows] = (diffuse[raised.rows] + folded - flat).clamp_min(0) * valley[:, None]
        return out

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
        depth[area], at = self._with_folds(raster, posed, camera, area)
        normals[area] = _facing_camera(at, raster.depth_m, camera, area)
        alpha[area] = (cover * 255).round().clamp(0, 255).to(torch.uint8)
        return depth, normals, alpha

    def _with_folds(
        self, raster: Raster, posed: _Posed, camera: Camera, area: tuple[slice, slice]
    ) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w 3"]]:
        """Depth and normals (those of the outside) of the pixels."""
        normals = raster.interpolate(self._dressed.faces, posed.normals)
        if posed.folds is None:
            return raster.depth_m, normals
        depth, normals = raster.depth_m.clone(), torch.nn.functional.normalize(normals, dim=-1)
        y, x = torch.nonzero(raster.face_index >= 0, as_tuple=True)
        raised = posed.folds.at(raster.face_index[y, x], raster.barycentric[y, x])
        y, x = y[raised.rows], x[raised.rows]
        rays = _rays(y, x, camera, area)
        depth[y, x] -= raised.nearer_m(normals[y, x], rays)
        normals[y, x] = raised.turned(normals[y, x])
        return depth, normals


def _weighted(
    values: Float[Tensor, "v c"], corners: Int[Tensor, "p 3"], weights: Float[Tensor, "p 3"]
) -> Float[Tensor, "p c"]:
    """Vertex values between the corners of triangles."""
    return torch.stack([values[corners[:, k]] * weights[:, k, None] for k in range(3)]).sum(dim=0)


def _rays(y: Int[Tensor, "p"], x: Int[Tensor, "p"], camera: Camera, area: tuple[slice, slice]) -> Float[Tensor, "p 3"]:
    """Directions (z = 1) of pixels of a part of the image."""
    across = (x + area[1].start + 0.5 - camera.cx) / camera.focal_px
    down = (y + area[0].start + 0.5 - camera.cy) / camera.focal_px
    return torch.stack((across, down, torch.ones_like(across)), dim=1)


def _facing_camera(
    normals: Float[Tensor, "h w 3"], depth_m: Float[Tensor, "h w"], camera: Camera, area: tuple[slice, slice]
) -> Float[Tensor, "h w 3"]:
    """Unit normals, turned over where the inside of cloth is seen."""
    rows, columns = torch.nonzero(depth_m > 0, as_tuple=True)
    at = torch.nn.functional.normalize(normals[rows, columns], dim=1)
    away = (at * _rays(rows, columns, camera, area)).sum(dim=1) > 0
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
