"""People for training, made to disk ahead of it: `dancedepth synth --dataset N`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from dancedepth.models.body_file import load_body
from dancedepth.pipeline.errors import UsageError
from dancedepth.pipeline.records import Observer
from dancedepth.pipeline.training.config import TrainConfig
from dancedepth.pipeline.training.dataset import Schedule
from dancedepth.pipeline.training.people_folder import PeopleFolder
from dancedepth.pipeline.training.sample_sheet import COLUMNS, sample_sheet, write_sheet

SHEET_ROWS = 2


@dataclass(frozen=True)
class Dataset:
    """What lies on disk."""

    pictures: int
    """Of all people asked for."""
    pictures_per_s: float
    """Of those made now; 0 if all were there."""
    sheet: Path
    """A picture of some samples."""


def make_people(config: TrainConfig, count: int, out: Path, body_folder: Path, observer: Observer) -> Dataset:
    """Make the first `count` people that a training of this config uses, by its worker processes; those there stay.

    Raises:
        UsageError: `count` is below 1.
        StorageError: the folder cannot be written.
    """
    if count < 1:
        raise UsageError(f"there cannot be {count} people", "--dataset", "Give 1 or more.")
    load_body(body_folder)  # built once, here, and not by every worker
    seeds = list(Schedule(config).window(0, count))
    people = PeopleFolder(out, config.data, config.preset, body_folder)
    try:
        fresh = [seed for seed in seeds if not people.path(seed).exists()]
        observer.stage_started("people", len(seeds))
        started = time.perf_counter()
        people.request(seeds)
        for seed in seeds:
            people.ready(seed)
            observer.advanced()
        seconds = time.perf_counter() - started
        observer.stage_finished("people", seconds, not fresh)
        sheet = out / "samples.jpg"
        write_sheet(sheet, sample_sheet(people, seeds[: SHEET_ROWS * COLUMNS], config.data.views))
    finally:
        people.close()
    return Dataset(count * config.data.views, len(fresh) * config.data.views / seconds, sheet)
