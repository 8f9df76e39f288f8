"""Maintainers' weights from two trainings: the normal network of one, the depth network of the other, scored together.

    python tools/put_together.py NORMALS.safetensors DEPTH.safetensors CONFIG.toml OUT.safetensors --people DIR
        [--head HEAD.safetensors] [--share 0.5] [--wardrobe DIR --mocap DIR]

CONFIG is the first training's; its validation people are made if they are not in DIR. For when a training makes one of
the networks better and the other worse: the depth network takes the other's normals as they come. With a share, where
DEPTH went on from NORMALS, the depth network is the mean of both, weighted so (Wortsman et al. 2022, "Model soups").
NORMALS and DEPTH may be one file, to which the network for heads of a third is given.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from dancedepth.models.checkpoint import load_weights, save_weights
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.training.config import read_config
from dancedepth.pipeline.training.dataset import validation_batches, validation_seeds
from dancedepth.pipeline.training.objective import mean_scores, scores_of
from dancedepth.pipeline.training.people_folder import PeopleFolder


def put_together(
    normals: Annotated[Path, typer.Argument(help="Weights whose normal network is taken.")],
    depth: Annotated[Path, typer.Argument(help="Weights whose depth network is taken.")],
    config: Annotated[Path, typer.Argument(help="The config of the first.")],
    out: Annotated[Path, typer.Argument(help="Where to.")],
    people: Annotated[Path, typer.Option(help="Where made-up people are kept.")],
    head: Annotated[Path | None, typer.Option(help="Weights whose network for heads is taken.")] = None,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the second's depth network in the mean.")] = 1.0,
    wardrobe: Annotated[Path | None, typer.Option(help="The training's.")] = None,
    mocap: Annotated[Path | None, typer.Option(help="The training's.")] = None,
) -> None:
    """Put together, score, write."""
    settings = read_config(config).with_folders(wardrobe, mocap)
    net, made = load_weights(normals)
    other, before = load_weights(depth)
    own = net.depth_net.state_dict()
    net.depth_net.load_state_dict(
        {name: own[name].lerp(new, share) for name, new in other.depth_net.state_dict().items()}
    )
    if head is not None:
        heads, taught = load_weights(head)
        if heads.head_net is None:
            raise SystemExit(f"{head} holds no network for heads")
        net.head_net = heads.head_net
    folder = PeopleFolder(people, settings.data, settings.preset, cache_folder())
    try:
        folder.request(list(validation_seeds(settings)))
        with torch.inference_mode():
            scores = mean_scores([scores_of(net(batch.given), batch) for batch in validation_batches(folder, settings)])
    finally:
        folder.close()
    whose = "is" if share == 1 else f"has {share:g} of that"
    data = made.data
    if depth != normals:
        data += f"; the depth network {whose} of {before.steps} steps of seed {before.seed}"
    if head is not None:
        data += f"; the network for heads is of {taught.steps} steps of seed {taught.seed}"
    save_weights(out, net, replace(made, data=data, scores=asdict(scores)))
    typer.echo(f"normals {scores.normals_deg:.2f} deg, depth {scores.depth_mm:.1f} mm")


if __name__ == "__main__":
    typer.run(put_together)
