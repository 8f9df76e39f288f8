"""Workers that crash, hang, and are killed, played by a small script that speaks as a worker does."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from dancedepth.pipeline.batch_work import Event, Outcome, Task, TaskAdvanced, TaskEnded, TaskStarted, WorkOrder
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.crew import Crew, fitting_jobs, why_it_died
from dancedepth.pipeline.worker import order_line, parse_order

SCRIPT = """
import json, os, signal, sys, time
def say(kind, **values):
    print(json.dumps({"news": kind, **values}), flush=True)
def stopped(number, frame):
    open(os.path.join(order["out"]), "w").write("tidied up")
    os._exit(130)
signal.signal(signal.SIGINT, stopped)
for line in sys.stdin:
    order = json.loads(line)
    kind = order["name"].split("-")[0]
    if kind == "crash":
        print("Fatal: the tensor is upside down", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "exit":
        sys.exit(3)
    if kind == "hang":
        say("advanced", stage="mattes", done=1, total=None)
        time.sleep(600)
    say("advanced", stage="tracks", done=5, total=12)
    good = kind == "good"
    say("ended", succeeded=good, seconds=0.5, reason="" if good else "blurred", log=str(os.getpid()))
"""
ORDER = WorkOrder(RunConfig())


def crew(jobs: int) -> Crew:
    return Crew(jobs, (sys.executable, "-S", "-c", SCRIPT))


def tasks(*names: str, out: Path = Path("out")) -> list[Task]:
    return [Task(name, Path(f"{name}.mp4"), out / name) for name in names]


def outcomes(events: list[Event]) -> dict[str, Outcome]:
    ended = [event for event in events if isinstance(event, TaskEnded)]
    assert len({event.task.name for event in ended}) == len(ended), "each task ends once"
    return {event.task.name: event.outcome for event in ended}


def test_news_of_one_video() -> None:
    task = tasks("good")[0]
    kinds = list(crew(1).run([task], ORDER))
    assert kinds[:2] == [TaskStarted(task), TaskAdvanced(task, "tracks", 5, 12)]
    assert isinstance(kinds[2], TaskEnded) and kinds[2].outcome.succeeded and len(kinds) == 3


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_crash_costs_one_video(jobs: int) -> None:
    names = ("good-1", "crash-1", "bad-1", "exit-1", "good-2", "crash-2", "good-3")
    found = outcomes(list(crew(jobs).run(tasks(*names), ORDER)))
    assert set(found) == set(names)
    assert {name for name, outcome in found.items() if outcome.succeeded} == {"good-1", "good-2", "good-3"}
    assert "SIGSEGV" in found["crash-1"].reason and "upside down" in found["crash-1"].log
    assert "exit code 3" in found["exit-1"].reason
    assert found["bad-1"].reason == "blurred"


def test_a_worker_does_many_videos() -> None:
    found = outcomes(list(crew(1).run(tasks("good-1", "good-2", "good-3"), ORDER)))
    assert len({outcome.log for outcome in found.values()}) == 1


def test_what_takes_too_long_is_given_up() -> None:
    order = WorkOrder(RunConfig(), time_limit_s=0.5)
    found = outcomes(list(crew(2).run(tasks("hang", "good-1", "good-2"), order)))
    assert not found["hang"].succeeded and "longer than" in found["hang"].reason
    assert found["good-1"].succeeded and found["good-2"].succeeded


def test_leaving_lets_workers_tidy_up(tmp_path: Path) -> None:
    me = psutil.Process()
    before = set(me.children(recursive=True))
    events = crew(2).run(tasks("hang-1", "hang-2", "good", out=tmp_path), ORDER)
    seen = [next(events) for _ in range(4)]
    assert sum(isinstance(event, TaskAdvanced) for event in seen) == 2
    events.close()  # type: ignore[attr-defined]
    assert {path.name for path in tmp_path.iterdir()} == {"hang-1", "hang-2"}
    assert set(me.children(recursive=True)) == before


def test_a_killed_worker_is_told() -> None:
    """As the system kills one when memory runs out."""
    events = crew(1).run(tasks("hang", "good"), ORDER)
    wait_for(events, lambda event: isinstance(event, TaskAdvanced))
    psutil.Process().children()[-1].send_signal(signal.SIGKILL)
    found = outcomes(list(events))
    assert "killed" in found["hang"].reason and "memory" in found["hang"].reason
    assert found["good"].succeeded


def wait_for(events: object, wanted: Callable[[Event], bool]) -> None:
    while not wanted(next(events)):  # type: ignore[call-overload]
        pass


def test_a_worker_ends_with_its_batch() -> None:
    """The real worker, whose batch was killed before it had an order: its input ends."""
    command = [sys.executable, "-P", "-m", "dancedepth.pipeline.worker"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_orders_survive_the_pipe() -> None:
    task = Task("a\nb [x].mp4", Path("/v/\udcff.mp4"), Path("/out/\udcff.mp4"))
    order = WorkOrder(RunConfig(seed=7), overwrite=True, trust=True)
    line = order_line(task, order)
    assert "\n" not in line
    assert parse_order(line) == (task, order)


def test_deaths_in_words() -> None:
    assert "memory" in why_it_died(-signal.SIGKILL)
    assert "SIGABRT" in why_it_died(-signal.SIGABRT)


def test_as_many_jobs_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dancedepth.pipeline.crew.usable_cores", lambda: 16)
    monkeypatch.setattr("dancedepth.pipeline.crew.cuda_devices", lambda: ())
    for free_mb, videos, expected in ((1000, 9, 1), (10_000, 9, 3), (100_000, 99, 8), (100_000, 4, 4)):
        monkeypatch.setattr("dancedepth.pipeline.crew.free_memory_mb", lambda free=free_mb: free)
        assert fitting_jobs(videos) == expected
