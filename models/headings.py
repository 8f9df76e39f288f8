"""Which way the dancer faces, frame by frame: what a single view hardly tells.

Every frame is fitted to its keypoints from several headings, and the cheapest path through the clip is taken (Viterbi).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import roma
import torch
from dancedepth.models.articulated import ArticulatedBody, Pose, moved
from dancedepth.models.body import ADULT
from dancedepth.models.evidence import Evidence
from dancedepth.models.geometry import Camera
from dancedepth.models.joints import FIT_JOINTS
from dancedepth.models.pose_energy import Energy, reach_at
from jaxtyping import Float, Int
from torch import Tensor

HEADINGS = 8
"""Headings tried for each frame."""
TURN_SPEED_RAD_S = 5.0
"""A dancer's quick turn; faster changes of heading cost the path more than a bad fit does."""
CAM_FROM_FACING_BODY = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""An upright body that faces the camera."""


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
        cost = energy.evidence(points, repeated, reach_at(step / steps)) + energy.pose(angles)
        optimizer.zero_grad()
        cost.sum().backward()
        optimizer.step()
        schedule.step()
        advanced()
    facing = roma.rotvec_to_rotmat(angles.detach()[:, 0]).view(count, HEADINGS, 3, 3)
    path = _cheapest_path(cost.detach().view(count, HEADINGS), facing, seen.times_s)
    chosen = torch.arange(count, device=path.device) * HEADINGS + path
    return Pose(angles.detach()[chosen], root.detach()[chosen])


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
