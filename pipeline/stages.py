"""A run from stage to stage: what is finished is taken from the run folder, and run.json always says how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dancedepth.pipeline.errors import RunFolderError
from dancedepth.pipeline.heap import give_heap_back
from dancedepth.pipeline.manifest import Manifest, StageRecord, read_manifest, write_manifest
from dancedepth.pipeline.peak_memory import PeakMemory
from dancedepth.pipeline.records import Observer
from dancedepth.pipeline.workspace import LEAVES, STAGE_OUTPUTS, RunFolder, claimed

Result = TypeVar("Result")


class Run:
    """One run folder while it is being written."""

    def __init__(self, folder: RunFolder, manifest: Manifest, observer: Observer, memory: PeakMemory) -> None:
        self.folder = folder
        self.reused: tuple[str, ...] = ()
        """Stages that were found finished."""
        self._observer, self._memory = observer, memory
        self.record(manifest)

    def stage(
        self,
        name: str,
        *,
        make: Callable[[Observer], Result],
        save: Callable[[Result], object] | None = None,
        load: Callable[[], Result],
        count: Callable[[Result], int],
        total: int | None = None,
    ) -> Result:
        """The result of a stage.

        Args:
            name: one of `STAGE_OUTPUTS`.
            make: runs the stage.
            save: writes its result to the run folder, unless the stage has written it frame by frame.
            load: reads the result of a finished stage from the run folder.
            count: how many frames a result has something for.
            total: how many frames the stage has to go through, if known; the stage may know better.
        """
        record = self.manifest.stage(name)
        if record and self.folder.holds(name, record.frames):
            self.reused += (name,)
            self._observer.stage_finished(name, record.seconds, True)
            return load()
        self._forget_from(name)
        self._observer.stage_started(name, total)
        started = time.perf_counter()
        result = make(_InsideStage(name, self._observer))
        if save:
            save(result)
            result = load()  # files round: a run that is cut off here and resumed goes on from the same numbers
        give_heap_back()
        seconds = time.perf_counter() - started
        stage = StageRecord(name, seconds, count(result))
        self.record(replace(self.manifest, stages=(*self.manifest.stages, stage)))
        self._observer.stage_finished(name, seconds, False)
        return result

    def record(self, manifest: Manifest) -> None:
        """Write the manifest, with the peak of memory so far."""
        peak = max(manifest.peak_memory_mb, self._memory.peak_mb)
        self.manifest = replace(manifest, peak_memory_mb=peak)
        write_manifest(self.folder.manifest, self.manifest)

    def _forget_from(self, name: str) -> None:
        """Drop a stage and those after it, which rest on it, with their files."""
        names = list(STAGE_OUTPUTS)
        dropped = [name] if name in LEAVES else names[names.index(name) :]
        kept = tuple(stage for stage in self.manifest.stages if stage.name not in dropped)
        if kept != self.manifest.stages or self.manifest.finished:
            self.record(replace(self.manifest, stages=kept, finished=False))
        for stage in dropped:
            self.folder.remove_stage(stage)


class _InsideStage:
    """What a stage sees of the observer: its name for itself and its clock are not the run's."""

    def __init__(self, name: str, observer: Observer) -> None:
        self._name, self._observer = name, observer
        self.advanced = observer.advanced

    def stage_started(self, name: str, total: int | None) -> None:
        """The stage knows how much it has to do."""
        self._observer.stage_started(self._name, total)

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        """The run says so itself, once the manifest says so too."""


@contextmanager
def open_run(
    out: Path, fresh: Manifest, observer: Observer, memory: PeakMemory, overwrite: bool = False
) -> Iterator[Run]:
    """The run in folder `out`: a new one, or the one that is there, to be resumed.

    When the block ends, by an error too, only finished stages' files remain, and nothing at all if none finished.

    Raises:
        RunFolderError: it holds another run and `overwrite` was not given, or it holds no run but other files.
        RunInUseError: another process is writing it.
    """
    with claimed(out) as folder:
        run = Run(folder, _manifest(folder, fresh, overwrite), observer, memory)
        try:
            yield run
        finally:
            finished = {stage.name for stage in run.manifest.stages}
            for name in STAGE_OUTPUTS:
                if name not in finished:
                    folder.remove_stage(name)
            if not finished:
                folder.remove_run()


def _manifest(folder: RunFolder, fresh: Manifest, overwrite: bool) -> Manifest:
    if overwrite or not folder.manifest.is_file():
        folder.remove_run()
        return fresh
    earlier = read_manifest(folder.manifest)
    if not earlier.stages:
        folder.remove_run()
        return fresh
    where, remedy = str(folder.root), "Give --overwrite to replace it, or choose another --out"
    if earlier.input.sha256 != fresh.input.sha256:
        raise RunFolderError(f"the folder holds a run of another video ({earlier.input.path})", where, remedy)
    changes = differences(earlier.config.to_json(), fresh.config.to_json())
    if changes:
        raise RunFolderError(f"the folder holds a run with other settings ({'; '.join(changes)})", where, remedy)
    return replace(earlier, input=fresh.input, config=fresh.config, program=fresh.program, weights=fresh.weights)


def differences(there: dict[str, Any], here: dict[str, Any], prefix: str = "") -> list[str]:
    """In words, what differs between two configs as JSON; numbers agree to the six decimals that files keep."""
    found = []
    for name in sorted(there.keys() | here.keys()):
        a, b = there.get(name), here.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{name}.")
        elif isinstance(a, float) and isinstance(b, (int, float)):
            found += [f"{prefix}{name}: {a:g} there, {b:g} here"] * (not math.isclose(a, b, abs_tol=1e-6))
        elif a != b:
            found.append(f"{prefix}{name}: {a} there, {b} here")
    return found
