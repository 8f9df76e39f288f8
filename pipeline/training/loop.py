"""The training loop: Lightning Fabric from one CPU to many GPUs, resumed exactly where it was cut off.

OUT/config.json            what was asked for
OUT/checkpoint.pt          the latest state, to resume from
OUT/weights.safetensors    the averaged weights at the latest validation
OUT/validation.jsonl       scores of every validation, beside those of the body alone
OUT/tensorboard/           curves and pictures, where tensorboard is installed
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from dancedepth.models.checkpoint import Provenance, save_weights
from dancedepth.models.hdnet import HDNet, Prediction
from dancedepth.models.inputs import NetworkInput, stack_inputs
from dancedepth.pipeline.errors import RunFolderError
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.training.config import TrainConfig, same_settings
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
from dancedepth.pipeline.training.objective import Scores, losses_of, mean_scores, scores_of
from dancedepth.pipeline.training.optimizing import follow, optimizer_for, rate
from dancedepth.pipeline.training.pair_batches import ClipFiles, PairBatch
from dancedepth.pipeline.training.pair_objective import rows
from dancedepth.pipeline.training.people_folder import PeopleFolder
from dancedepth.pipeline.training.ranks import launched, node_share, require_same_weights
from dancedepth.pipeline.training.video_lessons import StepLosses, VideoLessons, ready_clips, taught_networks
from dancedepth.pipeline.training.video_pairs import ClipReport
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

AHEAD_STEPS = 200
"""People are asked for so many steps before they are needed."""


class TrainObserver(Protocol):
    """Told how a training goes on."""

    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None:
        """So many steps are done."""

    def validated(self, step: int, scores: Scores) -> None:
        """The averaged weights were scored on the held-out people."""

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        """One of so many videos is ready to be learned from, or left out."""


def train(
    config: TrainConfig,
    out: Path,
    body_folder: Path,
    observer: TrainObserver,
    people_root: Path | None = None,
    device: str = "auto",
    stop_after: int | None = None,
    videos_cache: Path | None = None,
    devices: int | None = None,
    nodes: int = 1,
) -> Scores | None:
    """Train the networks into `out`; go on where an earlier call was cut off.

    Args:
        config: what to do; it must be the same as before when resuming.
        body_folder: where the body model's file is.
        people_root: where made-up people are kept; None: OUT/people.
        device: `auto`, `cpu` or `cuda`.
        stop_after: leave after this step, as if cut off; for tests.
        videos_cache: where what is found in videos is kept; None: OUT/videos.
        devices: processes on each machine; None: one a CUDA device, or one.
        nodes: machines that take part; all see `out` and the other folders.

    Returns:
        The last validation's scores; None if the training stopped before its end, and in all processes but the first.

    Raises:
        RunFolderError: `out` holds a training with another config.
        RanksError: the processes of a training do not find each other, or have drifted apart.
        VideoError: the folder of videos holds none that anything can be learned from.
    """
    fabric = launched(config, device, devices, nodes)
    _claim(config, out, fabric)
    torch.manual_seed(config.seed)
    clips = ready_clips(config, videos_cache or out / "videos", body_folder, fabric, observer)
    people = PeopleFolder(people_root or out / "people", config.data, config.preset, body_folder)
    try:
        return _Training(fabric, config, out, people, clips, observer).run(stop_after)
    finally:
        people.close()


class _Training:
    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        out: Path,
        people: PeopleFolder,
        clips: list[ClipFiles],
        observer: TrainObserver,
    ) -> None:
        self.fabric, self.config, self.out, self.people, self.observer = fabric, config, out, people, observer
        self.schedule = Schedule(config, fabric.world_size)
        taught = taught_networks(config)
        net = _beginning(config, taught).to(memory_format=torch.channels_last)
        self.lessons = VideoLessons(clips, config, fabric, taught)
        self.average = deepcopy(net).to(fabric.device)
        net.normal_net.requires_grad_(config.networks in ("both", "normals"))
        net.depth_net.requires_grad_(config.networks in ("both", "depth"))
        if net.head_net is not None:
            net.head_net.requires_grad_(config.networks == "head")
        optimizer = optimizer_for(net, config)
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.net, self.optimizer = fabric.setup(_Flat(net, config.networks), optimizer)
        self.step = 0
        self.scores: Scores | None = None
        self.diary = Diary(out, enabled=fabric.is_global_zero)

    def run(self, stop_after: int | None) -> Scores | None:
        self._resume()
        config, started, first = self.config, time.monotonic(), self.step
        self.people.request(node_share(self.fabric, [*validation_seeds(config), *self.schedule.window(self.step)]))
        for batch, pairs in zip(self._batches(), self.lessons.batches(self.step), strict=False):
            done = self._advance(batch, pairs)
            self.step += 1
            if self.fabric.is_global_zero and (self.step % config.log_every == 0 or self.step == config.steps):
                left = (time.monotonic() - started) / (self.step - first) * (config.steps - self.step)
                self.diary.losses(self.step, done.values(), float(done.total))
                self.observer.stepped(self.step, config.steps, float(done.total), left)
            self._renew_people()
            if self.step % config.validate_every == 0 or self.step == config.steps:
                self._validate()
            if self.step % config.checkpoint_every == 0 or self.step in (config.steps, stop_after):
                self._save()
            if self.step == stop_after:
                break
        self.diary.close()
        return self.scores if self.step == config.steps and self.fabric.is_global_zero else None

    def _advance(self, batch: Batch, pairs: PairBatch | None) -> StepLosses:
        """One step of the optimiser."""
        config = self.config
        self.net.train()
        for group, highest in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = highest * rate(self.step, config)
        given = batch.given if pairs is None else stack_inputs([batch.given, pairs.given])
        said, labelled = self._predict(given), len(batch.depth)
        parts = losses_of(rows(said, slice(labelled)), batch)
        lesson = self.lessons.losses(rows(said, slice(labelled, None)), pairs) if pairs is not None else None
        total = parts.total(config.loss)
        if lesson is not None:
            total = total + lesson.total(config.videos.loss)
        self.optimizer.zero_grad()
        self.fabric.backward(total)
        self.fabric.clip_gradients(self.net, self.optimizer, max_norm=config.gradient_clip, error_if_nonfinite=False)
        self.optimizer.step()
        follow(self.average, self.net.module.net, config.ema, self.step)
        return StepLosses(parts, lesson, total.detach())

    def _predict(self, given: NetworkInput) -> Prediction:
        return Prediction(*self.net(*_maps(given)))

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
            scores = []
            for number, batch in enumerate(validation_batches(self.people, self.config)):
                ready = batch.to(self.fabric.device)
                with self.fabric.autocast():
                    said = Prediction(*_Flat(self.average, _judged(self.config))(*_maps(ready.given)))
                scores.append(scores_of(said, ready))
                if number < 2:
                    self.diary.pictures(self.step, number, said, ready)
            self.scores = mean_scores(scores)
            self.diary.scores(self.step, self.scores)
            self.observer.validated(self.step, self.scores)
            save_weights(self.out / "weights.safetensors", self.average, self._provenance())
        self.fabric.barrier()

    def _renew_people(self) -> None:
        """Ask for the people of the steps to come, let those of the steps past go."""
        if self.config.data.fresh_people == 0 or self.step % 20:
            return
        ahead = self.schedule.window(self.step + AHEAD_STEPS)
        self.people.request(node_share(self.fabric, list(ahead)))
        if not self.fabric.is_global_zero:
            return
        gone = self.schedule.window(max(0, self.step - AHEAD_STEPS))[0]
        for seed in range(self.schedule.window(max(0, self.step - AHEAD_STEPS - 20))[0], gone):
            self.people.forget(seed)

    def _save(self) -> None:
        require_same_weights(self.fabric, self.net, self.step)
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
        if self.config.videos.folder is not None:
            data += f"; pairs of frames of the videos in {Path(self.config.videos.folder).name}"
        return Provenance(self.config.preset, self.step, self.config.seed, data, self.config.to_json(), scores)


class _Flat(nn.Module):
    """The networks with tensors in and out, as Fabric and DDP want them; records stay outside.

    Without depth (`normals`, `head`), the depth is the given body's.
    """

    def __init__(self, net: HDNet, networks: str) -> None:
        super().__init__()
        self.net, self.networks = net, networks

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """The fields of `NetworkInput` to those of `Prediction`."""
        given = NetworkInput(*maps)
        if self.networks in ("both", "depth"):
            said = self.net(given)
            return said.normals, said.normal_scale, said.depth, said.depth_scale
        head = self.net.head_net if self.networks == "head" else None
        normals, normal_scale = (head or self.net.normal_net)(given)
        return normals, normal_scale, given.body_offset, torch.zeros_like(given.body_offset)


def _judged(config: TrainConfig) -> str:
    """What validation looks at: whole people with all that there is, heads with their own network."""
    return "head" if config.networks == "head" else "both"


def _maps(given: NetworkInput) -> tuple[Tensor, ...]:
    return tuple(getattr(given, f.name) for f in fields(NetworkInput))


def _beginning(config: TrainConfig, taught: HDNet | None) -> HDNet:
    """Untaught networks, or those given; a network for heads begins as the one for whole people."""
    taught_head = None if taught is None else taught.head_net
    net = HDNet(config.preset, head=taught_head is not None or config.networks == "head")
    if taught is not None:
        net.normal_net.load_state_dict(taught.normal_net.state_dict())
        net.depth_net.load_state_dict(taught.depth_net.state_dict())
    if net.head_net is not None:
        net.head_net.load_state_dict((taught_head or net.normal_net).state_dict())
    return net


def _claim(config: TrainConfig, out: Path, fabric: Fabric) -> None:
    """The folder's training must be this one; all processes look before one writes."""
    path = out / "config.json"
    values = config.to_json()
    if path.exists() and not same_settings(json.loads(path.read_text()), config):
        remedy = "Choose another folder, or the same settings."
        raise RunFolderError("the folder holds a training with other settings", str(out), remedy)
    fabric.barrier()
    if fabric.is_global_zero:
        write_bytes(path, json.dumps(values, indent=1).encode())
