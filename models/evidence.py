"""What the detectors saw of a body in a clip, as the fit takes it: points in the image, and bones' steps in depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from dancedepth.models.geometry import Camera
from jaxtyping import Float, Int
from torch import Tensor

KEYPOINT_SPREAD_M = (
    0.012, 0.008, 0.008, 0.013, 0.013, 0.025, 0.025, 0.04, 0.04, 0.035, 0.035, 0.025, 0.025, 0.03, 0.03, 0.04, 0.04,
)  # fmt: skip
"""How far yolo11n-pose's keypoints lie from the body's own: medians on a synthesised, dressed, turning dancer."""

LANDMARK_POINTS: dict[int, tuple[str, float]] = {
    7: ("left_ear", 0.1), 8: ("right_ear", 0.1), 11: ("left_shoulder", 0.022), 12: ("right_shoulder", 0.022),
    13: ("left_elbow", 0.033), 14: ("right_elbow", 0.033), 15: ("left_wrist", 0.024), 16: ("right_wrist", 0.024),
    17: ("left_little_knuckle", 0.03), 18: ("right_little_knuckle", 0.03), 19: ("left_index_knuckle", 0.03),
    20: ("right_index_knuckle", 0.03), 23: ("left_hip", 0.021), 24: ("right_hip", 0.021), 25: ("left_knee", 0.028),
    26: ("right_knee", 0.028), 27: ("left_ankle", 0.03), 28: ("right_ankle", 0.03), 29: ("left_heel", 0.04),
    30: ("right_heel", 0.04), 31: ("left_big_toe", 0.04), 32: ("right_big_toe", 0.04),
}  # fmt: skip
"""Of BlazePose's landmarks the body's point that each one marks, and how far it lies off: medians on synthesised,
dressed dancers. Of the face hardly anything counts: on real people the nose lies 1-2 cm lower against the ears than the
keypoints' and the body's, and heads would look down."""

BONES: tuple[tuple[int, int, float], ...] = (
    (11, 12, 0.05), (23, 24, 0.03), (11, 13, 0.04), (12, 14, 0.05), (13, 15, 0.055), (14, 16, 0.045),
    (23, 25, 0.04), (24, 26, 0.04), (25, 27, 0.045), (26, 28, 0.045), (23, 11, 0.045), (24, 12, 0.045),
    (7, 8, 0.03), (29, 31, 0.08), (30, 32, 0.08), (15, 19, 0.04), (16, 20, 0.04),
)  # fmt: skip
"""Pairs of landmarks, and how far off (metres) BlazePose's step in depth from the first to the second is."""
SCALE_BONES = ((11, 13), (12, 14), (13, 15), (14, 16), (23, 25), (24, 26), (25, 27), (26, 28), (11, 23), (12, 24))
"""Bones whose lengths tell the landmarks' scale against the body's."""
KEYPOINT_TRUST = 0.5
"""Share of their confidence that keypoints keep where there are landmarks: they take legs for arms more often."""
KEYPOINTS, FACE_KEYPOINTS = len(KEYPOINT_SPREAD_M), 5
SURE = 0.5
"""Visibility from which on a landmark counts for the scale."""


@dataclass(frozen=True)
class Evidence:
    """Observations of a clip's `n` frames; confidence 0 where nothing was seen."""

    points: Int[Tensor, "m"]
    """Which of the body's fit points each observation is of."""
    spread_m: Float[Tensor, "m"]
    pixels: Float[Tensor, "n m 2"]
    confidence: Float[Tensor, "n m"]
    bones: Int[Tensor, "p 2"]
    """Pairs of fit points."""
    bone_spread_m: Float[Tensor, "p"]
    bone_depth_m: Float[Tensor, "n p"]
    """How much farther from the camera a bone's second point lies than its first."""
    bone_confidence: Float[Tensor, "n p"]
    times_s: Float[Tensor, "n"]

    def repeated(self, times: int) -> Evidence:
        """Every frame several times over."""
        frames = {
            name: getattr(self, name).repeat_interleave(times, 0)
            for name in ("pixels", "confidence", "bone_depth_m", "bone_confidence", "times_s")
        }
        return Evidence(self.points, self.spread_m, bones=self.bones, bone_spread_m=self.bone_spread_m, **frames)


