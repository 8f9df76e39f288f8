"""What a training leaves to look at: scores as lines of JSON, curves and pictures for TensorBoard."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from dancedepth.models.hdnet import Prediction
from dancedepth.pipeline.training.dataset import Batch
from dancedepth.pipeline.training.objective import Scores
from jaxtyping import Float
from torch import Tensor

COLUMNS = 6
"""Samples in a picture."""
OFFSET_GREY = 5.0
"""Grey levels over a body height: depth from the root, black to white in 0.2 body heights."""


class Diary:
    """Writes into a training's folder; does nothing where another process does."""

    def __init__(self, out: Path, enabled: bool) -> None:
        self._out, self._enabled = out, enabled
        self._board: Any = None
        if enabled and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"))

    def losses(self, step: int, parts: dict[str, float], total: float) -> None:
        """A step's losses."""
        if self._board is not None:
            for name, value in {**parts, "total": total}.items():
                self._board.add_scalar(f"loss/{name}", value, step)

    def scores(self, step: int, scores: Scores) -> None:
        """A validation's scores."""
        if not self._enabled:
            return
        with (self._out / "validation.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **asdict(scores)}) + "\n")
        if self._board is not None:
            for name, value in asdict(scores).items():
                self._board.add_scalar(f"validation/{name}", value, step)

    def pictures(self, step: int, number: int, said: Prediction, batch: Batch) -> None:
        """Some of a batch, side by side."""
        if self._board is not None:
            self._board.add_image(f"validation/{number}", sheet(said, batch), step)

    def close(self) -> None:
        """Everything is on disk."""
        if self._board is not None:
            self._board.close()


def sheet(said: Prediction, batch: Batch) -> Float[Tensor, "3 n m"]:
    """Rows: picture, the body's normals, predicted, true; the body's depth, predicted, true; confidence."""
    given, mask = batch.given, batch.mask
    person = given.alpha >= 0.5
    rows = [
        given.image,
        shaded(given.body_normals) * (given.coverage > 0),
        shaded(said.normals) * person,
        shaded(batch.normals) * mask,
        grey(given.body_offset) * person,
        grey(said.depth) * person,
        grey(batch.depth) * mask,
        said.confidence.expand(-1, 3, -1, -1) * person,
    ]
    return torch.cat([torch.cat(list(row[:COLUMNS].float().cpu()), dim=2) for row in rows], dim=1).clamp(0, 1)


def shaded(normals: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The usual colours, with what faces the camera blue."""
    flip = normals.new_tensor([1.0, -1.0, -1.0])[:, None, None]
    return normals * flip * 0.5 + 0.5


def grey(depth: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Depth from the root: near is light."""
    return (0.5 - OFFSET_GREY / 2 * depth).clamp(0, 1).expand(-1, 3, -1, -1)
