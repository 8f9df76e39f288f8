"""Two nodes of a Ray cluster on this machine: one is lost half way, and nothing is lost with it or done twice."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dancedepth.pipeline.batch_work import Outcome, Task, TaskEnded, TaskStarted, WorkOrder
from dancedepth.pipeline.config import RunConfig
from dancedepth.pipeline.ray_engine import RayEngine, Work
from dancedepth.pipeline.records import Observer
from dancedepth.pipeline.remote_run import run_to_url

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'dancedepth[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
VIDEOS = 10
ORDER = WorkOrder(RunConfig())


def pretend(task: Task, order: WorkOrder, observer: Observer) -> Outcome:
    """Notes in the shared folder that it began, and on which node, and that it finished."""
    node = ray.get_runtime_context().get_node_id()
    with (task.out / "log").open("a") as log:
        log.write(f"began {task.name} {node}\n")
    time.sleep(1.0)
    if "crash" in task.name:
        os._exit(1)
    if "slow" in task.name:
        time.sleep(60)
    with (task.out / "log").open("a") as log:
        log.write(f"finished {task.name} {node}\n")
    return Outcome("bad" not in task.name, 1.0, "nobody was found" if "bad" in task.name else "")


def pretend_and_put(task: Task, order: WorkOrder, observer: Observer) -> Outcome:
    """A run that is made on its node and put to the task's URL."""
    log = Path(str(task.out).removeprefix("file://")).parents[1] / "log"

    def make(scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"made {task.name} {ray.get_runtime_context().get_node_id()}\n")
        time.sleep(1.0)
        (scratch / "report.html").write_text(task.name)
        (scratch / "run.json").write_text("{}")

    run_to_url(task.video, str(task.out), order.config, False, observer, make)
    return Outcome(True, 1.0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores, and two nodes of one core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
    yield made
    made.shutdown()


@pytest.fixture
def nodes(cluster: Any) -> Iterator[list[Any]]:
    added = [cluster.add_node(num_cpus=1, object_store_memory=80_000_000) for _ in range(2)]
    cluster.wait_for_nodes()
    yield added
    for node in added:
        if node in cluster.list_all_nodes():
            cluster.remove_node(node)


def engine(cluster: Any, work: Work = pretend) -> RayEngine:
    return RayEngine(cluster.address, cpus=1, gpus=0, work=work)


def tasks(folder: Path, *names: str) -> list[Task]:
    return [Task(name, folder / name, folder) for name in names]


def test_a_lost_node_costs_nothing(cluster: Any, nodes: list[Any], tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(VIDEOS)]
    ended: list[TaskEnded] = []
    for event in engine(cluster).run(tasks(tmp_path, *names), ORDER):
        if isinstance(event, TaskEnded):
            ended.append(event)
            if len(ended) == 3:
                cluster.remove_node(nodes[0], allow_graceful=False)
    assert Counter(event.task.name for event in ended) == Counter(names), "each ends exactly once"
    assert all(event.outcome.succeeded for event in ended)
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    began = Counter(name for what, name, _ in lines if what == "began")
    finished = Counter(name for what, name, _ in lines if what == "finished")
    assert finished == Counter(names), "none is done twice"
    assert len({node for _, _, node in lines}) == 2, "both nodes worked"
    assert VIDEOS <= sum(began.values()) <= VIDEOS + 1, "only what the lost node had begun is begun again"


def test_results_of_a_lost_node_reach_their_url(cluster: Any, nodes: list[Any], tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(6)]
    for name in names:
        (tmp_path / name).write_text(name)
    given = [Task(name, tmp_path / name, f"file://{tmp_path}/out/{name}") for name in names]
    ended: list[TaskEnded] = []
    for event in engine(cluster, pretend_and_put).run(given, ORDER):
        if isinstance(event, TaskEnded):
            ended.append(event)
            if len(ended) == 2:
                cluster.remove_node(nodes[0], allow_graceful=False)
    assert Counter(event.task.name for event in ended) == Counter(names)
    assert [event.outcome.reason for event in ended if not event.outcome.succeeded] == []
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {f"{name}/{file}" for name in names for file in ("report.html", "run.json")}
    assert all((tmp_path / "out" / name / "report.html").read_text() == name for name in names)
    made = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert len({node for _, _, node in made}) == 2 and len(names) <= len(made) <= len(names) + 1


def test_failures_are_outcomes(cluster: Any, nodes: list[Any], tmp_path: Path) -> None:
    events = engine(cluster).run(tasks(tmp_path, "good", "bad", "crash"), ORDER)
    ended = {event.task.name: event.outcome for event in events if isinstance(event, TaskEnded)}
    assert ended["good"].succeeded
    assert ended["bad"].reason == "nobody was found"
    assert "process was lost" in ended["crash"].reason
    began = (tmp_path / "log").read_text().count("began crash")
    assert began > 1, "a lost process is given another chance"


def test_leaving_stops_the_work(cluster: Any, nodes: list[Any], tmp_path: Path) -> None:
    events = engine(cluster).run(tasks(tmp_path, "slow-1", "slow-2", "slow-3"), ORDER)
    assert isinstance(next(events), TaskStarted)
    deadline = time.monotonic() + 120
    while not (tmp_path / "log").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    started = time.monotonic()
    events.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 55
    assert "finished" not in (tmp_path / "log").read_text()
