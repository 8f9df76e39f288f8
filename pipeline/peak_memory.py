"""The most memory that a run held, its child processes included."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

SAMPLE_S = 0.25
"""A stage's working set stands for longer than this."""
SAMPLES_A_CENSUS = 4
"""Children are looked for in every so-manieth sample: psutil reads the whole system's processes for that, 2 ms."""


class PeakMemory:
    """Samples resident memory while the block runs.

    `getrusage` will not do: what it says of a process includes the one that started it, before `exec`.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._own = psutil.Process()
        self._children: list[psutil.Process] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._sample(census=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample(census=True)

    def _watch(self) -> None:
        samples = 0
        while not self._stop.wait(SAMPLE_S):
            samples += 1
            self._sample(census=samples % SAMPLES_A_CENSUS == 0)

    def _sample(self, census: bool) -> None:
        if census:
            self._children = self._own.children(recursive=True)
        total = self._own.memory_info().rss
        for child in self._children:
            try:
                total += child.memory_info().rss
            except psutil.Error:  # it ended meanwhile
                continue
        self.peak_mb = max(self.peak_mb, total / 2**20)
