"""The depth networks: normals from RGB and body, then depth from RGB, normals and body, in the spirit of HDNet.

HDNet (Jafarian & Park, CVPR 2021) feeds DensePose coordinates to its networks; here the fitted body says at each pixel
where it is, how it is turned and which point of it is seen, and depth is predicted as an offset from it. Both networks
are U-Nets of residual blocks with group normalisation, which behaves the same in training and inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from dancedepth.models.inputs import NetworkInput, extend_outwards
from dancedepth.models.normal_integration import integrate_normals
from dancedepth.models.precision import has_bfloat16
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

OFFSET_UNIT = 0.03
"""Body heights (5 cm): the scale of a depth network's outputs, so that they are of the order of one."""
NORMAL_BODY = 0.5
"""How strongly a normal network starts from the body's own normals."""
SCALE_RANGE = (-5.0, 3.0)
"""Logarithms of the predicted error scales are kept within this."""


@dataclass(frozen=True)
class Preset:
    """A size of network."""

    size: tuple[int, int]
    """Width and height of its input."""
    widths: tuple[int, ...]
    """Channels at 1/2, 1/4, ... of the input size."""
    blocks: tuple[int, ...]
    """Residual blocks at each of these on the way down; one less, but at least one, on the way up."""
    full_width: int
    """Channels at full size."""
    head_size: tuple[int, int]
    """Width and height of what is seen of the head from nearer."""


PRESETS = {
    "tiny": Preset((64, 96), (8, 16), (1, 1), 8, (32, 32)),
    "small": Preset((208, 320), (24, 48, 96, 128), (1, 1, 2, 2), 12, (128, 128)),
    "base": Preset((512, 768), (64, 128, 256, 320, 320), (2, 2, 3, 4, 4), 32, (256, 256)),
}
"""`tiny` is for tests."""


@dataclass(frozen=True)
class Prediction:
    """What the networks say, in network space."""

    normals: Float[Tensor, "b 3 h w"]
    normal_scale: Float[Tensor, "b 1 h w"]
    """Logarithm of the expected error of the normals (length of the difference of unit vectors)."""
    depth: Float[Tensor, "b 1 h w"]
    """From the body's root, in body heights."""
    depth_scale: Float[Tensor, "b 1 h w"]
    """Logarithm of the expected depth error in units of `OFFSET_UNIT` body heights."""

    @property
    def confidence(self) -> Float[Tensor, "b 1 h w"]:
        """0-1: one half where 5 cm of depth error, or 40 degrees of normal error, are expected."""
        expected = self.depth_scale.exp() + self.normal_scale.exp() / 0.7
        return 1 / (1 + expected**2)


