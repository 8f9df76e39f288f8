"""What each part of the body fit brings: joints held against the truth, with all of it and with one part left out.

    python benchmarks/fit_parts.py OUT CLIP=RUN [CLIP=RUN ...]

CLIP is a folder that `dancedepth synth` wrote, RUN the finished run of its video, whose tracks and mattes are used.
Writes fit.json and fit.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import roma
import torch
import typer
from dancedepth.models import metrics
from dancedepth.models.pose_energy import FitWeights
from dancedepth.pipeline import evaluation, storage
from dancedepth.pipeline.body_motion import USUAL_WEIGHTS, fit_body
from dancedepth.pipeline.close_looks import Finders
from dancedepth.pipeline.config import BodyMotionConfig, RunConfig
from dancedepth.pipeline.ingredients import find_ingredients
from dancedepth.pipeline.records import BodyMotion, Silent, Tracks
from fusion_parts import Material, material_of_run
from jaxtyping import Bool

MM_PER_M = 1000.0


@dataclass(frozen=True)
class FitScores:
    """Of one clip: joints in millimetres, wrists and the head in degrees."""

    joints: float
    """Distance from the true ones, roots laid on one another."""
    along_sight: float
    """The part of it along the camera's axis."""
    procrustes: float
    """Distance after the best similarity in each frame."""
    shaking: float
    """How much the error changes from a frame to the next."""
    wrists: float
    """How far hands are turned from the true ones."""
    head: float
    """And heads."""


@dataclass(frozen=True)
class Variant:
    """What is left out."""

    weights: FitWeights = USUAL_WEIGHTS
    tracks: Callable[[Tracks], Tracks] = lambda tracks: tracks
    finders: Callable[[Finders], Finders] = lambda finders: finders


def _without_landmarks(tracks: Tracks) -> Tracks:
    people = tuple(replace(track, visibility=np.zeros_like(track.visibility)) for track in tracks.people)
    return replace(tracks, people=people)


VARIANTS = {
    "all parts": Variant(),
    "without optical flow": Variant(FitWeights(image_motion=0.0)),
    "without mattes": Variant(FitWeights(outside=0.0, outline=0.0)),
    "without landmarks": Variant(tracks=_without_landmarks),
    "without hands": Variant(finders=lambda finders: replace(finders, hands=None)),
    "without the face": Variant(finders=lambda finders: replace(finders, face=None)),
    "without smoothness": Variant(FitWeights(acceleration=0.0, turning=0.0)),
}


def fit_parts(
    out: Annotated[Path, typer.Argument(help="Folder for the table.")],
    clips: Annotated[list[str], typer.Argument(help="CLIP=RUN, folders.")],
) -> None:
    """Fit every clip in every way; write and print the table."""
    ready = find_ingredients(RunConfig(), "cpu", False)
    body = ready.body()
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[FitScores]] = {name: [] for name in VARIANTS}
    for clip in clips:
        material = material_of_run(*(Path(part) for part in clip.split("=")))
        for name, variant in VARIANTS.items():
            motion = fit_body(
                material.frames,
                variant.tracks(material.tracks),
                material.mattes,
                body,
                material.motion.camera,
                variant.finders(ready.finders()),
                BodyMotionConfig(),
                Silent(),
                variant.weights,
            )
            rows[name].append(scored(motion, material))
            print(clip.split("=")[0], name, rows[name][-1], flush=True)  # noqa: T201 (a program of its own)
    storage.write_json(out / "fit.json", {name: [asdict(one) for one in found] for name, found in rows.items()})
    (out / "fit.md").write_text(markdown(rows))
    print(markdown(rows))  # noqa: T201


def scored(motion: BodyMotion, material: Material) -> FitScores:
    """Of the frames in which a body was fitted."""
    count = min(len(motion.fitted), len(material.truth.times_s))
    fitted = motion.fitted[:count]
    joints, true = (evaluation._joints(one)[:count] for one in (motion, material.truth.motion))
    joints = joints * np.median(true[fitted, :, 2] / joints[fitted, :, 2])
    own, other = joints - joints[:, :1], true - true[:, :1]
    error = (own - other) * MM_PER_M
    both = fitted[1:] & fitted[:-1]
    best = np.stack([metrics.fit_similarity(a, b).apply(a) for a, b in zip(joints[fitted], true[fitted], strict=True)])
    return FitScores(
        joints=metrics.joint_error_mm(own[fitted], other[fitted]),
        along_sight=float(np.abs(error[fitted][..., 2]).mean()),
        procrustes=metrics.joint_error_mm(best, true[fitted]),
        shaking=float(np.linalg.norm(np.diff(error, axis=0), axis=-1)[both].mean()),
        wrists=_turned_deg(motion, material.truth.motion, fitted, ("wrist.L", "wrist.R")),
        head=_turned_deg(motion, material.truth.motion, fitted, ("head",)),
    )


def _turned_deg(found: BodyMotion, true: BodyMotion, frames: Bool[np.ndarray, "n"], bones: tuple[str, ...]) -> float:
    """Mean angle between two motions' bones."""
    at = [true.bone_names.index(name) for name in bones]
    ours, theirs = (
        torch.from_numpy(motion.cam_from_rest[: len(frames)][frames][:, at, :3, :3]).float() for motion in (found, true)
    )
    return float(roma.rotmat_geodesic_distance(ours, theirs).rad2deg().mean())


def markdown(rows: dict[str, list[FitScores]]) -> str:
    """Means over the clips, a line a variant."""
    names = list(FitScores.__annotations__)
    lines = ["| fit | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---|" + "---:|" * len(names)]
    for variant, found in rows.items():
        cells = [f"{np.mean([getattr(one, name) for one in found]):.1f}" for name in names]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(fit_parts)
