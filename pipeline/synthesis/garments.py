"""Procedural clothes: the base mesh's helper surfaces, cut to a pattern, given ease and folds.

Each garment is a `Mesh` plus the field by which it covers the body: positive (metres inside its hems) where skin, and
the garments worn below it, are hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.pipeline.synthesis import anatomy
from dancedepth.pipeline.synthesis.mesh import FAR_M, Mesh, clip, kept_faces, smoothed, subdivide, vertex_normals
from jaxtyping import Float
from torch import Tensor

Cover = Callable[[Float[Tensor, "v 3"], Float[Tensor, "v j"]], Float[Tensor, "v"]]
"""(points of the average adult, their skinning weights) to metres inside the garment's hems; negative outside."""
COAT_SLEEVE_M = 0.49
SOLE_M = 0.022
"""How far a shoe's sole reaches below the foot, for a body of average height."""
SOLE_TOP_Z = -0.803
"""Top of the sole's side on the average adult."""


@dataclass(frozen=True)
class Garment:
    """A piece of clothing on one body."""

    name: str
    mesh: Mesh
    cover: Cover


@dataclass(frozen=True)
class Fit:
    """How cloth hangs."""

    ease_m: float
    """Distance from the body where it lies close."""
    loose_m: float
    """Further distance at the free ends."""
    fold_m: float
    """Height of the folds."""
    seed: int


