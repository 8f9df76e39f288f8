"""`dancedepth evaluate`: how far a run is from the truth of its clip."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from dancedepth.models.metrics import SurfaceScores
from dancedepth.pipeline.evaluation import Evaluation, evaluate_run
from rich.console import Console
from rich.table import Table


def evaluate(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    truth: Annotated[Path, typer.Option(help="The folder that `dancedepth synth` wrote, or its truth/.")],
    surface_every: Annotated[
        int, typer.Option(min=0, help="Compare the surfaces in every so-manieth frame; 0: in about 24.")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Write the result as JSON to the standard output.")] = False,
) -> None:
    """Measure a run against the truth of its clip: surface, depth, normals, mask, joints, flicker."""
    result = evaluate_run(run, truth, surface_every)
    if json:
        print(json_format.dumps(asdict(result), indent=1, allow_nan=False))
        return
    console = Console()
    console.print(_surface_table(result))
    console.print(_other_table(result))


def _surface_table(result: Evaluation) -> Table:
    """Distances between the posed surfaces; the columns are how the run was moved before."""
    moved = {
        "as is": result.surface,
        f"scaled by {result.scale:.3f}": result.surface_scaled,
        "scaled and aligned": result.surface_aligned,
    }
    rows = {
        "run to truth, mean": "accuracy_mean_mm",
        "run to truth, p90": "accuracy_p90_mm",
        "truth to run, mean": "completeness_mean_mm",
        "truth to run, p90": "completeness_p90_mm",
        "both ways, mean": "mean_mm",
        "F-score at 5 mm": "f_score_5mm",
        "F-score at 10 mm": "f_score_10mm",
    }
    table = Table("surface", *moved, title=f"Posed surface in {result.surface_frames} frames")
    for title, name in rows.items():
        table.add_row(title, *(_score(scores, name) for scores in moved.values()))
    return table


def _score(scores: SurfaceScores, name: str) -> str:
    value: float = getattr(scores, name)
    return f"{value:.1f} mm" if name.endswith("_mm") else f"{value:.1%}"


def _other_table(result: Evaluation) -> Table:
    normals, head, joints = result.normals, result.head_normals, result.joints
    rows = {
        "depth, as is": f"{result.depth_as_is_mm:.1f} mm",
        "depth, after one scale": f"{result.depth_scaled_mm:.1f} mm",
        "depth coverage": f"{result.depth_coverage:.1%}",
        "flicker": "-" if result.flicker_mm is None else f"{result.flicker_mm:.2f} mm",
        "normals, mean and median": f"{normals.mean_deg:.1f}°, {normals.median_deg:.1f}°",
        "normals of the head": "-" if head is None else f"{head.mean_deg:.1f}°, {head.median_deg:.1f}°",
        "normals under 11.25°": f"{normals.under_11_25:.1%}",
        "normals under 22.5°": f"{normals.under_22_5:.1%}",
        "normals under 30°": f"{normals.under_30:.1%}",
        "mask IoU": f"{result.mask_iou:.3f}",
        "joints, as is": f"{joints.as_is_mm:.1f} mm",
        "joints, after one scale": f"{joints.scaled_mm:.1f} mm",
        "joints, root aligned": f"{joints.root_aligned_mm:.1f} mm",
        "joints, Procrustes": f"{joints.procrustes_mm:.1f} mm",
        "surface seen by the camera": f"{result.observed_share:.1%}",
        "focal length, run / truth": f"{result.focal_ratio:.3f}",
    }
    table = Table("what", "value", title=f"{result.frames} frames")
    for row in rows.items():
        table.add_row(*row)
    return table
