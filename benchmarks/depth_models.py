"""The fitted body against the depth networks, on rendered dancers whose clothes and motions training never saw.

    python benchmarks/depth_models.py OUT --wardrobe DIR --mocap DIR [--weights FILE] [--models body --models hdnet]

Every clip goes through the whole pipeline, from the video file, once with each depth model and once with the body
fitted to keypoints alone, and is held against its own truth. Clips and runs that are there are kept. Writes
OUT/depth_models.json and OUT/depth_models.md.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.pipeline.evaluation import Evaluation, evaluate_run
from dancedepth.pipeline.storage import write_json
from dancedepth.pipeline.training.people import HELD_OUT

SIZE, FPS, SECONDS = "720x1280", "12", "3"


@dataclass(frozen=True)
class Clip:
    """A dancer to render."""

    seed: int
    wears: tuple[str, ...]
    motion: str | None = None
    """The name of a BVH file; None: a made-up dance."""
    motion_start_s: float = 0.0


CLIPS = {
    "suit": Clip(9_001, ("female_casualsuit02", "shoes05", "bob01", "young_darkskinned_female_diffuse")),
    "jesse": Clip(
        9_002, ("male_casualsuit04", "short02", "old_lightskinned_male_diffuse", "shoes05"), "jesse_dance", 2.0
    ),
    "turn": Clip(9_003, ("male_casualsuit04", "bob01", "middleage_lightskinned_female_diffuse")),
    "modern": Clip(
        9_004, ("female_casualsuit02", "short02", "middleage_lightskinned_female_diffuse"), "cmu_49_08", 3.0
    ),
}
"""What they wear and follow is held out of training by name."""
MODELS = {
    "keypoints": ("--depth-model", "body", "--landmark-model", "none"),
    "body": ("--depth-model", "body"),
    "hdnet": ("--depth-model", "hdnet"),
}
"""What each is reconstructed with; `keypoints` is the body without landmarks."""
COLUMNS = {
    "joints": lambda e: e.joints.root_aligned_mm,
    "normals": lambda e: e.normals.mean_deg,
    "normals, median": lambda e: e.normals.median_deg,
    "head's normals": lambda e: e.head_normals.mean_deg if e.head_normals else 0.0,
    "depth": lambda e: e.depth_as_is_mm,
    "depth, scaled": lambda e: e.depth_scaled_mm,
    "surface": lambda e: e.surface.mean_mm,
    "surface, scaled": lambda e: e.surface_scaled.mean_mm,
    "surface, aligned": lambda e: e.surface_aligned.mean_mm,
    "flicker": lambda e: e.flicker_mm or 0.0,
}
"""Degrees for normals, else millimetres."""


def compare(
    out: Annotated[Path, typer.Argument(help="Folder for clips, runs and the table.")],
    wardrobe: Annotated[Path, typer.Option(help="A folder of MakeHuman clothes/, hair/ and skins/.")],
    mocap: Annotated[Path, typer.Option(help="A folder of BVH files.")],
    weights: Annotated[Path | None, typer.Option(help="Instead of those in the package.")] = None,
    models: Annotated[list[str] | None, typer.Option(help="Of keypoints, body, hdnet; may be repeated.")] = None,
) -> None:
    """Run every depth model on every clip; write and print the table."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for model in models or list(MODELS):
        rows[model] = {}
        for name, clip in CLIPS.items():
            rendered(out / name, clip, wardrobe, mocap)
            found = evaluated(out / name, out / f"{name}-{model}", model, weights if model == "hdnet" else None)
            rows[model][name] = {title: float(read(found)) for title, read in COLUMNS.items()}
        rows[model]["mean"] = {title: sum(row[title] for row in rows[model].values()) / len(CLIPS) for title in COLUMNS}
    write_json(out / "depth_models.json", rows)
    table = markdown(rows)
    (out / "depth_models.md").write_text(table)
    print(table)  # noqa: T201 (a program of its own)


def rendered(folder: Path, clip: Clip, wardrobe: Path, mocap: Path) -> None:
    """The clip with its truth; one that is there already is kept."""
    if (folder / "truth" / "truth.json").is_file():
        return
    unheld = [name for name in (*clip.wears, clip.motion) if name and name not in HELD_OUT]
    if unheld:
        raise SystemExit(f"{unheld} were seen in training")
    arguments = ["--seed", str(clip.seed), "--size", SIZE, "--fps", FPS, "--seconds", SECONDS]
    arguments += ["--garments", str(wardrobe), *(word for name in clip.wears for word in ("--garment", name))]
    if clip.motion:
        arguments += ["--motion", str(mocap / f"{clip.motion}.bvh"), "--motion-start", str(clip.motion_start_s)]
    dancedepth("synth", str(folder), *arguments)


def evaluated(clip: Path, run: Path, model: str, weights: Path | None) -> Evaluation:
    """Reconstruct and measure."""
    chosen = ["--depth-weights", str(weights)] if weights else []
    dancedepth("reconstruct", str(clip / "video.mp4"), "-o", str(run), *MODELS[model], *chosen)
    return evaluate_run(run, clip)


def dancedepth(*arguments: str) -> None:
    """Run the program."""
    subprocess.run([str(Path(sys.executable).with_name("dancedepth")), *arguments], check=True)


def markdown(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    """One line a clip and model; last the ratio of each model's means to the one before."""
    lines = ["| clip | model | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for clip in (*CLIPS, "mean"):
        for model, own in rows.items():
            lines.append(f"| {clip} | {model} | " + " | ".join(f"{value:.1f}" for value in own[clip].values()) + " |")
    for first, model in pairwise(rows):
        ratios = (rows[model]["mean"][title] / max(rows[first]["mean"][title], 1e-9) for title in COLUMNS)
        lines.append(f"| | {model} / {first} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(compare)