@dataclass(frozen=True)
class ClipLandmarks:
    """BlazePose's landmarks in a clip, and what is known of the body that they are to be fitted with."""

    point_names: tuple[str, ...]
    """Of the body's fit points."""
    pixels: Float[Tensor, "n 33 2"]
    places_m: Float[Tensor, "n 33 3"]
    """Around the hips, in axes along the ray through the person; of any scale."""
    visibility: Float[Tensor, "n 33"]
    """0 where the person was not found."""
    bone_lengths_m: Float[Tensor, "q"]
    """Of `SCALE_BONES` in the body to be fitted."""


@dataclass(frozen=True)
class PartMarks:
    """Points of one part of the body that a network saw from near, in a clip."""

    names: tuple[str, ...]
    """The body's fit points that they mark."""
    spread_m: tuple[float, ...]
    """How far they lie off."""
    steps: tuple[tuple[str, str, float, float], ...]
    """Pairs of them, how far off (metres) the step in depth from the first to the second is, and by how much the
    network usually has it too large."""
    replaced: tuple[str, ...]
    """Those of which earlier observations are doubted where the network is sure."""
    pixels: Float[Tensor, "n k 2"]
    places: Float[Tensor, "n k 3"]
    """In axes along the ray through the part, of any scale."""
    confidence: Float[Tensor, "n"]
    """Of the part in each frame."""
    span_m: float
    """From the first to the second of the points in the body to be fitted."""


def from_keypoints(
    pixels: Float[Tensor, "n 17 2"], confidence: Float[Tensor, "n 17"], times_s: Float[Tensor, "n"]
) -> Evidence:
    """COCO keypoints alone."""
    at, none = pixels.device, pixels.new_zeros((len(times_s), 0))
    spread = torch.tensor(KEYPOINT_SPREAD_M, device=at)
    pairs = torch.zeros((0, 2), dtype=torch.long, device=at)
    return Evidence(
        torch.arange(len(spread), device=at), spread, pixels, confidence, pairs, spread[:0], none, none, times_s
    )


def landmark_points(names: tuple[str, ...], marks: Sequence[tuple[int, int]]) -> Int[Tensor, "q 2"]:
    """For pairs of landmarks, the pairs of fit points (of these names) that they mark."""
    return torch.tensor([[names.index(LANDMARK_POINTS[mark][0]) for mark in pair] for pair in marks])


def with_landmarks(evidence: Evidence, found: ClipLandmarks, camera: Camera) -> Evidence:
    """Keypoints and BlazePose's landmarks together."""
    at = found.pixels.device
    marks = torch.tensor(list(LANDMARK_POINTS), device=at)
    points = torch.tensor([found.point_names.index(name) for name, _ in LANDMARK_POINTS.values()], device=at)
    spread = torch.tensor([spread for _, spread in LANDMARK_POINTS.values()], device=at)
    pairs = torch.tensor([(a, b) for a, b, _ in BONES], device=at)
    depth = _depths(found, camera) * _scale(found)
    doubt = torch.where(found.visibility.amax(dim=1, keepdim=True) > SURE, KEYPOINT_TRUST, 1.0).repeat(1, KEYPOINTS)
    doubt[:, :FACE_KEYPOINTS] = 1
    return Evidence(
        points=torch.cat((evidence.points, points)),
        spread_m=torch.cat((evidence.spread_m, spread)),
        pixels=torch.cat((evidence.pixels, found.pixels[:, marks]), dim=1),
        confidence=torch.cat((evidence.confidence * doubt, found.visibility[:, marks]), dim=1),
        bones=landmark_points(found.point_names, [(a, b) for a, b, _ in BONES]).to(at),
        bone_spread_m=torch.tensor([spread for *_, spread in BONES], device=at),
        bone_depth_m=depth[:, pairs[:, 1]] - depth[:, pairs[:, 0]],
        bone_confidence=found.visibility[:, pairs].amin(dim=-1),
        times_s=evidence.times_s,
    )


