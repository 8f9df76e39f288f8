"""Fitting the articulated body to what detectors and mattes saw in a clip.

All frames are fitted at once, with smoothness in time. What a single view hardly tells, the heading of the body, is
searched: every frame is fitted from several headings, and the cheapest path through the clip is taken (Viterbi).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import roma
import torch
from dancedepth.models.articulated import ArticulatedBody, Pose, moved
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel
from dancedepth.models.evidence import Evidence
from dancedepth.models.geometry import Camera, project
from dancedepth.models.image_motion import ImageMotion, Moves, moves_of
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.pose_energy import FAR_SIGHT, Energy
from dancedepth.models.silhouettes import Silhouettes
from jaxtyping import Float, Int
from torch import Tensor

HEADINGS = 8
"""Headings tried for each frame."""
TURN_SPEED_RAD_S = 5.0
"""A dancer's quick turn; faster changes of heading cost the path more than a bad fit does."""
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
CAM_FROM_FACING_BODY = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""An upright body that faces the camera."""


@dataclass(frozen=True)
class ClipFit:
    """A fitted clip."""

    pose: Pose
    phenotype: Float[Tensor, "6"]


@dataclass(frozen=True)
class Pictures:
    """What the images themselves say of the surface points of `silhouette_points`."""

    mattes: Silhouettes
    outline_weight: Float[Tensor, "s"]
    motion: ImageMotion


def first_depths(model: ArticulatedBody, camera: Camera, seen: Evidence) -> Float[Tensor, "n"]:
    """A first guess of the root's distance: no bone looks longer than it is, so the least foreshortened one tells."""
    pairs = torch.tensor([(5, 11), (6, 12), (11, 13), (12, 14), (13, 15), (14, 16), (5, 7), (6, 8), (7, 9), (8, 10)])
    moments = model.moments(torch.tensor(ADULT, device=model.body.device))
    identity = torch.eye(3, 4, device=model.body.device).expand(1, len(FIT_JOINTS), 3, 4)
    rest = moved(moments.points, identity)[0]
    true_m = (rest[pairs[:, 0]] - rest[pairs[:, 1]]).norm(dim=-1)
    seen_px = (seen.pixels[:, pairs[:, 0]] - seen.pixels[:, pairs[:, 1]]).norm(dim=-1)
    sure = torch.minimum(seen.confidence[:, pairs[:, 0]], seen.confidence[:, pairs[:, 1]]) > 0.5
    depth = torch.where(sure, camera.focal_px * true_m / seen_px.clamp_min(1), torch.nan)
    guess = depth.nanquantile(0.2, dim=1)
    known = ~guess.isnan()
    if not known.any():
        return torch.full_like(guess, 3.0)
    index = torch.arange(len(guess), device=guess.device)
    nearest = (index[:, None] - index[known]).abs().argmin(dim=1)
    return _median_filter(guess[known][nearest], 9)


