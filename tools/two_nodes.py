"""A batch on two nodes of a Ray cluster, of which one is killed half way: is anything lost, or done twice?

    python tools/two_nodes.py OUT [VIDEO ...]

Both nodes are on this machine, one core each. Without videos, six copies of a rendered second are taken. Prints what
happens as it happens, and at the end every video with the nodes on which work on it began and finished. Exits 1 if a
video is not done, or was finished other than once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import ray
import typer
from dancedepth.pipeline.batch import run_batch
from dancedepth.pipeline.batch_record import BatchRecord, VideoLine
from dancedepth.pipeline.batch_videos import BatchVideo
from dancedepth.pipeline.batch_work import Outcome, Task, WorkOrder, work_on
from dancedepth.pipeline.config import DepthsConfig, FramesConfig, FusionConfig, RunConfig
from dancedepth.pipeline.ray_engine import RayEngine
from dancedepth.pipeline.records import Observer
from ray.cluster_utils import Cluster

COPIES = 6
KILLED_AFTER = 2
"""Videos that are done when the node is killed."""
QUICK = RunConfig(
    frames=FramesConfig(fps=4, end_s=1.0),
    depths=DepthsConfig(model="body"),
    fusion=FusionConfig(voxel_m=0.02, truncation_m=0.06, texture_px=512),
    device="cpu",
)
OBJECT_STORE_BYTES = 80_000_000


def two_nodes(
    out: Annotated[Path, typer.Argument(help="Folder for the runs; an earlier one is replaced.")],
    videos: Annotated[list[Path] | None, typer.Argument(help="By default copies of a rendered second.")] = None,
) -> None:
    """Run, kill, look."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    chosen = [BatchVideo(path.name, path.absolute()) for path in videos or rendered(out / "videos")]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": OBJECT_STORE_BYTES})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES) for _ in range(2)]
    cluster.wait_for_nodes()
    told = Teller(cluster, nodes)
    engine = RayEngine(cluster.address, cpus=1, gpus=0, work=noted)
    (out / "runs").mkdir()
    record = run_batch(chosen, out / "runs", WorkOrder(QUICK), engine, told)
    told.say(f"{record.count('done')} of {len(chosen)} done")
    cluster.shutdown()
    raise typer.Exit(int(not well(record, out / "runs" / "nodes.log")))


def rendered(folder: Path) -> list[Path]:
    """Copies of a small clip of a dancer."""
    from dancedepth.models.body_file import load_body
    from dancedepth.models.weights import BODY, fetch
    from dancedepth.pipeline.records import Silent
    from dancedepth.pipeline.synthesis.clip import make_clip
    from dancedepth.pipeline.synthesis.config import SynthConfig

    config = SynthConfig(seconds=1.0, fps=12, width=240, height=426, supersampling=1)
    clip = make_clip(config, folder / "clip", load_body(fetch(BODY).parent), Silent())
    return [Path(shutil.copyfile(clip.video, folder / f"{number}.mp4")) for number in range(COPIES)]


def noted(task: Task, order: WorkOrder, observer: Observer) -> Outcome:
    """Work on a video as ever, and note where."""
    assert isinstance(task.out, Path)
    log_file = task.out.parent / "nodes.log"
    node = ray.get_runtime_context().get_node_id()[:6]

    def note(what: str) -> None:
        with log_file.open("a") as log:
            log.write(f"{task.name}\t{what} on {node}\n")

    note("began")
    outcome = work_on(task, order, observer)
    note("finished" if outcome.succeeded else "failed")
    return outcome


class Teller:
    """Prints what happens, and kills a node on the way."""

    def __init__(self, cluster: Any, nodes: Sequence[Any]) -> None:
        self._cluster, self._nodes = cluster, list(nodes)
        self._started_s, self._done = time.monotonic(), 0

    def say(self, line: str) -> None:
        """With the time."""
        typer.echo(f"{time.monotonic() - self._started_s:6.1f} s  {line}")

    def began(self, lines: Sequence[VideoLine]) -> None:
        """The batch knows its videos."""
        self.say(f"{len(lines)} videos, nodes {', '.join(node.node_id[:6] for node in self._nodes)}")

    def started(self, name: str) -> None:
        """Handed to the cluster."""

    def advanced(self, name: str, stage: str, done: int, total: int | None) -> None:
        """Nodes do not tell."""

    def ended(self, line: VideoLine) -> None:
        """A video is done; after some of them a node is lost."""
        self.say(f"{line.name} {line.status} {line.reason}".rstrip())
        self._done += 1
        if self._done == KILLED_AFTER:
            self._cluster.remove_node(self._nodes[0], allow_graceful=False)
            self.say(f"node {self._nodes[0].node_id[:6]} killed")


def well(record: BatchRecord, log: Path) -> bool:
    """Print who did what; whether each video is done, and was finished once."""
    notes = [line.split("\t") for line in log.read_text().splitlines()]
    whole = True
    for line in record.videos:
        mine = [note for name, note in notes if name == line.name]
        whole &= line.status == "done" and sum(note.startswith("finished") for note in mine) == 1
        typer.echo(f"{line.name}: {', '.join(mine)}")
    return whole


if __name__ == "__main__":
    typer.run(two_nodes)
