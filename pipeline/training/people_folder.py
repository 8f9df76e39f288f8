"""A folder of people made up as they are needed, by several processes or by the caller."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch
from dancedepth.models.body_file import load_body
from dancedepth.models.hdnet import PRESETS
from dancedepth.pipeline.errors import StorageError
from dancedepth.pipeline.training.config import DataConfig
from dancedepth.pipeline.training.people import draw_person
from dancedepth.pipeline.training.sample_files import write_samples
from dancedepth.pipeline.training.views import draw_head, draw_view

FORMAT = 2
"""Grows when what a seed draws changes."""
PATIENCE_S = 600.0
"""Nobody takes longer to make up one person."""


class PeopleFolder:
    """People by seed: `path(seed)` is there once `request`ed people are made; made people stay for later trainings.

    Args:
        root: where to keep them; those of other settings lie beside them in folders of their own.
        body_folder: where the body model's file is.
    """

    def __init__(self, root: Path, config: DataConfig, preset: str, body_folder: Path) -> None:
        self._config, self._body_folder = config, body_folder
        self._size = PRESETS[preset].head_size if config.heads else PRESETS[preset].size
        self._folder = root / _key(config, self._size)
        self._pool: ProcessPoolExecutor | None = None
        self._making: dict[int, Future[None]] = {}

    def path(self, seed: int) -> Path:
        """One person's file."""
        return self._folder / f"{seed:09d}.safetensors"

    def request(self, seeds: list[int]) -> None:
        """Have these people made in the background; failures of earlier ones are raised here."""
        for seed in [seed for seed, future in self._making.items() if future.done()]:
            self._making.pop(seed).result()
        if self._config.workers == 0:
            return
        for seed in seeds:
            if seed not in self._making and not self.path(seed).exists():
                self._making[seed] = self._running().submit(make_person, *self._arguments(seed))

    def ready(self, seed: int) -> Path:
        """The person's file, waited for or made here and now."""
        path = self.path(seed)
        if self._config.workers == 0 and not path.exists():
            make_person(*self._arguments(seed))
        elif seed in self._making:
            self._making.pop(seed).result()
        started = time.monotonic()
        while not path.exists():
            if time.monotonic() - started > PATIENCE_S:
                raise StorageError("a person was not made in time", str(path), "See what the workers say.")
            time.sleep(0.05)
        return path

    def forget(self, seed: int) -> None:
        """Delete a person who is not needed any more."""
        self.path(seed).unlink(missing_ok=True)

    def close(self) -> None:
        """Stop the processes; what they are at is finished first."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def __getstate__(self) -> dict[str, object]:
        """Copies in a loader's processes wait for files; they do not make them."""
        return {**self.__dict__, "_pool": None, "_making": {}}

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._config.workers, mp_context=spawn, initializer=_modest)
        return self._pool

    def _arguments(self, seed: int) -> tuple[DataConfig, tuple[int, int], Path, int, Path]:
        return self._config, self._size, self._body_folder, seed, self.path(seed)


def make_person(config: DataConfig, size: tuple[int, int], body_folder: Path, seed: int, path: Path) -> None:
    """All views of one person, to a file; the same seed gives the same file."""
    body = load_body(body_folder)
    person = draw_person(body, config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    draw = draw_head if config.heads else draw_view
    views = [draw(body, person, k, size, config.fit_error, generator) for k in range(config.views)]
    write_samples(path, views)


def _modest() -> None:
    """One thread and low priority for each process: the training itself comes first."""
    torch.set_num_threads(1)
    os.nice(5)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A training that is killed leaves nobody behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _key(config: DataConfig, size: tuple[int, int]) -> str:
    decisive = {k: v for k, v in asdict(config).items() if k not in ("people", "fresh_people", "workers")}
    decisive.pop("validation_people")
    if not config.heads:
        decisive.pop("heads")  # people of before there were heads keep their folder
    for folder in ("wardrobe", "mocap"):
        decisive[folder] = decisive[folder] and Path(decisive[folder]).name
    text = json.dumps([FORMAT, size, decisive], sort_keys=True)
    return f"{size[0]}x{size[1]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