@dataclass(frozen=True)
class Tailor:
    """Cuts clothes for one body."""

    body: BodyModel
    rest: RestBody
    detail: int
    """Each step halves the edges; 2 gives about 6 mm."""

    def top(self, sleeve_m: float, hem_z: float, neck_m: float, vee_m: float, fit: Fit, open_m: float = 0.0) -> Garment:
        """Shirt, T-shirt or sleeveless top; `sleeve_m` along the arm from the shoulder joint, negative: no sleeve;
        `open_m` is half the width of a gap down the front.
        """

        def cover(template: Tensor, weights: Tensor) -> Tensor:
            arm = anatomy.arm_weight(self.body, weights) > 0.5
            down = anatomy.along_arm(self.body, template)
            sleeve = torch.where(arm | (down > 0.15), sleeve_m - down, FAR_M)
            if sleeve_m < 0:
                above = ((template[:, 2] - 0.42) / 0.1).clamp(0, 1)
                armhole = 0.172 - 0.03 * above - template[:, 0].abs()
                sleeve = torch.where(arm, -0.05, torch.where(template[:, 2] > 0.40, armhole, FAR_M))
            else:
                sleeve = torch.where(arm, sleeve, FAR_M)
            trunk = torch.where(arm, FAR_M, torch.minimum(template[:, 2] - hem_z, _beside_gap(template, open_m)))
            return torch.minimum(torch.minimum(sleeve, trunk), anatomy.below_neckline(template, neck_m, vee_m))

        mesh = self._cut("tights", cover)
        arm = anatomy.arm_weight(self.body, mesh.weights)
        along = (anatomy.along_arm(self.body, mesh.template) / max(sleeve_m, 0.1)).clamp(0, 1)
        down = ((0.40 - mesh.template[:, 2]) / 0.35).clamp(0, 1)
        ease = fit.ease_m + fit.loose_m * torch.lerp(down, 0.8 * along, arm)
        return Garment("top", self._hung(mesh, ease, fit, along_fold=0.35), cover)

    def trousers(self, hem_z: float, waist_z: float, fit: Fit) -> Garment:
        """Trousers, shorts or leggings."""

        def cover(template: Tensor, weights: Tensor) -> Tensor:
            arm = anatomy.arm_weight(self.body, weights) > 0.3
            inside = torch.minimum(waist_z - template[:, 2], template[:, 2] - hem_z)
            return torch.where(arm, -FAR_M, inside)

        mesh = self._cut("tights", cover)
        down = ((anatomy.CROTCH_Z - mesh.template[:, 2]) / 0.5).clamp(0, 1)
        inner = ((0.06 - mesh.template[:, 0].abs()) / 0.05).clamp(0, 1)
        ease = fit.ease_m + fit.loose_m * down * (1 - 0.8 * inner)
        return Garment("trousers", self._hung(mesh, ease, fit, along_fold=0.5), cover)

    def coat(self, hem_z: float, open_m: float, fit: Fit) -> tuple[Garment, Garment]:
        """A coat that is open in front, from two pieces of one cloth: above the waist, and hanging from it."""
        upper = self.top(COAT_SLEEVE_M, 0.15, 0.0, 0.0, fit, open_m)
        lower = self.skirt(hem_z, fit, open_m)
        return replace(upper, name="coat"), replace(lower, name="coat")

    def skirt(self, hem_z: float, fit: Fit, open_m: float = 0.0) -> Garment:
        """A skirt to `hem_z`; its cloth is shared by both legs, so that it does not tear between them. `open_m` is half
        the width of a gap down the front.
        """

        def cover(template: Tensor, weights: Tensor) -> Tensor:
            arm = anatomy.arm_weight(self.body, weights) > 0.3
            inside = torch.minimum(0.24 - template[:, 2], template[:, 2] - hem_z)
            return torch.where(arm, -FAR_M, torch.minimum(inside, _beside_gap(template, open_m)))

        mesh = self._cut("skirt", cover)
        mesh = replace(mesh, weights=self._bridged(mesh))
        down = ((0.15 - mesh.template[:, 2]) / 0.4).clamp(0, 1)
        angle = torch.atan2(mesh.template[:, 1] + 0.02, mesh.template[:, 0])
        pleats = 1 + 0.6 * torch.sin(angle * 9 + 2.0 * torch.sin(angle * 2 + fit.seed))
        ease = fit.ease_m + fit.loose_m * down * pleats
        return Garment("skirt", self._hung(mesh, ease, fit, along_fold=0.15), cover)

    def shoes(self, top_z: float) -> Garment:
        """Sneakers: the foot's helper surface, thickened, with a flat sole."""

        def cover(template: Tensor, weights: Tensor) -> Tensor:
            foot = anatomy.weight_of(self.body, weights, "foot", "toe", "lowerleg") > 0.5
            return torch.where(foot, top_z - template[:, 2], -FAR_M)

        mesh = self._cut("tights", cover)
        scale = self.rest.height_m / 1.75
        low = ((SOLE_TOP_Z + 0.012 - mesh.template[:, 2]) / 0.012).clamp(0, 1)
        rest = smoothed(mesh.rest, mesh.faces, 6)
        rest = rest + vertex_normals(rest, mesh.faces) * (0.008 + 0.004 * low[:, None]) * scale
        ground = self._sole_z() - SOLE_M * scale
        flat = torch.lerp(rest[:, 2], ground.expand_as(rest[:, 2]), low * 0.98)
        rest = torch.stack((rest[:, 0], rest[:, 1], torch.maximum(flat, ground)), dim=1)
        return Garment("shoes", replace(mesh, rest=smoothed(rest, mesh.faces, 1, 0.3)), cover)

    def _sole_z(self) -> Float[Tensor, ""]:
        foot = anatomy.average_adult(self.body)[:, 2] < -0.79
        foot[13380:] = False
        return self.rest.vertices[foot, 2].min()

    def _cut(self, helper: str, cover: Cover) -> Mesh:
        body = self.body
        faces = body.helper_faces(helper)
        mesh = Mesh.of(self.rest.vertices, anatomy.average_adult(body), anatomy.dense_weights(body), faces)
        mesh = kept_faces(mesh, cover(mesh.template, mesh.weights) > -0.02)
        mesh = subdivide(mesh, self.detail)
        return clip(mesh, cover(mesh.template, mesh.weights))

    def _hung(self, mesh: Mesh, ease: Float[Tensor, "v"], fit: Fit, along_fold: float) -> Mesh:
        """The cloth at its distance from the body, bridging hollows, with folds."""
        rounds = 4 * 4 ** max(self.detail - 1, 0)
        close = smoothed(mesh.rest, mesh.faces, rounds // 2)
        normals = vertex_normals(close, mesh.faces)
        normals = torch.nn.functional.normalize(smoothed(normals, mesh.faces, rounds), dim=1)
        hung = smoothed(close + normals * ease[:, None], mesh.faces, rounds)
        short = (0.7 * ease - ((hung - mesh.rest) * normals).sum(dim=1)).clamp_min(0)
        hung = smoothed(hung + normals * short[:, None], mesh.faces, rounds // 4)
        height = _folds(mesh.template, along_fold, fit.seed)
        calm = (mesh.hem / 0.05).clamp(0.35, 1)
        hung = hung + vertex_normals(hung, mesh.faces) * (height * calm * fit.fold_m)[:, None]
        return replace(mesh, rest=hung, cavity=(0.45 - height).clamp_min(0) * min(fit.fold_m / 0.006, 1.0))

    def _bridged(self, mesh: Mesh) -> Float[Tensor, "v j"]:
        """Weights blended across the body's middle by how far apart the legs' cloth is, then smoothed."""
        mirror = [self.body.bone_names.index(_other_side(name)) for name in self.body.bone_names]
        near = torch.exp(-((mesh.template[:, :1].abs() / 0.09) ** 2)) * 0.5
        weights = mesh.weights * (1 - near) + mesh.weights[:, mirror] * near
        return smoothed(weights, mesh.faces, 30)


def _beside_gap(template: Float[Tensor, "v 3"], open_m: float) -> Float[Tensor, "v"]:
    """Metres beside a gap down the body's front."""
    return (
        torch.where(template[:, 1] < 0, template[:, 0].abs() - open_m, FAR_M) if open_m else FAR_M + 0 * template[:, 0]
    )


def _other_side(name: str) -> str:
    return name[:-1] + {"L": "R", "R": "L"}[name[-1]] if name[-2:] in (".L", ".R") else name


def _folds(template: Float[Tensor, "v 3"], along: float, seed: int) -> Float[Tensor, "v"]:
    """Fold height, about -0.3 to 1: ridges of random waves, longer along z than around by 1 / `along`."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(template[:, 0])
    for octave in range(3):
        for _ in range(4):
            direction = torch.randn(3, generator=generator)
            direction = direction / direction.norm()
            waves_per_m = (7.0 + 3 * float(torch.rand(1, generator=generator))) * 1.7**octave
            k = direction * waves_per_m * direction.new_tensor([1.0, 1.0, along])
            phase = 6.283 * float(torch.rand(1, generator=generator))
            bend = 1.2 * torch.sin(template @ (9.0 * torch.randn(3, generator=generator)).to(template))
            total += torch.sin(2 * math.pi * (template @ k.to(template)) + phase + bend) * 0.65**octave
    return 1 - (total / 1.6).abs().clamp(max=1.3)
