"""The energy of a body fit: what the detectors saw, what joints can do, how people move and stand.

After SMPLify (Bogo et al., ECCV 2016) - robust reprojection weighted by confidence, joint ranges, a pose prior - with
steps in depth from a network that looks at the whole picture, which no 2D keypoint can give.
"""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from dancedepth.models.articulated import ArticulatedBody, joint_frames
from dancedepth.models.body import ADULT
from dancedepth.models.evidence import Evidence
from dancedepth.models.geometry import Camera, project
from dancedepth.models.image_motion import Moves
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.silhouettes import Silhouettes
from jaxtyping import Float, Int
from torch import Tensor

ROBUST_AT = 3.0
"""Residuals beyond this many spreads stop pulling (Geman-McClure)."""
FEW_POINTS = 30
"""A frame with fewer points whose motion is known is not pulled as strongly by each of them."""
FLOW_DRIFT = 0.2
"""Flow that is followed over several frames errs so much more by each."""
FAR_SIGHT = 4.0
"""A fit starts with so many times that reach (graduated non-convexity): a limb that begins far off finds back."""


def reach_at(progress: float) -> float:
    """From `FAR_SIGHT` to one within the first half of a fit."""
    return float(FAR_SIGHT ** max(0.0, 1 - 2 * progress))


@dataclass(frozen=True)
class FitWeights:
    """Weights of the energy's terms, and the spreads that make them dimensionless."""

    keypoints: float = 1.0
    steps: float = 0.7
    prior: float = 0.12
    ranges: float = 30.0
    shape_prior: float = 0.15
    acceleration: float = 1.2
    turning: float = 0.08
    balance: float = 0.6
    outside: float = 24.0
    outline: float = 12.0
    image_motion: float = 30.0
    acceleration_spread_m_s2: float = 8.0
    turning_spread_rad_s: float = 6.0
    balance_spread_m: float = 0.1
    outside_spread_m: float = 0.015
    outline_spread_m: float = 0.03
    image_motion_spread_m: float = 0.01


@dataclass(frozen=True)
class InImage:
    """Where points of a clip's surface are seen, and how much a pixel is there."""

    pixels: Float[Tensor, "n s 2"]
    metres_per_px: Float[Tensor, "n s"]


def _robust(squared: Float[Tensor, "*b"], scale: float) -> Float[Tensor, "*b"]:
    """Geman-McClure, of squared residuals: quadratic for small ones, flat beyond `scale`."""
    return squared / (1 + squared / scale**2)


