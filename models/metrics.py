"""How far a reconstruction is from the truth: pure functions of arrays, lengths in metres in, millimetres out.

Distances between surfaces are taken in both directions over area-weighted samples, as in Tanks and Temples (Knapitsch
et al. 2017); shares of normals under 11.25, 22.5 and 30 degrees as in Fouhey et al. 2013; joint errors as on Human3.6M.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

MM_PER_M = 1000.0


@dataclass(frozen=True)
class SurfaceScores:
    """Distances between two surfaces; `accuracy`: run to truth, `completeness`: truth to run."""

    accuracy_mean_mm: float
    accuracy_p90_mm: float
    completeness_mean_mm: float
    completeness_p90_mm: float
    mean_mm: float
    """Of the two directions."""
    f_score_5mm: float
    """Harmonic mean of the shares of both surfaces that lie within 5 mm of the other, 0-1."""
    f_score_10mm: float


@dataclass(frozen=True)
class AngleScores:
    """Angles between two fields of unit normals."""

    mean_deg: float
    median_deg: float
    under_11_25: float
    """Share under 11.25 degrees, 0-1."""
    under_22_5: float
    under_30: float


@dataclass(frozen=True)
class Similarity:
    """`x -> scale * rotation @ x + translation`."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]

    def apply(self, points: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Move points."""
        return self.scale * (points @ self.rotation.T) + self.translation

    def undo(self, points: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Move points back."""
        return (points - self.translation) @ self.rotation / self.scale


def surface_scores(run_to_truth_m: Float[np.ndarray, "n"], truth_to_run_m: Float[np.ndarray, "m"]) -> SurfaceScores:
    """Scores of the distances of samples of each surface to the other surface, in metres."""
    accuracy, completeness = run_to_truth_m * MM_PER_M, truth_to_run_m * MM_PER_M
    return SurfaceScores(
        accuracy_mean_mm=float(accuracy.mean()),
        accuracy_p90_mm=float(np.percentile(accuracy, 90)),
        completeness_mean_mm=float(completeness.mean()),
        completeness_p90_mm=float(np.percentile(completeness, 90)),
        mean_mm=float(accuracy.mean() + completeness.mean()) / 2,
        f_score_5mm=f_score(accuracy, completeness, 5.0),
        f_score_10mm=f_score(accuracy, completeness, 10.0),
    )


def mean_scores(scores: list[SurfaceScores]) -> SurfaceScores:
    """The mean of each score, over frames."""
    rows = np.array([[getattr(row, field.name) for field in fields(row)] for row in scores])
    return SurfaceScores(*rows.mean(axis=0).tolist())


def f_score(accuracy: Float[np.ndarray, "n"], completeness: Float[np.ndarray, "m"], threshold: float) -> float:
    """Harmonic mean of the shares of distances that are at most a threshold; 0 where both shares are."""
    precision, recall = float((accuracy <= threshold).mean()), float((completeness <= threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def clip_scale(run_depth_m: Float[np.ndarray, "n"], truth_depth_m: Float[np.ndarray, "n"]) -> float:
    """The one factor that brings a run's depths to the truth's: the median of their ratios, which outliers do not move.

    Multiplying all points by it is a scaling about the camera's centre, which no image can tell apart.
    """
    return float(np.median(truth_depth_m / run_depth_m))


def depth_error_mm(run_depth_m: Float[np.ndarray, "n"], truth_depth_m: Float[np.ndarray, "n"]) -> float:
    """Mean absolute difference."""
    return float(np.abs(run_depth_m - truth_depth_m).mean()) * MM_PER_M


def angle_scores(run_normals: Float[np.ndarray, "n 3"], truth_normals: Float[np.ndarray, "n 3"]) -> AngleScores:
    """Scores of the angles between unit normals, pair by pair."""
    # atan2 of sine and cosine: the arc cosine alone is blind to angles below 0.03 degrees in single precision
    sine = np.linalg.norm(np.cross(run_normals, truth_normals), axis=-1)
    degrees = np.degrees(np.arctan2(sine, (run_normals * truth_normals).sum(axis=-1)))
    shares = [float((degrees < limit).mean()) for limit in (11.25, 22.5, 30.0)]
    return AngleScores(float(degrees.mean()), float(np.median(degrees)), *shares)


def mask_iou(run_mask: Bool[np.ndarray, "h w"], truth_mask: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union; 1 where both are empty."""
    union = float((run_mask | truth_mask).sum())
    return float((run_mask & truth_mask).sum()) / union if union else 1.0


def flicker_mm(errors_m: Float[np.ndarray, "n p"]) -> float | None:
    """Mean absolute change, from one frame to the next, of the depth error on one and the same body point.

    Args:
        errors_m: depth error of `p` material points in `n` consecutive frames, NaN where a point is not seen.

    Returns:
        The mean over all points and pairs of frames in which the point is seen in both; None if there is no such pair.
    """
    changes = np.abs(np.diff(errors_m, axis=0))
    seen = changes[~np.isnan(changes)]
    return float(seen.mean()) * MM_PER_M if len(seen) else None


def joint_error_mm(run_joints: Float[np.ndarray, "n j 3"], truth_joints: Float[np.ndarray, "n j 3"]) -> float:
    """Mean distance of joints."""
    return float(np.linalg.norm(run_joints - truth_joints, axis=-1).mean()) * MM_PER_M


def fit_similarity(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], with_scale: bool = True
) -> Similarity:
    """The similarity, or rigid motion, that brings paired points nearest to each other (Umeyama 1991)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    spread = float((centred**2).sum())
    scale = float((singular * sign).sum()) / spread if with_scale and spread > 0 else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def sample_triangles(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], count: int, seed: int
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Triangles and barycentric weights of points spread evenly over a surface's area."""
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    random = np.random.default_rng(seed)
    chosen = random.choice(len(faces), size=count, p=areas / areas.sum())
    root, split = np.sqrt(random.random(count)), random.random(count)
    return chosen, np.stack((1 - root, root * (1 - split), root * split), axis=-1)