def with_part(evidence: Evidence, seen: PartMarks, point_names: tuple[str, ...], camera: Camera) -> Evidence:
    """Together with a part that was seen from near; `point_names` are the body's fit points."""
    at, own = seen.pixels.device, {name: point_names.index(name) for name in seen.names}
    confidence, steps = seen.confidence[:, None], seen.steps
    along = _along_sight(seen.places, seen.pixels.mean(dim=1), camera) * _part_scale(seen)
    depth = dict(zip(seen.names, along.unbind(dim=1), strict=True))
    rises = torch.stack([depth[b] - depth[a] - bias for a, b, _, bias in steps], dim=1)
    doubted = torch.tensor([own[name] for name in seen.replaced], dtype=torch.long, device=at)
    kept = torch.where(torch.isin(evidence.points, doubted), 1 - confidence, 1.0)
    bones_kept = torch.where(torch.isin(evidence.bones[:, 1], doubted), 1 - confidence, 1.0)
    return Evidence(
        points=torch.cat((evidence.points, torch.tensor(list(own.values()), device=at))),
        spread_m=torch.cat((evidence.spread_m, torch.tensor(seen.spread_m, device=at))),
        pixels=torch.cat((evidence.pixels, seen.pixels), dim=1),
        confidence=torch.cat((evidence.confidence * kept, confidence.expand(-1, len(own))), dim=1),
        bones=torch.cat((evidence.bones, torch.tensor([(own[a], own[b]) for a, b, *_ in steps], device=at))),
        bone_spread_m=torch.cat((evidence.bone_spread_m, torch.tensor([off for *_, off, _ in steps], device=at))),
        bone_depth_m=torch.cat((evidence.bone_depth_m, rises), dim=1),
        bone_confidence=torch.cat((evidence.bone_confidence * bones_kept, confidence.expand(-1, len(steps))), dim=1),
        times_s=evidence.times_s,
    )


def _depths(found: ClipLandmarks, camera: Camera) -> Float[Tensor, "n 33"]:
    """Depths along the camera's axis of places given along the ray through the hips."""
    return _along_sight(found.places_m, found.pixels[:, 23:25].mean(dim=1), camera)


def _along_sight(
    places: Float[Tensor, "*b k 3"], centre_px: Float[Tensor, "*b 2"], camera: Camera
) -> Float[Tensor, "*b k"]:
    """Depths along the camera's axis of places given along the ray through a point of the image."""
    axis = centre_px.new_tensor([camera.cx, camera.cy])
    ray = torch.cat(((centre_px - axis) / camera.focal_px, torch.ones_like(centre_px[..., :1])), dim=-1)
    ray = torch.nn.functional.normalize(ray, dim=-1)
    # The third row of the rotation that takes the camera's axis to the ray on the shortest way.
    row = torch.stack((-ray[..., 0], -ray[..., 1], ray[..., 2]), dim=-1)
    return (places * row[..., None, :]).sum(dim=-1)


def _part_scale(seen: PartMarks) -> Float[Tensor, ""]:
    """How much larger the body's part is than the network's: the median over the sure frames."""
    length = (seen.places[:, 1] - seen.places[:, 0]).norm(dim=-1)
    sure = seen.confidence > SURE
    return seen.span_m / length[sure].median() if bool(sure.any()) else length.new_ones(())


def _scale(found: ClipLandmarks) -> Float[Tensor, ""]:
    """How much larger the body is than the landmarks': the median over bones and frames."""
    pairs = torch.tensor(SCALE_BONES, device=found.places_m.device)
    length = (found.places_m[:, pairs[:, 0]] - found.places_m[:, pairs[:, 1]]).norm(dim=-1)
    sure = found.visibility[:, pairs].amin(dim=-1) > SURE
    ratio = (found.bone_lengths_m / length.clamp_min(1e-3))[sure]
    return ratio.median() if len(ratio) else length.new_ones(())