class HDNet(nn.Module):
    """Normals and depth of a whole person and, if that was taught, normals of the head from nearer."""

    def __init__(self, preset: str, head: bool = False) -> None:
        super().__init__()
        self.preset, self.size, self.head_size = preset, PRESETS[preset].size, PRESETS[preset].head_size
        self.normal_net = NormalNet(PRESETS[preset])
        self.depth_net = DepthNet(PRESETS[preset])
        self.head_net = NormalNet(PRESETS[preset]) if head else None

    def forward(self, given: NetworkInput) -> Prediction:
        """Network space in, network space out; the depth network takes the normals as they are."""
        normals, normal_scale = self.normal_net(given)
        depth, depth_scale = self.depth_net(given, normals.detach())
        return Prediction(normals, normal_scale, depth, depth_scale)

    @torch.inference_mode()
    def infer(self, given: NetworkInput) -> Prediction:
        """For use: on the network's device, with autocast where that helps; answers in single precision.

        The depth takes its fine relief from the normals, which are sharper; from planes, in a third less time.
        """
        device = next(self.parameters()).device
        given = given.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            said = self(given)
        normals, depth = said.normals.float().contiguous(), said.depth.float() + given.root_depth
        depth = integrate_normals(depth, normals, person_mask(given), given.rays) - given.root_depth
        return Prediction(normals, said.normal_scale.float(), depth, said.depth_scale.float())

    @torch.inference_mode()
    def infer_head(self, given: NetworkInput) -> Float[Tensor, "b 3 h w"]:
        """For use, as `infer`: the normals of heads seen from nearer.

        Raises:
            ValueError: these networks were not taught any.
        """
        if self.head_net is None:
            raise ValueError("these networks have none for heads")
        device = next(self.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
            normals, _ = self.head_net(given.to(device))
        return normals.float().contiguous()


class NormalNet(nn.Module):
    """RGB, alpha and body normals to unit normals that face the camera."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.net = UNet(3 + 1 + 3 + 3 + 1 + 2, 4, preset)

    def forward(self, given: NetworkInput) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
        """Normals and the logarithm of their error."""
        maps = (given.image - 0.4, given.alpha, given.body_normals, 2 * given.canonical, given.coverage, given.rays)
        out = self.net(torch.cat(maps, dim=1)).float()
        body = extend_outwards(given.body_normals, given.coverage)
        return normalize(out[:, :3] + NORMAL_BODY * body, dim=1, eps=1e-4), out[:, 3:].clamp(*SCALE_RANGE)


class DepthNet(nn.Module):
    """RGB, normals and what the body says to depth."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.net = UNet(3 + 1 + 3 + 3 + 3 + 1 + 1 + 2, 2, preset)

    def forward(
        self, given: NetworkInput, normals: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """Depth from the body's root and the logarithm of its error."""
        turned = (given.body_normals, normals * given.alpha)
        body = (2 * given.canonical, given.coverage, 4 * given.body_offset)
        out = self.net(torch.cat((given.image - 0.4, given.alpha, *turned, *body, given.rays), dim=1)).float()
        return given.body_offset + OFFSET_UNIT * out[:, :1], out[:, 1:].clamp(*SCALE_RANGE)


class UNet(nn.Module):
    """Folds 2x2 pixels into channels, goes down and up, and ends with two convolutions beside the input's pixels."""

    def __init__(self, channels: int, outputs: int, preset: Preset) -> None:
        super().__init__()
        widths, full = preset.widths, preset.full_width
        self.fold = nn.PixelUnshuffle(2)
        self.stem = nn.Conv2d(4 * channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.encode = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(n))) for w, n in zip(widths, preset.blocks, strict=True)
        )
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.decode = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(max(1, n - 1))))
            for w, n in zip(widths[:-1], preset.blocks, strict=False)
        )
        self.unfold = nn.Sequential(nn.Conv2d(widths[0], 4 * full, 3, padding=1), nn.PixelShuffle(2), nn.SiLU())
        self.finish = nn.Sequential(nn.Conv2d(full + channels, full, 3, padding=1), nn.SiLU())
        self.head = nn.Conv2d(full, outputs, 3, padding=1)
        _silence(self.head)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Maps whose sides the deepest level divides."""
        maps = maps.contiguous(memory_format=torch.channels_last)
        x = self.encode[0](self.stem(self.fold(maps)))
        skips = [x]
        for down, encode in zip(self.down, list(self.encode)[1:], strict=True):
            x = encode(down(x))
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = interpolate(self.up[level](x), size=skips[level].shape[-2:], mode="bilinear", align_corners=False)
            x = self.decode[level](x + skips[level])
        fine = self.finish(torch.cat((self.unfold(x), maps), dim=1))
        with torch.autocast(x.device.type, enabled=False):  # of eight bits, depth would have terraces
            return self.head(fine.float())


class Block(nn.Module):
    """Two convolutions beside the identity; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.SiLU()
        _silence(self.second)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Same shape."""
        return x + self.second(self.act(self.first(self.norm(x))))


def _silence(layer: nn.Conv2d) -> None:
    """It says 0 until it is taught."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def person_mask(given: NetworkInput) -> Bool[Tensor, "b 1 h w"]:
    """Pixels on the person."""
    return given.alpha >= 0.5
