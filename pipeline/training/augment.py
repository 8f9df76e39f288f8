"""What a real camera, codec and matte do to a clean rendering; and mirroring, which doubles the people."""

from __future__ import annotations

from dataclasses import replace

import torch
from dancedepth.pipeline.training.views import Sample
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d, interpolate

NOISE = (0.0, 0.04)
"""Standard deviation of the sensor's noise, parts of the display range."""
SOFTEST = 3.0
"""The picture may have been this many times smaller, as when the dancer is small or moves fast."""


def augmented(sample: Sample, generator: Generator) -> Sample:
    """A sample as it might have been filmed; mirrored half of the time."""
    rgb = _exposed(sample.rgb.float() / 255, generator)
    if _uniform(generator) < 0.5:
        rgb = _softened(rgb, 1 + (SOFTEST - 1) * _uniform(generator) ** 2)
    if _uniform(generator) < 0.2:
        rgb = _smeared(rgb, generator)
    noise = NOISE[0] + (NOISE[1] - NOISE[0]) * _uniform(generator) ** 2
    rgb = (rgb + noise * torch.randn(rgb.shape, generator=generator)).clamp(0, 1)
    alpha = _misjudged(sample.alpha.float() / 255, generator)
    seen = replace(sample, rgb=(rgb * 255).to(torch.uint8), alpha=(alpha * 255).to(torch.uint8))
    return mirrored(seen) if _uniform(generator) < 0.5 else seen


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged, in the image and in the body."""
    width = sample.rgb.shape[-1]
    flip = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    focal, cx, cy, root = sample.camera.tolist()
    return Sample(
        rgb=sample.rgb.flip(-1),
        alpha=sample.alpha.flip(-1),
        body_offset=sample.body_offset.flip(-1),
        body_normals=sample.body_normals.flip(-1) * flip,
        canonical=sample.canonical.flip(-1) * flip,
        depth=sample.depth.flip(-1),
        normals=sample.normals.flip(-1) * flip,
        camera=torch.tensor([focal, width - cx, cy, root]),
    )


def _exposed(rgb: Float[Tensor, "3 h w"], generator: Generator) -> Float[Tensor, "3 h w"]:
    """Exposure, contrast, white balance, colour strength."""
    gamma = 0.6 + 0.7 * _uniform(generator)
    gain = (0.8 + 0.45 * _uniform(generator)) * (1 + 0.2 * (torch.rand(3, 1, 1, generator=generator) - 0.5))
    grey = rgb.mean(dim=0, keepdim=True)
    vivid = 0.5 + 0.8 * _uniform(generator)
    mixed = grey + (rgb - grey) * vivid
    if _uniform(generator) < 0.2:
        mixed = mixed[torch.randperm(3, generator=generator)]
    return (mixed.clamp(1e-4, 1) ** gamma * gain).clamp(0, 1)


def _softened(rgb: Float[Tensor, "3 h w"], factor: float) -> Float[Tensor, "3 h w"]:
    height, width = rgb.shape[-2:]
    small = (max(8, round(height / factor)), max(8, round(width / factor)))
    shrunk = interpolate(rgb[None], size=small, mode="bilinear", antialias=True, align_corners=False)
    return interpolate(shrunk, size=(height, width), mode="bilinear", align_corners=False)[0]


def _smeared(rgb: Float[Tensor, "3 h w"], generator: Generator) -> Float[Tensor, "3 h w"]:
    """Motion along one image axis."""
    reach = 2 * int(1 + 3 * _uniform(generator)) + 1
    kernel = (reach, 1) if _uniform(generator) < 0.5 else (1, reach)
    border = (kernel[0] // 2, kernel[1] // 2)
    return avg_pool2d(rgb[None], kernel, 1, border, count_include_pad=False)[0]


def _misjudged(alpha: Float[Tensor, "1 h w"], generator: Generator) -> Float[Tensor, "1 h w"]:
    """A matte's edge is a pixel off here and there."""
    height, width = alpha.shape[-2:]
    coarse = torch.randn(1, 1, height // 16, width // 16, generator=generator)
    push = 0.25 * interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[0]
    soft = avg_pool2d(alpha[None], 3, 1, 1, count_include_pad=False)[0]
    return (soft + push * (soft * (1 - soft) * 4)).clamp(0, 1)


def _uniform(generator: Generator) -> float:
    return float(torch.rand(1, generator=generator))