def _length_squared(vectors: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b"]:
    """Ten times as fast as a norm over so short an axis."""
    x, y = vectors.unbind(dim=-1)
    return x.square() + y.square()


class Energy:
    """The terms of the fit; every term returns one value a frame."""

    def __init__(self, model: ArticulatedBody, camera: Camera, weights: FitWeights) -> None:
        self.model, self.camera, self.weights = model, camera, weights
        device = model.body.device
        self.frames = joint_frames(model.body, torch.tensor(ADULT, device=device))
        columns = {
            name: [getattr(joint, name) for joint in FIT_JOINTS] for name in ("neutral", "spread", "low", "high")
        }
        self.neutral, self.spread, self.low, self.high = (
            torch.tensor(columns[name], device=device, dtype=torch.float32) for name in columns
        )

    def evidence(self, points_cam: Float[Tensor, "b k 3"], seen: Evidence, reach: float = 1.0) -> Float[Tensor, "b"]:
        """Robust errors of the points in the image and of the bones' steps in depth, in spreads.

        Both are weighted by squared confidence; residuals up to `reach` times `ROBUST_AT` pull.
        """
        points = points_cam[:, seen.points]
        scale = self.camera.focal_px / points[..., 2].detach().clamp_min(0.2)
        residual = (project(points, self.camera) - seen.pixels) / (scale * seen.spread_m)[..., None]
        cost = (_robust(_length_squared(residual), reach * ROBUST_AT) * seen.confidence.square()).sum(dim=-1)
        ends = points_cam[:, seen.bones, 2]
        step = (ends[..., 1] - ends[..., 0] - seen.bone_depth_m) / seen.bone_spread_m
        steps = (_robust(step.square(), reach * ROBUST_AT) * seen.bone_confidence.square()).sum(dim=-1)
        return self.weights.keypoints * cost + self.weights.steps * steps

    def pose(self, angles: Float[Tensor, "b a 3"]) -> Float[Tensor, "b"]:
        """How far joints stray from the neutral pose, and much more for leaving their range."""
        turned = torch.einsum("aji,baj->bai", self.frames, angles)[:, 1:]
        stray = ((turned - self.neutral[1:]) / self.spread[1:]).square().sum(dim=(1, 2))
        beyond = (turned - self.high[1:]).clamp_min(0) + (self.low[1:] - turned).clamp_min(0)
        return self.weights.prior * stray + self.weights.ranges * beyond.square().sum(dim=(1, 2))

    def balance(self, points_cam: Float[Tensor, "b k 3"]) -> Float[Tensor, "b"]:
        """Towards and away from the camera, feet stand below hips and hips below shoulders, more or less.

        Image evidence says little about leaning along the line of sight; standing people lean little.
        """
        z = points_cam[..., 2]
        shoulders, hips, ankles = (z[:, first : first + 2].mean(dim=1) for first in (5, 11, 15))
        leans = torch.stack((shoulders - hips, hips - ankles), dim=1) / self.weights.balance_spread_m
        return self.weights.balance * _robust(leans.square(), ROBUST_AT).sum(dim=1)

    def in_image(self, surface_cam: Float[Tensor, "n s 3"]) -> InImage:
        """Where points of the surface are seen."""
        metres_per_px = surface_cam[..., 2].detach().clamp_min(0.2) / self.camera.focal_px
        return InImage(project(surface_cam, self.camera), metres_per_px)

    def silhouettes(
        self,
        surface: InImage,
        nearest: Int[Tensor, "n o"],
        outline_weight: Float[Tensor, "s"],
        mattes: Silhouettes,
    ) -> Float[Tensor, "n"]:
        """The body stays inside the matte, and reaches its outline where clothes are thin: hands, feet, head."""
        outside_m = mattes.outside(surface.pixels) * surface.metres_per_px
        outside = _robust((outside_m / self.weights.outside_spread_m).square(), 8.0)
        reached = surface.pixels.gather(1, nearest[..., None].expand(-1, -1, 2))
        per_px = surface.metres_per_px.gather(1, nearest) / self.weights.outline_spread_m
        missed = _length_squared(reached - mattes.outline_px) * per_px.square()
        outline = _robust(missed, ROBUST_AT) * outline_weight[nearest]
        cost = self.weights.outside * outside.mean(dim=1) + self.weights.outline * outline.mean(dim=1)
        return torch.where(mattes.seen, cost, 0.0)

    def image_motion(self, surface: InImage, moves: Moves) -> Float[Tensor, "m"]:
        """Surface points move in the image as the picture does there; of the frames that `moves` begin in."""
        count = len(moves.shift_px)
        missed_px = surface.pixels[moves.frames :] - surface.pixels[:count] - moves.shift_px
        spread = self.weights.image_motion_spread_m * (1 + FLOW_DRIFT * (moves.frames - 1))
        missed = _length_squared(missed_px) * (surface.metres_per_px[:count] / spread).square()
        cost = (_robust(missed, ROBUST_AT) * moves.known).sum(dim=1)
        return self.weights.image_motion * cost / moves.known.sum(dim=1).clamp_min(FEW_POINTS)

    def smoothness(
        self, points_cam: Float[Tensor, "n k 3"], angles: Float[Tensor, "n a 3"], times_s: Float[Tensor, "n"]
    ) -> Float[Tensor, ""]:
        """Acceleration of the keypoints and change of the joints' rotations, a frame."""
        if len(times_s) < 3:
            return points_cam.new_zeros(())
        step = times_s.diff().clamp_min(1e-3)[:, None, None]
        velocity = points_cam.diff(dim=0) / step
        acceleration = velocity.diff(dim=0) / ((step[1:] + step[:-1]) / 2)
        shaken = (acceleration / self.weights.acceleration_spread_m_s2).square().sum(dim=-1).mean(dim=1)
        rotation = roma.rotvec_to_rotmat(angles)
        turn = (rotation.diff(dim=0) / step[..., None] / self.weights.turning_spread_rad_s).square().sum(dim=(1, 2, 3))
        return self.weights.acceleration * shaken.sum() + self.weights.turning * turn.sum()