def search_headings(
    energy: Energy, seen: Evidence, steps: int = 80, advanced: Callable[[], None] = lambda: None
) -> Pose:
    """Fit every frame from `HEADINGS` headings on its own, and join the best by the cheapest path through the clip."""
    model, count = energy.model, len(seen.times_s)
    moments = model.moments(torch.tensor(ADULT, device=model.body.device))
    starts = _start(energy, seen)
    repeated = seen.repeated(HEADINGS)
    angles = starts.angles.clone().requires_grad_()
    root = starts.root_cam.clone().requires_grad_()
    optimizer = torch.optim.Adam([{"params": [angles], "lr": 0.06}, {"params": [root], "lr": 0.03}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.01)
    cost = torch.zeros(0)
    for step in range(steps):
        points = moved(moments.points, model.transforms(moments, Pose(angles, root)))
        cost = energy.evidence(points, repeated, _reach(step / steps)) + energy.pose(angles)
        optimizer.zero_grad()
        cost.sum().backward()
        optimizer.step()
        schedule.step()
        advanced()
    facing = roma.rotvec_to_rotmat(angles.detach()[:, 0]).view(count, HEADINGS, 3, 3)
    path = _cheapest_path(cost.detach().view(count, HEADINGS), facing, seen.times_s)
    chosen = torch.arange(count, device=path.device) * HEADINGS + path
    return Pose(angles.detach()[chosen], root.detach()[chosen])


def fit_clip(
    energy: Energy,
    seen: Evidence,
    start: ClipFit,
    pictures: Pictures | None = None,
    steps: int = 150,
    advanced: Callable[[], None] = lambda: None,
) -> ClipFit:
    """Refine pose and shape of the whole clip together, also with the pictures if they are given."""
    model, weights = energy.model, energy.weights
    angles, root = start.pose.angles.clone().requires_grad_(), start.pose.root_cam.clone().requires_grad_()
    shape = start.phenotype.clone().requires_grad_()
    optimizer = torch.optim.Adam(
        [{"params": [angles], "lr": 0.03}, {"params": [root], "lr": 0.02}, {"params": [shape], "lr": 0.01}]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.001)
    nearest, moves = torch.zeros(0, dtype=torch.long), list[Moves]()
    for step in range(steps):
        moments = model.moments(shape)
        transforms = model.transforms(moments, Pose(angles, root))
        points = moved(moments.points, transforms)
        reach = _reach(step / steps) if pictures is None else 1.0
        cost = (energy.evidence(points, seen, reach) + energy.pose(angles) + energy.balance(points)).sum()
        cost = cost + energy.smoothness(points, angles, seen.times_s)
        cost = cost + weights.shape_prior * len(seen.times_s) * _shape_stray(shape)
        if pictures is not None:
            surface = moved(moments.surface, transforms)
            if step % STEPS_A_MATCH == 0:
                nearest = _nearest_surface_points(project(surface.detach(), energy.camera), pictures.mattes)
            if step % STEPS_A_LOOK == 0:
                normals = moved(model.surface_normals, transforms.detach())
                moves = moves_of(surface.detach(), normals, energy.camera, pictures.motion, SPANS)
            cost = cost + energy.silhouettes(surface, nearest, pictures.outline_weight, pictures.mattes).sum()
            cost = cost + sum(energy.image_motion(surface, move).sum() for move in moves) / len(SPANS)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            shape.clamp_(0.02, 0.98)
            shape[1] = ADULT[1]
        advanced()
    return ClipFit(Pose(angles.detach(), root.detach()), shape.detach())


def _reach(progress: float) -> float:
    """From `FAR_SIGHT` to one within the first half of a fit."""
    return float(FAR_SIGHT ** max(0.0, 1 - 2 * progress))


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


def _start(energy: Energy, seen: Evidence) -> Pose:
    """Neutral poses at every heading, placed where the hips and shoulders are seen."""
    count = len(seen.times_s)
    depth = first_depths(energy.model, energy.camera, seen)
    torso = [5, 6, 11, 12]  # COCO keypoints stand first among the observations
    weight = seen.confidence[:, torso].clamp_min(1e-3)
    centre = (seen.pixels[:, torso] * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)
    camera = energy.camera
    offset = (centre - centre.new_tensor([camera.cx, camera.cy])) / camera.focal_px * depth[:, None]
    root = torch.cat((offset, depth[:, None]), dim=1)
    root[:, 1] += 0.15 * energy.model.height_m  # the root lies below the torso's middle
    headings = torch.arange(HEADINGS, device=depth.device) * (2 * math.pi / HEADINGS)
    turn = roma.rotvec_to_rotmat(torch.stack((0 * headings, 0 * headings, headings), dim=1))
    facing = torch.tensor(CAM_FROM_FACING_BODY, device=depth.device) @ turn
    neutral = torch.einsum("aij,aj->ai", energy.frames, energy.neutral)
    angles = neutral.repeat(count, HEADINGS, 1, 1)
    angles[:, :, 0] = roma.rotmat_to_rotvec(facing)
    return Pose(angles.flatten(0, 1), root.repeat_interleave(HEADINGS, 0))


def _cheapest_path(
    cost: Float[Tensor, "n h"], facing: Float[Tensor, "n h 3 3"], times_s: Float[Tensor, "n"]
) -> Int[Tensor, "n"]:
    """Viterbi: one hypothesis a frame, so that fits are good and headings change no faster than people turn."""
    total, came_from = cost[0], []
    for t in range(1, len(cost)):
        relative = torch.einsum("aji,bjk->abik", facing[t - 1], facing[t])
        angle = roma.rotmat_geodesic_distance(relative, torch.eye(3).to(relative).expand_as(relative))
        speed = angle / (times_s[t] - times_s[t - 1]).clamp_min(1e-3)
        through = total[:, None] + (speed / TURN_SPEED_RAD_S).square()
        best = through.min(dim=0)
        came_from.append(best.indices)
        total = best.values + cost[t]
    path = [total.argmin()]
    for previous in reversed(came_from):
        path.append(previous[path[-1]])
    return torch.stack(path[::-1])


def _median_filter(values: Float[Tensor, "n"], width: int) -> Float[Tensor, "n"]:
    half = width // 2
    padded = torch.nn.functional.pad(values[None, None], (half, half), mode="replicate")[0, 0]
    return padded.unfold(0, width, 1).median(dim=-1).values
