"""A process that reconstructs one video after another for a batch: orders come in on stdin, news go out on stdout.

Both are lines of JSON. It ends with its stdin, that is, with whoever started it; what libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from dancedepth.pipeline.batch_work import Task, WorkOrder, work_on
from dancedepth.pipeline.config import RunConfig, config_from_json
from dancedepth.pipeline.remote_folder import is_url

NEWS_INTERVAL_S = 0.2
"""Between two lines about the progress of one video."""
INTERRUPTED = 130


def main() -> None:
    """Work until there is nothing more to do; SIGINT or SIGTERM tidies up first."""
    stop = _Stop()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    working = threading.Event()
    threading.Thread(target=_read, args=(lines, working), daemon=True).start()
    code = 0
    try:
        while line := lines.get():
            working.set()
            task, order = parse_order(line)
            outcome = work_on(task, order, _News(channel))
            if stop.asked:  # a library took the interruption for a failure
                break
            working.clear()
            _say(channel, "ended", asdict(outcome))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # nobody listens any more
        code = 1
    os._exit(INTERRUPTED if stop.asked else code)  # threads of libraries may be at work, and would crash the end


def order_line(task: Task, order: WorkOrder) -> str:
    """An order as `main` reads it."""
    names = {"name": task.name, "video": str(task.video), "out": str(task.out)}
    return json.dumps({**names, "config": order.config.to_json(), "overwrite": order.overwrite, "trust": order.trust})


def parse_order(line: str) -> tuple[Task, WorkOrder]:
    """What `order_line` wrote."""
    values = json.loads(line)
    out = values["out"] if is_url(values["out"]) else Path(values["out"])
    task = Task(values["name"], Path(values["video"]), out)
    config = config_from_json(RunConfig, values["config"])
    return task, WorkOrder(config, values["overwrite"], values["trust"])


class _Stop:
    """Whether a signal asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
            raise KeyboardInterrupt


class _News:
    """An observer who passes on how far a video is."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel
        self._stage, self._done, self._said_s = "", 0, 0.0
        self._total: int | None = None

    def stage_started(self, name: str, total: int | None) -> None:
        """A stage begins, or knows its total now."""
        if name != self._stage:
            self._stage, self._done = name, 0
        self._total = total
        self._tell()

    def advanced(self, count: int = 1) -> None:
        """Not worth a line each time."""
        self._done += count
        if time.monotonic() - self._said_s > NEWS_INTERVAL_S:
            self._tell()

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        """The next one is about to begin."""

    def _tell(self) -> None:
        self._said_s = time.monotonic()
        _say(self._channel, "advanced", {"stage": self._stage, "done": self._done, "total": self._total})


def _say(channel: TextIO, kind: str, values: dict[str, Any]) -> None:
    channel.write(json.dumps({"news": kind, **values}) + "\n")
    channel.flush()


def _read(lines: queue.SimpleQueue[str], working: threading.Event) -> None:
    """Orders for the main thread; at the end of the input, an end for everybody, in the middle of a video too."""
    for line in sys.stdin:
        lines.put(line)
    if working.is_set():
        os._exit(1)
    lines.put("")


if __name__ == "__main__":
    main()
