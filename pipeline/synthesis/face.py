"""Skin with a painted face, and eyes: drawn by where a sample lies on the average adult's head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from dancedepth.pipeline.synthesis.materials import Samples
from dancedepth.pipeline.synthesis.noise import hashed, step, value_noise
from jaxtyping import Float
from torch import Tensor

EYE_X, EYE_Z = 0.0325, 0.8205
"""The middle of the left eye's opening, metres; the right one mirrors it."""
MOUTH_Z = 0.7503
"""The line between the lips."""
MOUTH_TOP_Z = 0.79
MOUTH = (0.06, 0.015, 0.015)
"""Linear colour of the inside of the mouth."""
FACE_Y = -0.085
"""What lies behind this is not the face."""


@dataclass(frozen=True)
class Skin:
    """Bare skin."""

    tone: tuple[float, float, float]
    lips: tuple[float, float, float]
    brows: tuple[float, float, float]
    stubble: float
    """Darkness of a shaven beard, 0-1."""
    gloss: float = 0.18

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Skin is."""
        return None

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """Tone with mottling; on the face also blush, brows, lashes, lips."""
        tone = at.position.new_tensor(self.tone)
        mottled = 1 + 0.10 * (value_noise(at.position / 0.02) - 0.5) + 0.03 * (hashed(at.position / 0.002) - 0.5)
        color = tone * mottled[:, None]
        face = (at.position[:, 2] > 0.69) & (at.position[:, 1] < FACE_Y)
        color[face] = self._painted(color[face], at.position[face])
        return color

    def _painted(self, color: Float[Tensor, "p 3"], position: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        x, _y, z = position.unbind(dim=1)
        x = x.abs()
        dark = color.new_tensor(self.brows)
        blush = torch.exp(-(((x - 0.046) / 0.02) ** 2) - ((z - 0.778) / 0.018) ** 2)
        nose = torch.exp(-((x / 0.016) ** 2) - ((z - 0.785) / 0.014) ** 2)
        reddened = color * color.new_tensor([1.06, 0.82, 0.80])
        color = torch.lerp(color, reddened, (0.8 * blush + 0.6 * nose).clamp(0, 1)[:, None])
        jaw = step(0.772 - z - 0.25 * (x - 0.03).abs(), 0.02) * step(x - 0.0 - 0.2 * (z - 0.735), 0.02)
        color = color * (1 - 0.45 * self.stubble * jaw * (z < 0.772))[:, None]
        color = torch.lerp(color, color.new_tensor(self.lips).expand_as(color), 0.8 * _lips(x, z)[:, None])
        mouth = step(0.0012 - (z - MOUTH_Z - 0.03 * (x - 0.012).clamp_min(0)).abs(), 0.0008) * step(0.023 - x, 0.004)
        color = color * (1 - 0.65 * mouth)[:, None]
        socket = torch.exp(-(((x - EYE_X) / 0.022) ** 2) - ((z - EYE_Z - 0.004) / 0.011) ** 2)
        color = color * (1 - 0.22 * socket)[:, None]
        color = torch.lerp(color, dark.expand_as(color), (0.9 * _brow(x, z))[:, None])
        return torch.lerp(color, 0.25 * dark.expand_as(color), (0.9 * _lashes(x, z))[:, None])


def _lips(x: Float[Tensor, "p"], z: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
    cupid = 0.0015 * torch.exp(-((x / 0.004) ** 2))
    half_height = torch.where(z > MOUTH_Z, 0.0092 - cupid, 0.0115)
    inside = 1 - (x / 0.0255) ** 2 - ((z - MOUTH_Z) / half_height) ** 2
    return step(inside, 0.35)


def _brow(x: Float[Tensor, "p"], z: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
    along = (x - 0.013) / 0.040
    middle = 0.8375 + 0.0075 * torch.sin(2.3 * along.clamp(0, 1))
    half = 0.0036 * (1 - 0.55 * along.clamp(0, 1))
    hairs = 0.75 + 0.5 * torch.sin(2200 * x + 900 * z).clamp(-0.5, 0.5)
    return step(half - (z - middle).abs(), 0.0025) * step(along, 0.1) * step(1 - along, 0.15) * hairs


def _lashes(x: Float[Tensor, "p"], z: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
    radius = (((x - EYE_X) / 0.0150) ** 2 + ((z - EYE_Z) / 0.0072) ** 2).sqrt()
    ring = step(0.22 - (radius - 1).abs(), 0.2)
    return ring * torch.where(z > EYE_Z, 1.0, 0.35)


@dataclass(frozen=True)
class Eyes:
    """White, iris and pupil; and what else lies inside the skin: teeth and tongue, which are in the dark."""

    iris: tuple[float, float, float]
    gloss: float = 0.3

    def opaque(self, uv: Float[Tensor, "p 2"]) -> Tensor | None:
        """Eyes are."""
        return None

    def albedo(self, at: Samples) -> Float[Tensor, "p 3"]:
        """By distance from the gaze."""
        x, _y, z = at.position.unbind(dim=1)
        radius = ((x.abs() - EYE_X) ** 2 + (z - EYE_Z) ** 2).sqrt()
        white = at.position.new_tensor([0.44, 0.40, 0.37])
        iris = at.position.new_tensor(self.iris)
        color = torch.lerp(
            white.expand_as(at.position), iris.expand_as(at.position), step(0.0068 - radius, 0.001)[:, None]
        )
        lid = 1 - 0.55 * step(z - EYE_Z - 0.0035, 0.003)
        color = color * (lid * (1 - 0.95 * step(0.0028 - radius, 0.0008)))[:, None]
        return torch.where((z < MOUTH_TOP_Z)[:, None], color.new_tensor(MOUTH), color)
