"""What surfaces look like: colours as functions of where on the body a pixel lies, or of a texture.

A material answers for many samples at once, so it can be evaluated at pixels of any resolution, and at vertices.
Colours are linear light, 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from dancedepth.pipeline.synthesis.noise import hashed, step, value_noise
from jaxtyping import Float
from torch import Tensor

Pattern = Literal["plain", "stripes", "pinstripes", "checks", "dots", "blotches", "print", "side_stripe", "denim"]
PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "pinstripes", "checks", "dots", "blotches", "print")
HEM_BAND_M = 0.014
"""Width of the band along a hem that a material may colour."""


@dataclass(frozen=True)
class Samples:
    """Where the samples lie."""

    position: Float[Tensor, "p 3"]
    """On the average adult (cloth: with hanging arms), metres."""
    hem_m: Float[Tensor, "p"]
    """Distance to the nearest hem."""
    cavity: Float[Tensor, "p"]
    """How deep in a fold, 0-1."""
    uv: Float[Tensor, "p 2"]
    """Texture coordinates, v up."""


class Material(Protocol):
    """A surface's look."""

    @property
    def gloss(self) -> float:
        """Strength of the highlight."""

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """Colour of the samples."""

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Which samples are not see-through; None: all are opaque."""


@dataclass(frozen=True)
class Cloth:
    """Woven cloth with a pattern."""

    color: tuple[float, float, float]
    second: tuple[float, float, float]
    pattern: Pattern
    scale_m: float
    """Period of the pattern."""
    band: bool
    """Whether hems have a band of the second colour."""
    gloss: float = 0.05

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Cloth is."""
        return None

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """Pattern, weave, hem band, and dirtier folds."""
        first, second = at.position.new_tensor(self.color), at.position.new_tensor(self.second)
        share = self._share(at.position)
        if self.band:
            share = torch.where(at.hem_m < HEM_BAND_M, 1.0, share)
        color = first + (second - first) * share[:, None]
        seam = 1 - 0.25 * ((at.hem_m - 1.4 * HEM_BAND_M).abs() < 0.0012).to(color)
        shade = (1 + 0.07 * (hashed(at.position / 0.0025) - 0.5)) * (1 - 0.3 * at.cavity) * seam
        return color * shade[:, None]

    def _share(self, position: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
        """How much of the second colour, 0-1."""
        x, y, z = (position / self.scale_m).unbind(dim=1)
        if self.pattern == "stripes":
            return step(torch.sin(6.283 * z))
        if self.pattern == "pinstripes":
            return 0.7 * step(torch.sin(6.283 * (x + 0.3 * y)) - 0.75)
        if self.pattern == "checks":
            return 0.5 * step(torch.sin(6.283 * z)) + 0.5 * step(torch.sin(6.283 * (x + 0.6 * y)))
        if self.pattern == "dots":
            cell = torch.stack(((x + 0.5 * z.floor()) % 1 - 0.5, z % 1 - 0.5))
            return step(0.25 - cell.norm(dim=0), 0.03)
        if self.pattern == "blotches":
            return step(value_noise(position / self.scale_m) - 0.52, 0.05)
        if self.pattern == "denim":
            return 0.35 * value_noise(position / 0.09) + 0.25 * hashed(position / 0.004)
        if self.pattern == "print":
            return self._chest_print(position)
        if self.pattern == "side_stripe":
            side = position[:, 0].abs() - 0.13 + 0.09 * ((position[:, 2] + 0.75) / 0.8).clamp(0, 1) * -0.2
            return ((position[:, 1] - 0.0).abs() < 0.018).to(x) * (side > 0).to(x)
        return torch.zeros_like(x)

    def _chest_print(self, position: Float[Tensor, "p 3"]) -> Float[Tensor, "p"]:
        x, y, z = position.unbind(dim=1)
        u, v = x / 0.085, (z - 0.47) / 0.085
        disc = step(1 - (u * u + v * v).sqrt(), 0.03) * step((u + 0.25 * torch.sin(5 * v)).abs() - 0.22, 0.03)
        return disc * (y < 0).to(x)


@dataclass(frozen=True)
class Hair:
    """Hair by its colour; strands run along the position's fast axis."""

    color: tuple[float, float, float]
    gloss: float = 0.25

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Procedural hair is."""
        return None

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """Strands of varying darkness; `uv` is (across, along) in metres."""
        across, along = at.uv.unbind(dim=1)
        strands = 0.5 * value_noise(torch.stack((across / 0.0022, along / 0.06, 0 * along), dim=1))
        locks = 0.5 * value_noise(torch.stack((across / 0.011, along / 0.12, 0 * along + 7), dim=1))
        shade = (0.45 + 1.1 * (strands + locks)) * (1 - 0.4 * at.cavity)
        return at.position.new_tensor(self.color) * shade[:, None]


@dataclass(frozen=True)
class Shoe:
    """A sneaker: sole, upper, laces."""

    color: tuple[float, float, float]
    sole: tuple[float, float, float]
    sole_z: float
    """Top of the sole on the average adult."""
    gloss: float = 0.15

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Shoes are."""
        return None

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """By height and place."""
        x, y, z = at.position.unbind(dim=1)
        upper, sole = at.position.new_tensor(self.color), at.position.new_tensor(self.sole)
        tongue = ((x.abs() - 0.185 + 0.06 * y).abs() < 0.02) & (y < -0.045) & (y > -0.115) & (z > -0.79)
        laces = tongue & (torch.sin(y * 420) > 0.3)
        light = (z < self.sole_z) | laces | (at.hem_m < 0.006)
        color = torch.where(light[:, None], sole, upper)
        return color * (1 - 0.3 * at.cavity + 0.06 * (hashed(at.position / 0.003) - 0.5))[:, None]


@dataclass(frozen=True)
class Textured:
    """A picture, as MakeHuman's assets have them."""

    texture: Float[Tensor, "h w c"]
    """Linear light; a fourth channel is opacity."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gloss: float = 0.06

    @property
    def cut_out(self) -> bool:
        """Whether parts are see-through."""
        return self.texture.shape[2] == 4

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Where the texture's opacity is a half or more."""
        return sample_texture(self.texture[..., 3:], uv)[:, 0] > 0.5 if self.cut_out else None

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """The texture, tinted."""
        return sample_texture(self.texture[..., :3], at.uv) * at.position.new_tensor(self.tint)


def sample_texture(texture: Float[Tensor, "h w c"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Bilinear samples; v up, repeating."""
    height, width, channels = texture.shape
    x = (uv[:, 0] % 1) * width - 0.5
    y = ((1 - uv[:, 1]) % 1) * height - 0.5
    left, top = x.floor(), y.floor()
    share_x, share_y = (x - left)[:, None], (y - top)[:, None]
    columns = [(left.long() + k) % width for k in (0, 1)]
    rows = [((top.long() + k) % height) * width for k in (0, 1)]
    flat = texture.reshape(-1, channels)
    upper = flat[rows[0] + columns[0]] * (1 - share_x) + flat[rows[0] + columns[1]] * share_x
    lower = flat[rows[1] + columns[0]] * (1 - share_x) + flat[rows[1] + columns[1]] * share_x
    return upper * (1 - share_y) + lower * share_y
