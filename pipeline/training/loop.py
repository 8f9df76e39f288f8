"""The training loop: Lightning Fabric from one CPU to many GPUs, resumed exactly where it was cut off.

OUT/config.json            what was asked for
OUT/checkpoint.pt          the latest state, to resume from
OUT/weights.safetensors    the averaged weights at the latest validation
OUT/validation.jsonl       scores of every validation, beside those of the body alone
OUT/tensorboard/           curves and pictures, where tensorboard is installed
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from dancedepth.models.checkpoint import Provenance, save_weights
from dancedepth.models.hdnet import HDNet, Prediction
from dancedepth.models.inputs import NetworkInput
from dancedepth.pipeline.errors import RunFolderError
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.dataset import (
    Batch,
    Schedule,
    Steps,
    TrainingSet,
    collate,
    validation_batches,
    validation_seeds,
)
from dancedepth.pipeline.training.diary import Diary
from dancedepth.pipeline.training.objective import Losses, Scores, losses_of, mean_scores, scores_of
from dancedepth.pipeline.training.people_folder import PeopleFolder
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

AHEAD_STEPS = 200
"""People are asked for so many steps before they are needed."""
LEAST_RATE = 0.02
"""Share of the learning rate that the cosine ends at."""
EMA_START = 10.0
"""The average follows quickly at first: after n steps it keeps n / (n + this)."""


class TrainObserver(Protocol):
    """Told how a training goes on."""

    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None:
        """So many steps are done."""

    def validated(self, step: int, scores: Scores) -> None:
        """The averaged weights were scored on the held-out people."""


def train(
    config: TrainConfig,
    out: Path,
    body_folder: Path,
    observer: TrainObserver,
    people_root: Path | None = None,
    device: str = "auto",
    stop_after: int | None = None,
) -> Scores | None:
    """Train the networks into `out`; go on where an earlier call was cut off.

    Args:
        config: what to do; it must be the same as before when resuming.
        body_folder: where the body model's file is.
        people_root: where made-up people are kept; None: OUT/people.
        device: `auto`, `cpu` or `cuda`.
        stop_after: leave after this step, as if cut off; for tests.

    Returns:
        The last validation's scores; None if the training stopped before its end.

    Raises:
        RunFolderError: `out` holds a training with another config.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric = Fabric(accelerator=device, devices="auto" if device != "cpu" else 1, precision=_precision(config, device))
    fabric.launch()
    _claim(config, out)
    torch.manual_seed(config.seed)
    people = PeopleFolder(people_root or out / "people", config.data, config.preset, body_folder)
    try:
        return _Training(fabric, config, out, people, observer).run(stop_after)
    finally:
        people.close()


