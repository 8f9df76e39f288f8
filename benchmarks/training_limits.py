"""What keeps the depth networks from being better: the data, the steps, their size, or the body that they are given.

    python benchmarks/training_limits.py OUT --weights FILE [--wardrobe DIR --mocap DIR]

Four measurements with networks that are trained already:

- people of their own training against held-out clothes, skins and motions: the difference is for want of data;
- the same people with a body that is given exactly: what is left is not for want of pose;
- the networks taught on a dozen pictures alone: as good as they get there is what their size and pixels can hold;
- the scores of their training's validations, if its validation.jsonl is given: how much each doubling of steps brings.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from dancedepth.models.checkpoint import load_weights
from dancedepth.models.hdnet import HDNet
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.storage import write_json
from dancedepth.pipeline.training.config import DataConfig, LossConfig
from dancedepth.pipeline.training.dataset import Batch, collate
from dancedepth.pipeline.training.objective import Scores, losses_of, mean_scores, scores_of
from dancedepth.pipeline.training.people import VALIDATION_SEED
from dancedepth.pipeline.training.people_folder import PeopleFolder
from dancedepth.pipeline.training.sample_files import read_sample

FIT_ERROR = 1.4
"""As far off as today's fits."""
VIEWS = 12
ALONE, BATCH, RATE = 12, 4, 1e-3
"""Pictures that the networks are taught alone, how many at once, and the learning rate at its start."""


def run(
    out: Annotated[Path, typer.Argument(help="Folder for the people and limits.json.")],
    weights: Annotated[Path, typer.Option(help="Weights that `dancedepth train` wrote.")],
    wardrobe: Annotated[Path | None, typer.Option(help="The training's.")] = None,
    mocap: Annotated[Path | None, typer.Option(help="The training's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the training: its first people are its own.")] = 0,
    people: Annotated[int, typer.Option(help="Of each kind.")] = 8,
    steps: Annotated[int, typer.Option(help="On a dozen pictures.")] = 300,
    validation: Annotated[Path | None, typer.Option(help="validation.jsonl of the training.")] = None,
) -> None:
    """Measure and print."""
    folders = {"wardrobe": str(wardrobe) if wardrobe else None, "mocap": str(mocap) if mocap else None}
    net, made = load_weights(weights)
    clothes = {name: made.config.get("data", {}).get(name, False) for name in ("fine_folds", "long_wear")}
    data = DataConfig(views=VIEWS, fit_error=FIT_ERROR, **clothes, **folders)
    own, held_out = (range(first, first + people) for first in (seed * 1_000_000, VALIDATION_SEED))
    found = {}
    for name, seeds, config in (
        ("people of the training", own, data),
        ("held-out people", held_out, data),
        ("held-out people, exact body", held_out, replace(data, fit_error=0.0)),
    ):
        found[name] = asdict(mean_scores([_scored(net, batch) for batch in _batches(out, config, seeds)]))
        print(name, _short(found[name]), flush=True)  # noqa: T201 (a program of its own)
    few = next(iter(_batches(out, data, held_out)))
    found["a dozen pictures alone"] = {"steps": steps, **asdict(_scored(_taught(net, few, steps), few))}
    print("a dozen pictures alone", _short(found["a dozen pictures alone"]))  # noqa: T201
    if validation is not None:
        found["a doubling of steps"] = {"normals_deg": _doubling(validation)}
        print("a doubling of steps", found["a doubling of steps"])  # noqa: T201
    write_json(out / "limits.json", found)


def _batches(out: Path, config: DataConfig, seeds: range) -> list[Batch]:
    """Every view of each person, as rendered."""
    folder = PeopleFolder(out / "people", config, "small", cache_folder())
    try:
        folder.request(list(seeds))
        return [collate([read_sample(folder.ready(one), view) for view in range(config.views)]) for one in seeds]
    finally:
        folder.close()


@torch.no_grad()
def _scored(net: HDNet, batch: Batch) -> Scores:
    return scores_of(net.eval()(batch.given), batch)


def _taught(net: HDNet, batch: Batch, steps: int) -> HDNet:
    """Networks that have seen nothing else for so long."""
    optimizer = torch.optim.AdamW(net.train().parameters(), lr=RATE, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randperm(ALONE, generator=generator)[:BATCH]
        given = replace(batch.given, **{name: getattr(batch.given, name)[rows] for name in batch.given.__dict__})
        some = Batch(given, batch.depth[rows], batch.normals[rows], batch.mask[rows])
        optimizer.zero_grad()
        losses_of(net(given), some).total(LossConfig()).backward()
        optimizer.step()
    return net


def _doubling(validation: Path) -> float:
    """Slope of the normals' error over the logarithm of the steps (least squares over the second half), degrees."""
    rows = [json.loads(line) for line in validation.read_text().splitlines()]
    steps = torch.tensor([float(row["step"]) for row in rows]).log2()
    error = torch.tensor([float(row["normals_deg"]) for row in rows])
    late = steps >= steps.max() - 2
    x, y = steps[late] - steps[late].mean(), error[late] - error[late].mean()
    return float((x * y).sum() / (x * x).sum())


def _short(scores: dict[str, float]) -> str:
    names = ("body_normals_deg", "normals_deg", "body_scaled_depth_mm", "scaled_depth_mm", "depth_normals_deg")
    return ", ".join(f"{name} {scores[name]:.2f}" for name in names)


if __name__ == "__main__":
    typer.run(run)
