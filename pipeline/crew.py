"""The local engine of a batch: processes that work side by side, and none of which can take the others with it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, Any

from dancedepth.pipeline.batch_work import (
    Event,
    Outcome,
    Task,
    TaskAdvanced,
    TaskEnded,
    TaskStarted,
    WorkOrder,
)
from dancedepth.pipeline.resources import cuda_devices, free_memory_mb, usable_cores
from dancedepth.pipeline.worker import order_line

WORKER = (sys.executable, "-P", "-m", "dancedepth.pipeline.worker")
"""-P: what lies in the working folder is not imported."""
MEMORY_MB = 3000
"""Of one worker with a 1080x1920 video."""
CORES_A_WORKER = 2
TICK_S = 0.25
PATIENCE_S = 30
"""For a worker to tidy up after an interruption."""
VIDEOS_A_WORKER = 50
"""After so many a worker is replaced, so that what libraries leak stays bounded."""
LOG_TAIL_BYTES = 8000


def fitting_jobs(videos: int) -> int:
    """How many videos fit side by side on this machine: by free memory, by cores, and by CUDA devices where they are.

    On CUDA devices a worker's cores wait most of the time, so that one core is enough for it.
    """
    by_cores = usable_cores() // (1 if cuda_devices() else CORES_A_WORKER)
    by_memory = int(free_memory_mb() // MEMORY_MB)
    return max(1, min(by_cores, by_memory, videos))


class Crew:
    """An `Engine` of processes on this machine."""

    def __init__(self, jobs: int, command: Sequence[str] = WORKER) -> None:
        self._jobs, self._command = jobs, command

    def run(self, tasks: Sequence[Task], order: WorkOrder) -> Iterator[Event]:
        """Every task ends exactly once; a worker that dies or takes too long costs its own video only."""
        waiting = deque(tasks)
        count = min(self._jobs, len(tasks))
        workers = [_Worker(self._command, _environment(index, self._jobs)) for index in range(count)]
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or any(worker.task for worker in workers):
                    for worker in workers:
                        if worker.task is None and waiting:
                            task = waiting.popleft()
                            worker.give(task, order, selector)
                            yield TaskStarted(task)
                    for key, _ in selector.select(TICK_S):
                        yield from key.data.news(selector)
                    for worker in workers:
                        yield from worker.check_time(order.time_limit_s, selector)
            finally:
                _stop(workers)


class _Worker:
    """One place of the crew: its process is started when there is work, and again when it has died."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self.task: Task | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._command, self._environment = command, environment
        self._started_s = 0.0
        self._videos = 0
        self._pending = b""
        self._log: IO[bytes] | None = None

    def give(self, task: Task, order: WorkOrder, selector: selectors.BaseSelector) -> None:
        """Begin with a video."""
        if self.process is None or self._videos >= VIDEOS_A_WORKER:
            self.end(selector)
            self._start(selector)
        assert self.process is not None and self.process.stdin is not None
        self.task, self._started_s = task, time.monotonic()
        self._videos += 1
        with contextlib.suppress(BrokenPipeError):  # it has died; its closed output says so next
            self.process.stdin.write(order_line(task, order).encode() + b"\n")
            self.process.stdin.flush()

    def news(self, selector: selectors.BaseSelector) -> Iterator[Event]:
        """What the process has said; the end of its output is its death."""
        assert self.process is not None and self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            yield from self._event(json.loads(line))
        if not data:
            yield from self._died(selector)

    def check_time(self, limit_s: float | None, selector: selectors.BaseSelector) -> Iterator[Event]:
        """Give up a video that takes too long, and with it the process."""
        if self.task is not None and limit_s is not None and time.monotonic() - self._started_s > limit_s:
            yield self._ended(f"it took longer than {limit_s / 60:g} minutes")
            self.end(selector)

    def end(self, selector: selectors.BaseSelector | None = None) -> None:
        """End the process and its children at once."""
        if self.process is None:
            return
        assert self.process.stdout is not None and self.process.stdin is not None and self._log is not None
        if selector is not None:
            selector.unregister(self.process.stdout)
        kill_group(self.process)
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self._log.close()
        self.process, self._log = None, None

    def _start(self, selector: selectors.BaseSelector) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the batch, which then asks its workers to stop
        )
        assert self.process.stdout is not None
        selector.register(self.process.stdout, selectors.EVENT_READ, self)
        self._pending, self._videos = b"", 0

    def _event(self, values: dict[str, Any]) -> Iterator[Event]:
        if self.task is None:
            return
        kind = values.pop("news")
        if kind == "advanced":
            yield TaskAdvanced(self.task, **values)
        else:
            task, self.task = self.task, None
            yield TaskEnded(task, Outcome(**values))

    def _died(self, selector: selectors.BaseSelector) -> Iterator[Event]:
        assert self.process is not None and self._log is not None
        code = self.process.wait()
        self._log.seek(max(0, os.fstat(self._log.fileno()).st_size - LOG_TAIL_BYTES))
        log = self._log.read().decode(errors="replace")
        self.end(selector)
        if self.task is not None:
            yield self._ended(why_it_died(code), log)

    def _ended(self, reason: str, log: str = "") -> TaskEnded:
        assert self.task is not None
        task, self.task = self.task, None
        return TaskEnded(task, Outcome(False, time.monotonic() - self._started_s, reason, log))


def why_it_died(code: int) -> str:
    """The end of a process in words."""
    if code == -signal.SIGKILL:
        return "the process was killed, as happens when memory runs out; try fewer --jobs"
    if code < 0:
        return f"the process crashed ({signal.Signals(-code).name})"
    return f"the process ended early (exit code {code})"


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _stop(workers: Sequence[_Worker]) -> None:
    """Those at work are asked to tidy up and are waited for; those without work need not."""
    busy = [worker.process for worker in workers if worker.process is not None and worker.task is not None]
    for process in busy:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_S
    for process in busy:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        worker.end()


def _environment(index: int, jobs: int) -> dict[str, str]:
    """Each worker has its share of the cores, and a CUDA device if there are any."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, usable_cores() // jobs))
    chosen = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
    devices = cuda_devices()
    if devices:
        chosen["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    return {**os.environ, **chosen}