class _Training:
    def __init__(
        self, fabric: Fabric, config: TrainConfig, out: Path, people: PeopleFolder, observer: TrainObserver
    ) -> None:
        self.fabric, self.config, self.out, self.people, self.observer = fabric, config, out, people, observer
        self.schedule = Schedule(config, fabric.world_size)
        net = HDNet(config.preset).to(memory_format=torch.channels_last)
        self.average = HDNet(config.preset).to(fabric.device).to(memory_format=torch.channels_last)
        self.average.load_state_dict(net.state_dict())
        optimizer = torch.optim.AdamW(_grouped(net, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.98))
        self.net, self.optimizer = fabric.setup(_Flat(net), optimizer)
        self.step = 0
        self.scores: Scores | None = None
        self.diary = Diary(out, enabled=fabric.is_global_zero)

    def run(self, stop_after: int | None) -> Scores | None:
        self._resume()
        config, started, first = self.config, time.monotonic(), self.step
        if self.fabric.is_global_zero:
            self.people.request([*validation_seeds(config), *self.schedule.window(self.step)])
        for batch in self._batches():
            parts = self._advance(batch)
            self.step += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                left = (time.monotonic() - started) / (self.step - first) * (config.steps - self.step)
                loss = float(parts.total(config.loss).detach())
                self.diary.losses(self.step, parts.values(), loss)
                self.observer.stepped(self.step, config.steps, loss, left)
            self._renew_people()
            if self.step % config.validate_every == 0 or self.step == config.steps:
                self._validate()
            if self.step % config.checkpoint_every == 0 or self.step in (config.steps, stop_after):
                self._save()
            if self.step == stop_after:
                break
        self.diary.close()
        return self.scores if self.step == config.steps else None

    def _advance(self, batch: Batch) -> Losses:
        """One step of the optimiser."""
        config = self.config
        self.net.train()
        rate = config.learning_rate * _rate(self.step, config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = losses_of(self._predict(batch.given), batch)
        self.optimizer.zero_grad()
        self.fabric.backward(parts.total(config.loss))
        self.fabric.clip_gradients(self.net, self.optimizer, max_norm=config.gradient_clip, error_if_nonfinite=False)
        self.optimizer.step()
        _follow(self.average, self.net.module.net, min(config.ema, self.step / (self.step + EMA_START)))
        return parts

    def _predict(self, given: NetworkInput) -> Prediction:
        return Prediction(*self.net(*(getattr(given, f.name) for f in fields(NetworkInput))))

    def _batches(self) -> Iterator[Batch]:
        steps = Steps(self.config, self.step, self.fabric.global_rank, self.fabric.world_size)
        on_gpu = self.fabric.device.type == "cuda"
        loader = DataLoader(
            TrainingSet(self.people, self.schedule),
            batch_sampler=steps,
            collate_fn=collate,
            num_workers=self.config.loaders if on_gpu else 0,
            multiprocessing_context="spawn" if on_gpu and self.config.loaders else None,
        )
        for batch in loader:
            yield batch.to(self.fabric.device)

    @torch.no_grad()
    def _validate(self) -> None:
        if self.fabric.is_global_zero:
            self.average.eval()
            rows = []
            for number, batch in enumerate(validation_batches(self.people, self.config)):
                ready = batch.to(self.fabric.device)
                with self.fabric.autocast():
                    said = self.average(ready.given)
                rows.append(scores_of(said, ready))
                if number < 2:
                    self.diary.pictures(self.step, number, said, ready)
            self.scores = mean_scores(rows)
            self.diary.scores(self.step, self.scores)
            self.observer.validated(self.step, self.scores)
            save_weights(self.out / "weights.safetensors", self.average, self._provenance())
        self.fabric.barrier()

    def _renew_people(self) -> None:
        """Ask for the people of the steps to come, let those of the steps past go."""
        if self.config.data.fresh_people == 0 or self.step % 20 or not self.fabric.is_global_zero:
            return
        ahead = self.schedule.window(self.step + AHEAD_STEPS)
        self.people.request(list(ahead))
        gone = self.schedule.window(max(0, self.step - AHEAD_STEPS))[0]
        for seed in range(self.schedule.window(max(0, self.step - AHEAD_STEPS - 20))[0], gone):
            self.people.forget(seed)

    def _save(self) -> None:
        state: dict[str, Any] = {
            "net": self.net,
            "optimizer": self.optimizer,
            "average": self.average.state_dict(),
            "step": self.step,
            "scores": asdict(self.scores) if self.scores else None,
        }
        part = self.out / "checkpoint.pt.part"
        self.fabric.save(part, state)
        if self.fabric.is_global_zero:
            part.replace(self.out / "checkpoint.pt")
        self.fabric.barrier()

    def _resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state: dict[str, Any] = {"net": self.net, "optimizer": self.optimizer}
        rest = self.fabric.load(path, state)
        self.average.load_state_dict(rest["average"])
        self.step = rest["step"]
        self.scores = Scores(**rest["scores"]) if rest["scores"] else None

    def _provenance(self) -> Provenance:
        data = f"{self.config.data.people} synthetic people at a time, {self.config.data.views} views each"
        scores = asdict(self.scores) if self.scores else {}
        return Provenance(self.config.preset, self.step, self.config.seed, data, self.config.to_json(), scores)


class _Flat(nn.Module):
    """The networks with tensors in and out, as Fabric and DDP want them; records stay outside."""

    def __init__(self, net: HDNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """The fields of `NetworkInput` to those of `Prediction`."""
        said = self.net(NetworkInput(*maps))
        return said.normals, said.normal_scale, said.depth, said.depth_scale


def _claim(config: TrainConfig, out: Path) -> None:
    """The folder's training must be this one."""
    path = out / "config.json"
    values = config.to_json()
    if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(values)):
        remedy = "Choose another folder, or the same settings."
        raise RunFolderError("the folder holds a training with other settings", str(out), remedy)
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1))


def _precision(config: TrainConfig, device: str) -> Any:
    if config.precision != "auto":
        return config.precision
    return "bf16-mixed" if device != "cpu" and torch.cuda.is_available() else "32-true"


def _rate(step: int, config: TrainConfig) -> float:
    """Linear rise, then a cosine."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))


def _grouped(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Norms and biases do not decay."""
    matrices = [p for p in net.parameters() if p.ndim > 1]
    return [
        {"params": matrices, "weight_decay": decay},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, keep: float) -> None:
    old: list[Tensor] = list(average.parameters())
    torch._foreach_lerp_(old, [p.detach() for p in net.parameters()], 1 - keep)
