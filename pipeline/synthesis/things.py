"""What a room is made of: boxes and balls that rays hit, each with its paint. World frame, metres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from dancedepth.pipeline.synthesis.staging import View
from jaxtyping import Float
from torch import Tensor

Paint = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""World points to colours, linear light."""


@dataclass(frozen=True)
class Box:
    """A box along the axes."""

    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    paint: Paint

    def rows(self, view: View) -> tuple[float, float]:
        """Image rows between which it lies."""
        corners = torch.cartesian_prod(*torch.stack((self.low, self.high), dim=1))
        return _rows(corners, view)

    def distance(
        self, origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], inverse: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p"]:
        """Along each ray to the box, in ray lengths; infinite beside it."""
        first, second = (self.low - origin) * inverse, (self.high - origin) * inverse
        enter, leave = torch.minimum(first, second).amax(dim=1), torch.maximum(first, second).amin(dim=1)
        return torch.where((enter < leave) & (enter > 0.05), enter, torch.inf)

    def normal(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Of the side that each point lies on."""
        centre, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        side = half - (points - centre).abs()
        return torch.nn.functional.one_hot(side.argmin(dim=1), 3) * (points - centre).sign()


@dataclass(frozen=True)
class Ball:
    """A ball."""

    centre: Float[Tensor, "3"]
    radius: float
    paint: Paint

    def rows(self, view: View) -> tuple[float, float]:
        """Image rows between which it lies."""
        sides = torch.tensor([-self.radius, self.radius])
        return _rows(self.centre + torch.cartesian_prod(sides, sides, sides), view)

    def distance(
        self, origin: Float[Tensor, "3"], rays: Float[Tensor, "p 3"], inverse: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p"]:
        """Along each ray to the ball, in ray lengths; infinite beside it."""
        offset = origin - self.centre
        a, b = (rays * rays).sum(dim=1), rays @ offset
        discriminant = b * b - a * (offset @ offset - self.radius**2)
        distance = (-b - discriminant.clamp_min(0).sqrt()) / a
        return torch.where((discriminant > 0) & (distance > 0.05), distance, torch.inf)

    def normal(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Outwards."""
        return (points - self.centre) / self.radius


Thing = Box | Ball


def _rows(corners: Float[Tensor, "8 3"], view: View) -> tuple[float, float]:
    """Image rows between which points lie; all of them if some are not before the camera."""
    seen = corners @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
    if float(seen[:, 2].min()) < 0.1:
        return -torch.inf, torch.inf
    rows = seen[:, 1] / seen[:, 2] * view.camera.focal_px + view.camera.cy
    return float(rows.min()) - 2, float(rows.max()) + 2
