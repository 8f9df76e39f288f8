"""What a training takes from unlabelled videos: its batches of pairs, step by step, and their losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import torch
from dancedepth.models.checkpoint import load_weights
from dancedepth.models.hdnet import HDNet, Prediction
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.dataset import Steps
from dancedepth.pipeline.training.objective import Losses
from dancedepth.pipeline.training.pair_batches import ClipFiles, PairBatch, PairSet, collate_pairs
from dancedepth.pipeline.training.pair_objective import PairLosses, pair_losses_of
from dancedepth.pipeline.training.video_pairs import VideoObserver, prepare_videos
from jaxtyping import Float
from lightning.fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class StepLosses:
    """Of one step of the optimiser, before their weights, and the weighted sum."""

    labelled: Losses
    videos: PairLosses | None
    total: Float[Tensor, ""]

    def values(self) -> dict[str, float]:
        """Each by its name."""
        lesson = self.videos.values() if self.videos is not None else {}
        return {**self.labelled.values(), **{f"videos/{name}": value for name, value in lesson.items()}}


class VideoLessons:
    """Pairs for every step of one rank; none where there are no clips.

    Args:
        still: the networks that the training starts from, if they were taught: they hold the others near.
    """

    def __init__(self, clips: Sequence[ClipFiles], config: TrainConfig, fabric: Fabric, still: HDNet | None) -> None:
        self._clips, self._config, self._fabric = clips, config, fabric
        self._still = still.to(fabric.device).eval() if still is not None and clips else None

    def batches(self, step: int) -> Iterator[PairBatch | None]:
        """One a step, from a step on."""
        start = max(step, self._config.videos.start)
        if not self._clips:
            yield from repeat(None)
            return
        yield from repeat(None, start - step)
        steps = Steps(
            replace(self._config, batch=self._config.videos.batch),
            start,
            self._fabric.global_rank,
            self._fabric.world_size,
        )
        on_gpu = self._fabric.device.type == "cuda"
        loader = DataLoader(
            PairSet(self._clips, self._config),
            batch_sampler=steps,
            collate_fn=collate_pairs,
            num_workers=self._config.loaders // 2 if on_gpu else 0,
            multiprocessing_context="spawn" if on_gpu and self._config.loaders > 1 else None,
        )
        for batch in loader:
            yield batch.to(self._fabric.device)

    def losses(self, said: Prediction, batch: PairBatch) -> PairLosses:
        """Of the predictions of a batch."""
        still = None
        if self._still is not None:
            with torch.no_grad(), self._fabric.autocast():
                still = self._still(batch.given)
        return pair_losses_of(said, batch, self._config.videos.loss, still)


def ready_clips(
    config: TrainConfig, cache: Path, body_folder: Path, fabric: Fabric, observer: VideoObserver
) -> list[ClipFiles]:
    """The config's videos, prepared by one process; the others find them ready."""
    if config.videos.folder is None:
        return []
    if fabric.is_global_zero:
        prepare_videos(config, cache, body_folder, fabric.device.type, observer)
    fabric.barrier()
    return prepare_videos(config, cache, body_folder, fabric.device.type)


def taught_networks(config: TrainConfig) -> HDNet | None:
    """The networks that `init` names.

    Raises:
        WeightsError: they cannot be read.
        UsageError: they are of another size.
    """
    if config.init is None:
        return None
    net, made = load_weights(Path(config.init))
    if made.preset != config.preset:
        what = f"these weights are of the {made.preset} networks, not of the {config.preset} ones"
        raise UsageError(what, config.init, "Name others as --init, or change the preset.")
    return net
