"""What pairs of frames could teach at best, by a rendered clip's truth.

The part-wise warp lets every part of the body move freely between two frames, so that it cannot see an error that
moves or turns a whole part, as a limb fitted wrongly along the line of sight does. `ceiling` takes such errors out, the
best rigid motion of each part in each frame; what is left is all that a warp may mend. `true_pairs` are pairs without
any error of correspondence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from clip_scores import MM_PER_M, NETWORK_SIZE, Unlabelled, found_points, true_frame, true_points
from dancedepth.models.body import BodyModel
from dancedepth.models.geometry import backproject
from dancedepth.models.hdnet import HDNet
from dancedepth.models.metrics import clip_scale
from dancedepth.models.rigid_parts import part_motions
from dancedepth.pipeline.training.body_parts import PARTS, body_parts
from dancedepth.pipeline.training.clip_frames import ClipFrame, read_clip
from dancedepth.pipeline.training.clip_pairs import FramePair, find_pairs
from dancedepth.pipeline.training.correspondences import Correspondences
from dancedepth.pipeline.training.dataset import collate
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Ceiling:
    """Errors on the body's clear pixels, at the network's size: all, and those that are left in rigid parts."""

    clip: str
    depth_mm: float
    """After one scale a frame."""
    depth_within_parts_mm: float
    normals_deg: float
    normals_within_parts_deg: float


def ceiling(net: HDNet, clip: Unlabelled, body: BodyModel) -> Ceiling:
    """Means over the clip's frames."""
    frames = read_clip(clip.frames, clip.tracks, clip.mattes, clip.motion, body, NETWORK_SIZE).frames
    rows = [one for frame in frames if (one := _errors(net, clip, frame, body)) is not None]
    return Ceiling(clip.name, *torch.stack(rows).mean(dim=0).tolist())


def _errors(net: HDNet, clip: Unlabelled, frame: ClipFrame, body: BodyModel) -> Float[Tensor, "4"] | None:
    given = collate([frame.sample]).given
    with torch.inference_mode():
        said = net(given)
    true = true_frame(clip, frame)
    z = (said.depth + given.root_depth)[0, 0] * clip.motion.height_m
    rows = (true.raster.depth_m > 0) & (frame.body.raster.face_index >= 0) & frame.body.clear
    if not rows.any():
        return None
    z = z * clip_scale(z[rows].numpy(), true.raster.depth_m[rows].numpy())
    said_points, points = (backproject(depth, true.camera)[rows] for depth in (z, true.raster.depth_m))
    said_normals, normals = said.normals[0].permute(1, 2, 0)[rows], true.normals[rows]
    corners = body.faces[frame.body.raster.face_index[rows]]
    part = body_parts(body).part[corners[:, 0]][None]
    weight = torch.ones(part.shape)
    motions = part_motions(said_points[None], points[None], part, weight, len(PARTS))
    held = motions.holds(part)[0]
    off = (said_points[:, 2] - points[:, 2]).abs()
    moved = (motions.move(said_points[None], part)[0][:, 2] - points[:, 2]).abs()
    turns = part_motions(said_normals[None], normals[None], part, weight, len(PARTS))
    turned = turns.turn(said_normals[None], part)[0]
    values = (off * MM_PER_M, moved * MM_PER_M, _angle(said_normals, normals), _angle(turned, normals))
    return torch.stack([one[held].mean() for one in values])


def _angle(one: Float[Tensor, "n 3"], other: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    return torch.rad2deg((normalize(one, dim=1) * other).sum(dim=1).clamp(-1, 1).acos())


def true_pairs(clip: Unlabelled, frames: tuple[ClipFrame, ...], body: BodyModel, seed: int) -> list[FramePair]:
    """The pairs that would be found, each point where it really is in the partner."""
    true = {position: true_frame(clip, frame) for position, frame in enumerate(frames)}
    found = []
    for pair in find_pairs(frames, body, seed):
        points = true_points(true[pair.first], true[pair.second], clip.truth, pair)
        target, seen = found_points(true[pair.second], points)
        old = pair.points
        kept = Correspondences(old.source_px[seen], target[seen], old.part[seen], torch.ones(int(seen.sum())))
        found.append(replace(pair, points=kept))
    return [pair for pair in found if len(pair.points.part)]
