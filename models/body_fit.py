"""Fitting the articulated body to what detectors and mattes saw in a clip.

All frames are fitted at once, with smoothness in time, from where `headings` found them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from dancedepth.models.articulated import Pose, moved
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel
from dancedepth.models.curves import Curves
from dancedepth.models.evidence import Evidence
from dancedepth.models.image_motion import ImageMotion, Moves, moves_of
from dancedepth.models.pose_energy import Energy, reach_at
from dancedepth.models.silhouettes import Silhouettes
from jaxtyping import Float, Int
from torch import Tensor

SPANS = (1, 2, 4)
"""Frames over which points are followed; more at once brought joints no nearer to the truth."""
STEPS_A_LOOK = 50
"""Steps between looks at how the picture moves where the surface points lie."""
STEPS_A_MATCH = 10
"""Steps between assignments of outline points to surface points."""
FRAMES_A_CHUNK = 64
"""Frames matched at once, which bounds memory."""
SURFACE_SAMPLES = (
    (("wrist", "finger", "metacarpal"), 60, 1.0),
    (("foot", "toe"), 60, 0.7),
    (("head", "neck"), 60, 0.25),
    (("lowerarm", "upperarm", "lowerleg"), 120, 0.35),
    (("upperleg", "pelvis", "root", "spine", "clavicle", "shoulder"), 160, 0.15),
)
"""Bones by name, surface points on them, and the outline's pull: clothes are thick on the trunk, thin on hands."""


@dataclass(frozen=True)
class ClipFit:
    """A fitted clip."""

    pose: Pose
    phenotype: Float[Tensor, "6"]
    head_scale: float = 1.0
    """Of the head against the shape's own; no fit changes it."""


@dataclass(frozen=True)
class Pictures:
    """What the images themselves say of the surface points of `silhouette_points`."""

    mattes: Silhouettes
    outline_weight: Float[Tensor, "s"]
    motion: ImageMotion


def fit_clip(
    energy: Energy,
    seen: Evidence,
    start: ClipFit,
    pictures: Pictures | None = None,
    steps: int = 150,
    advanced: Callable[[], None] = lambda: None,
) -> ClipFit:
    """Refine pose and shape of the whole clip together, also with the pictures if they are given.

    What is wrong with a pose is mostly wrong for a while: steps are taken in curves over several frames, too, and come
    in 200 where steps in single frames come in 500 (`docs/experiments/depth-models.md`).
    """
    model, weights = energy.model, energy.weights
    turning, moving = Curves(start.pose.angles), Curves(start.pose.root_cam)
    shape = start.phenotype.clone().requires_grad_()
    rates = [(turning.knots, 0.015), (moving.knots, 0.01), ([shape], 0.005)]
    optimizer = torch.optim.Adam([{"params": some, "lr": rate} for some, rate in rates], betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.0005)
    watched = _Watched(energy, pictures) if pictures is not None else None
    for step in range(steps):
        angles, root = turning.values(), moving.values()
        moments = model.moments(shape, start.head_scale)
        transforms = model.transforms(moments, Pose(angles, root))
        points = moved(moments.points, transforms)
        reach = reach_at(step / steps) if pictures is None else 1.0
        cost = (energy.evidence(points, seen, reach) + energy.pose(angles) + energy.balance(points)).sum()
        cost = cost + energy.smoothness(points, angles, seen.times_s)
        cost = cost + weights.shape_prior * len(seen.times_s) * _shape_stray(shape)
        if watched is not None:
            cost = cost + watched.cost(step, moved(moments.surface, transforms), transforms)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            shape.clamp_(0.02, 0.98)
            shape[1] = ADULT[1]
        advanced()
    return ClipFit(Pose(turning.values().detach(), moving.values().detach()), shape.detach(), start.head_scale)


class _Watched:
    """What the pictures say of the surface, looked up anew every few steps."""

    def __init__(self, energy: Energy, pictures: Pictures) -> None:
        self._energy, self._pictures = energy, pictures
        self._nearest: Int[Tensor, "n o"] = torch.zeros(0, dtype=torch.long)
        self._moves: list[Moves] = []

    def cost(
        self, step: int, surface: Float[Tensor, "n s 3"], transforms: Float[Tensor, "n a 3 4"]
    ) -> Float[Tensor, ""]:
        """Of outlines and motion, over all frames."""
        energy, pictures, shown = self._energy, self._pictures, self._energy.in_image(surface)
        if step % STEPS_A_MATCH == 0:
            self._nearest = _nearest_surface_points(shown.pixels.detach(), pictures.mattes)
        if step % STEPS_A_LOOK == 0:
            normals = moved(energy.model.surface_normals, transforms.detach())
            self._moves = moves_of(surface.detach(), normals, energy.camera, pictures.motion, SPANS)
        outlines = energy.silhouettes(shown, self._nearest, pictures.outline_weight, pictures.mattes).sum()
        motion = [energy.image_motion(shown, moves).sum() / len(SPANS) for moves in self._moves]
        return torch.stack([outlines, *motion]).sum()


def silhouette_points(body: BodyModel) -> tuple[Int[Tensor, "s"], Float[Tensor, "s"]]:
    """Vertices spread over the skin, and how strongly each is drawn to the matte's outline."""
    strongest = body.skin_bones[:SKIN_VERTICES].gather(1, body.skin_weights[:SKIN_VERTICES].argmax(dim=1, keepdim=True))
    names = [body.bone_names[bone] for bone in strongest[:, 0].tolist()]
    indices, weights = [], []
    for parts, count, weight in SURFACE_SAMPLES:
        inside = torch.tensor([i for i, name in enumerate(names) if name.startswith(parts)])
        picked = inside[torch.linspace(0, len(inside) - 1, count).long()]
        indices.append(picked)
        weights.append(torch.full((count,), weight))
    return torch.cat(indices).to(body.device), torch.cat(weights).to(body.device)


def _nearest_surface_points(pixels: Float[Tensor, "n s 2"], mattes: Silhouettes) -> Int[Tensor, "n o"]:
    """For every outline point the surface point that is seen nearest to it."""
    chunks = zip(mattes.outline_px.split(FRAMES_A_CHUNK), pixels.split(FRAMES_A_CHUNK), strict=True)
    return torch.cat([torch.cdist(outline, seen).argmin(dim=-1) for outline, seen in chunks])


def _shape_stray(phenotype: Float[Tensor, "6"]) -> Float[Tensor, ""]:
    return ((phenotype - phenotype.new_tensor(ADULT)) / 0.2).square().sum()
