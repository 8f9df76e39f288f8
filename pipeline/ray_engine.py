"""The engine of a batch for many machines: every video is a task of a Ray cluster, whose nodes share the folders."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from dancedepth.pipeline.batch_work import Event, Outcome, Task, TaskEnded, TaskStarted, WorkOrder, work_on
from dancedepth.pipeline.errors import DanceDepthError, UsageError
from dancedepth.pipeline.records import Observer, Silent

RETRIES = 3
"""Of a video whose node or process was lost; so often a video may take its process down before it counts as failed."""
TICK_S = 0.5
QUEUED_A_SLOT = 2
"""Tasks handed to the cluster for each one that can run, so that none waits for work and a million do not fill it."""
VIDEOS_A_WORKER = 50
"""After so many a worker process is replaced, so that what libraries leak stays bounded."""
LOCK_PATIENCE_S = 60.0
"""A run folder that is still in use belongs to a process on a lost node, which is about to end."""

Work = Callable[[Task, WorkOrder, Observer], Outcome]


class TimeLimitError(DanceDepthError):
    """A video took longer than it may."""


class RayEngine:
    """An `Engine` on a Ray cluster.

    Args:
        address: of the cluster, `auto` for the one that this machine belongs to; None starts one on this machine.
        cpus: cores that a video is given.
        gpus: CUDA devices that a video is given, fractions too; None: one where the cluster has any.
        work: what is done with a video.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, address: str | None = None, cpus: float = 2.0, gpus: float | None = None, work: Work = work_on
    ) -> None:
        self._ray = _import_ray()
        self._address, self._cpus, self._gpus, self._work = address, cpus, gpus, work

    def run(self, tasks: Sequence[Task], order: WorkOrder) -> Iterator[Event]:
        """Every task ends exactly once; one whose node is lost goes on elsewhere, after its last finished stage."""
        waiting, running = deque(tasks), dict[Any, Task]()
        with self._cluster() as gpus:
            remote = self._ray.remote(
                num_cpus=self._cpus, num_gpus=gpus, max_retries=RETRIES, max_calls=VIDEOS_A_WORKER
            )(_on_node)
            try:
                while waiting or running:
                    while waiting and len(running) < self._room(gpus):
                        task = waiting.popleft()
                        running[remote.remote(self._work, task, order)] = task
                        yield TaskStarted(task)
                    ready, _ = self._ray.wait(list(running), num_returns=1, timeout=TICK_S)
                    for reference in ready:
                        yield TaskEnded(running.pop(reference), self._outcome(reference))
            finally:
                self._cancel(list(running))

    @contextmanager
    def _cluster(self) -> Iterator[float]:
        """Connected to the cluster; yields the GPUs for each video."""
        ours = not self._ray.is_initialized()
        if ours:
            variables = {"OMP_WAIT_POLICY": "PASSIVE"}
            try:
                self._ray.init(
                    address=self._address or "local",  # else Ray looks for what is left of an earlier cluster
                    log_to_driver=False,
                    configure_logging=False,
                    include_dashboard=None if self._address else False,
                    runtime_env={"env_vars": variables},
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                what = f"there is no Ray cluster to be reached ({error})"
                raise UsageError(what, f"--address {self._address}", "Start one with `ray start --head`") from error
        try:
            there = self._ray.cluster_resources().get("GPU", 0) > 0
            gpus = float(there) if self._gpus is None else self._gpus
            self._require_a_node(gpus)
            yield gpus
        finally:
            if ours:
                self._ray.shutdown()

    def _require_a_node(self, gpus: float) -> None:
        """Else the cluster would wait for one for ever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= self._cpus and node.get("GPU", 0) >= gpus for node in nodes):
            what = f"no node of the cluster has {self._cpus:g} cores and {gpus:g} CUDA devices for a video"
            raise UsageError(what, "--cpus, --gpus", "Give each video less")

    def _room(self, gpus: float) -> int:
        """How many tasks to have in the cluster, as it is now: nodes come and go."""
        resources = self._ray.cluster_resources()
        slots = resources.get("CPU", 0) / self._cpus
        if gpus:
            slots = min(slots, resources.get("GPU", 0) / gpus)
        return max(1, QUEUED_A_SLOT * int(slots))

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            said = " ".join(str(error).split())
            what = f"its process was lost {RETRIES + 1} times, as happens when memory runs out"
            return Outcome(False, 0.0, what, said)
        return outcome

    def _cancel(self, references: list[Any]) -> None:
        """Interrupt what runs, so that it tidies up."""
        for reference in references:
            self._ray.cancel(reference)
        for reference in references:
            with suppress(self._ray.exceptions.RayError):
                self._ray.get(reference, timeout=30)


def _on_node(work: Work, task: Task, order: WorkOrder) -> Outcome:
    """One video on whatever node this is; the folder may still be held by a process that is about to end."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        with _time_limit(order.time_limit_s):
            outcome = work(task, order, Silent())
        if "is writing this run folder" not in outcome.reason or time.monotonic() > deadline:
            return outcome
        time.sleep(TICK_S)


@contextmanager
def _time_limit(limit_s: float | None) -> Iterator[None]:
    """Interrupt the block from within when its time is up."""
    if limit_s is None:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeLimitError(f"it took longer than {limit_s / 60:g} minutes")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("Ray is not installed", "--engine ray", "pip install 'dancedepth[ray]'") from error
    return ray
