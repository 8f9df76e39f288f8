"""A copy of the depth networks that has learned from the clip itself, without labels, before its depths are written.

Pairs of the clip's frames teach it what they teach in training; the networks as they were stand still beside it and
hold it near to what they say.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from dancedepth.models.body import BodyModel
from dancedepth.models.hdnet import HDNet, Prediction, person_mask
from dancedepth.models.inputs import NetworkInput
from dancedepth.models.losses import depth_l1, normal_angle_deg
from dancedepth.models.precision import has_bfloat16
from dancedepth.pipeline.manifest import AdaptationRecord, LossRecord
from dancedepth.pipeline.records import BodyMotion, FrameSource, ImageSequence, Observer, Tracks
from dancedepth.pipeline.training.clip_frames import ClipFrame, read_clip
from dancedepth.pipeline.training.clip_pairs import FramePair, find_pairs
from dancedepth.pipeline.training.config import PairLossConfig
from dancedepth.pipeline.training.dataset import collate
from dancedepth.pipeline.training.pair_batches import PairBatch, PairSample, collate_pairs, either_side, some_points
from dancedepth.pipeline.training.pair_objective import pair_losses_of
from torch import Generator

LEARNING_RATE = 2e-4
"""At its highest; a tenth of the steps rise to it, a cosine falls from it."""
PAIRS_A_STEP = 2
POINTS = 2048
JUDGED_PAIRS = 12
"""Pairs, spread over the clip, on which the losses are taken before and after."""
LEAST_PAIRS = 8
"""With fewer pairs the clip has nothing to teach."""
GRADIENT_CLIP = 1.0
MM_PER_M = 1000.0


@dataclass(frozen=True)
class Adapted:
    """The networks to use, and what has changed."""

    net: HDNet
    record: AdaptationRecord


def adapt(
    net: HDNet,
    frames: FrameSource,
    tracks: Tracks,
    mattes: ImageSequence,
    motion: BodyMotion,
    body: BodyModel,
    steps: int,
    seed: int,
    observer: Observer,
    find: Callable[[tuple[ClipFrame, ...], BodyModel, int], list[FramePair]] = find_pairs,
) -> Adapted:
    """Teach a copy of the networks on the clip; they are returned as they were where that does not lower the losses.

    `find` makes the pairs.
    """
    body = body if body.device.type == "cpu" else copy.deepcopy(body).to("cpu")
    clip = read_clip(frames, tracks, mattes, motion, body, net.size).frames
    pairs = find(clip, body, seed)
    if len(pairs) < LEAST_PAIRS:
        why = f"only {len(pairs)} pairs of its frames show the same surface from different sides"
        return Adapted(net, AdaptationRecord(0, len(pairs), (), None, None, why))
    return _Lesson(net, clip, pairs, motion.height_m, seed).learn(steps, observer)


class After:
    """An observer for what follows in the same stage: the steps of the adaptation count too."""

    def __init__(self, told: Observer, steps: int) -> None:
        self._told, self._steps = told, steps
        self.advanced, self.stage_finished = told.advanced, told.stage_finished

    def stage_started(self, name: str, total: int | None) -> None:
        """So many more, after the steps."""
        self._told.stage_started(name, None if total is None else total + self._steps)


@dataclass(frozen=True)
class _Batch:
    pairs: PairBatch
    still: Prediction
    """What the networks said of it before."""


class _Lesson:
    def __init__(self, net: HDNet, clip: tuple[ClipFrame, ...], pairs: list[FramePair], height_m: float, seed: int):
        self._before, self._net, self._clip, self._pairs = net, copy.deepcopy(net).train(), clip, pairs
        self._device, self._height_m = next(net.parameters()).device, height_m
        self._random = torch.Generator().manual_seed(seed)
        self._weights = PairLossConfig()
        self._said = [self._say(net, collate([frame.sample]).given.to(self._device)) for frame in clip]

    def learn(self, steps: int, observer: Observer) -> Adapted:
        optimizer = torch.optim.AdamW(self._net.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0)
        observer.stage_started("depths", steps)
        judged = self._judged()
        first = self._losses(self._before, judged)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * _rate(step, steps)
            batch = self._drawn()
            with self._autocast():
                said = self._net(batch.pairs.given)
            optimizer.zero_grad()
            pair_losses_of(said, batch.pairs, self._weights, batch.still).total(self._weights).backward()
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), GRADIENT_CLIP)
            optimizer.step()
            observer.advanced()
        self._net.eval()
        return self._outcome(judged, first, steps)

    def _outcome(self, judged: list[_Batch], first: dict[str, float], steps: int) -> Adapted:
        last = self._losses(self._net, judged)
        changes = tuple(LossRecord(name, first[name], last[name]) for name in first)
        if not last["total"] < first["total"]:
            why = "the losses did not fall"
            return Adapted(self._before, AdaptationRecord(steps, len(self._pairs), changes, None, None, why))
        depth_mm, normals_deg = self._change(judged)
        return Adapted(self._net, AdaptationRecord(steps, len(self._pairs), changes, depth_mm, normals_deg, None))

    @torch.no_grad()
    def _losses(self, net: HDNet, judged: list[_Batch]) -> dict[str, float]:
        """Means over the judged pairs, and their weighted sum."""
        sums: dict[str, float] = {}
        for batch in judged:
            parts = pair_losses_of(self._say(net, batch.pairs.given), batch.pairs, self._weights, batch.still)
            for name, value in {**parts.values(), "total": float(parts.total(self._weights))}.items():
                sums[name] = sums.get(name, 0.0) + value / len(judged)
        return sums

    def _change(self, judged: list[_Batch]) -> tuple[float, float]:
        """Mean change of depth, mm, and of normals, degrees."""
        depth, normals = [], []
        for batch in judged:
            new, person = self._say(self._net, batch.pairs.given), person_mask(batch.pairs.given)
            depth.append(depth_l1(new.depth, batch.still.depth, person).mean())
            normals.append(normal_angle_deg(new.normals, batch.still.normals, person).mean())
        return float(torch.stack(depth).mean()) * self._height_m * MM_PER_M, float(torch.stack(normals).mean())

    @torch.no_grad()
    def _say(self, net: HDNet, given: NetworkInput) -> Prediction:
        with self._autocast():
            said: Prediction = net(given)
        return said

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=has_bfloat16(self._device))

    def _judged(self) -> list[_Batch]:
        some = torch.linspace(0, len(self._pairs) - 1, min(JUDGED_PAIRS, len(self._pairs))).round().int().tolist()
        return [self._of([self._pairs[k]], torch.Generator().manual_seed(k)) for k in some]

    def _drawn(self) -> _Batch:
        numbers = torch.randint(len(self._pairs), (PAIRS_A_STEP,), generator=self._random).tolist()
        return self._of([either_side(self._pairs[k], self._random) for k in numbers], self._random)

    def _of(self, pairs: list[FramePair], generator: Generator) -> _Batch:
        samples = [
            PairSample(
                self._clip[pair.first].sample,
                self._clip[pair.second].sample,
                some_points(pair.points, POINTS, generator),
            )
            for pair in pairs
        ]
        said = [self._said[k] for k in (*(pair.first for pair in pairs), *(pair.second for pair in pairs))]
        still = Prediction(**{f.name: torch.cat([getattr(one, f.name) for one in said]) for f in fields(Prediction)})
        return _Batch(collate_pairs(samples).to(self._device), still)


def _rate(step: int, steps: int) -> float:
    """Linear rise, then a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
