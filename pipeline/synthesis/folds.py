"""Folds finer than a garment's mesh: a height over each point of the cloth, of which the renderer makes slopes.

Three kinds lie over each other: folds that the cloth has at rest, pleats round a skirt, and wrinkles where the pose
squeezes the cloth along the limb, which inextensible cloth answers by going up and down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from dancedepth.pipeline.synthesis.draws import between, chance, pick
from dancedepth.pipeline.synthesis.noise import value_noise
from jaxtyping import Float
from torch import Tensor

WAVES = 6
WAVELENGTHS_M = (0.028, 0.14)
STEEPEST = 0.7
"""Slope of the strongest folds at rest, as a whole."""
ALONG = (0.2, 0.5, 1.0, 2.5)
"""How much faster a garment's folds change along the limbs than around them: small for cloth that hangs."""
WRINKLE_M = (0.03, 0.065)
"""Wavelengths of what squeezing makes."""
SLACK, MOST_SQUEEZED = 0.06, 0.5
"""Shares of its length that cloth loses without wrinkling, and at which wrinkles do not grow any more."""
BEND_M, BEND_PERIOD_M = 0.045, 0.15
"""How far, and how often, folds stray from straight lines."""
PATCH_M = 0.13
"""Folds come in patches of this size."""
PLEATS = (16, 56)
PLEAT_RADIUS_M = 0.2


@dataclass(frozen=True)
class Folds:
    """The folds of one garment; positions are on the average adult with hanging arms, metres."""

    waves: Float[Tensor, "w 3"]
    """Radians a metre."""
    phases: Float[Tensor, "w"]
    slopes: Float[Tensor, "w"]
    wrinkle_m: float
    wrinkled: float
    """Share of the squeezed length that wrinkles take up, 0-1."""
    tilt: float
    """Of the wrinkles against the horizontal, as a slope."""
    pleats: float
    """Around the body; 0: none."""
    pleat_slope: float
    origin: Float[Tensor, "3"]
    """Where in the noise this garment lies."""

    def height_m(self, position: Float[Tensor, "p 3"], squeezed: Float[Tensor, "p"]) -> Float[Tensor, "p"]:
        """Metres out of the cloth's mean surface; `squeezed` is the share of its length along z that it lost."""
        stray = torch.stack([value_noise(position / BEND_PERIOD_M + self.origin + 5 * k) for k in range(3)], dim=1)
        bent = position + BEND_M * (2 * stray - 1)
        patch = (2 * value_noise(position / PATCH_M + self.origin + 31)) ** 1.5
        each = _ridge(bent @ self.waves.T + self.phases) * (self.slopes / self.waves.norm(dim=1))
        pace = 2 * math.pi / self.wrinkle_m
        lost = (squeezed - SLACK).clamp(0, MOST_SQUEEZED)
        # A sine of slope s is longer than its base by s^2 / 4: so much of the cloth's length goes into it.
        wrinkles = patch * self.wrinkled * 2 * lost.sqrt() / pace * _ridge(pace * (bent[:, 2] + self.tilt * bent[:, 0]))
        height = each.sum(dim=1) * patch + wrinkles
        if self.pleats:
            turn = torch.atan2(position[:, 1] + 0.02, position[:, 0])
            height = height + self.pleat_slope * PLEAT_RADIUS_M / self.pleats * _ridge(self.pleats * turn + stray[:, 0])
        return height


def draw_folds(seed: int, pleated: bool) -> Folds:
    """Folds of a garment, from none to strong; `pleated` ones may have pleats."""
    generator = torch.Generator().manual_seed(seed)
    along = pick(generator, ALONG)
    direction = torch.randn(WAVES, 3, generator=generator) * torch.tensor([1.0, 1.0, along])
    short, long = (math.log(value) for value in WAVELENGTHS_M)
    lengths = torch.exp(short + (long - short) * torch.rand(WAVES, generator=generator))
    waves = torch.nn.functional.normalize(direction, dim=1) * (2 * math.pi / lengths)[:, None]
    shares = 0.3 + 0.7 * torch.rand(WAVES, generator=generator)
    steep = between(generator, 0, STEEPEST)
    has_pleats = pleated and chance(generator, 0.5)
    return Folds(
        waves=waves,
        phases=2 * math.pi * torch.rand(WAVES, generator=generator),
        slopes=steep * shares / math.sqrt(WAVES),
        wrinkle_m=between(generator, *WRINKLE_M),
        wrinkled=between(generator, 0.2, 0.9),
        tilt=between(generator, -0.8, 0.8),
        pleats=round(between(generator, *PLEATS)) if has_pleats else 0,
        pleat_slope=between(generator, 0.2, 0.8),
        origin=60 * torch.rand(3, generator=generator),
    )


def _ridge(phase: Tensor) -> Tensor:
    """Of mean 0; crests rounder than valleys."""
    return torch.sin(phase) - 0.25 * torch.cos(2 * phase)
