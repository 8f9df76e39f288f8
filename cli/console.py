"""What a run looks like in the terminal: progress of each stage, a summary at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dancedepth.pipeline.manifest import AdaptationRecord
    from dancedepth.pipeline.reconstruct import RunSummary

TITLES = {
    "tracks": "following the dancer",
    "mattes": "cutting out",
    "body_motion": "fitting the body",
    "depths": "depth and normals",
    "points": "making point clouds",
    "fusion": "fusing the surface",
    "rig": "rigging",
    "report": "preview and report",
    "people": "making people up",
}
"""Stages as the user reads them."""
PLAIN_WIDTH = 100
"""Columns of the summary where there is no terminal."""


class StageProgress:
    """An `Observer` that draws one line a stage, with rate and time left; nothing where there is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream)
        self._progress = Progress(
            TextColumn("{task.description:<21}"),
            BarColumn(bar_width=18),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._name = ""

    def __enter__(self) -> StageProgress:
        self._progress.start()
        self.stage_started("preparing", None)
        return self

    def __exit__(self, *error: object) -> None:
        self._drop_preparation()
        self._progress.stop()

    def stage_started(self, name: str, total: int | None) -> None:
        """A line for the stage; of the same stage again, only the total is new."""
        if name == self._name and self._task is not None:
            self._progress.update(self._task, total=total)
            return
        self._drop_preparation()
        self._name = name
        self._task = self._progress.add_task(TITLES.get(name, name), total=total)

    def advanced(self, count: int = 1) -> None:
        """The bar grows."""
        if self._task is not None:
            self._progress.advance(self._task, count)

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        """The bar is full."""
        if reused:
            self._drop_preparation()
            self._name = name
            self._task = self._progress.add_task(f"{TITLES.get(name, name)} [dim](done before)", total=1, completed=1)
        if self._task is not None:
            task = next(task for task in self._progress.tasks if task.id == self._task)
            done = max(task.completed, 1)
            self._progress.update(self._task, total=done, completed=done)
            self._progress.stop_task(self._task)

    def _drop_preparation(self) -> None:
        if self._name == "preparing" and self._task is not None:
            self._progress.remove_task(self._task)
            self._task, self._name = None, ""


class _RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """The present speed, or the whole stage's once it is done."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:5.1f}/s" if speed else "       ", style="cyan")


def summary(run: RunSummary) -> Group:
    """Stage seconds, frames used, quality, where the files are, and what to know about the footage."""
    return Group(_stage_table(run), _facts(run), *(_warning(text) for text in run.manifest.warnings))


def print_summary(run: RunSummary, stream: TextIO) -> None:
    """The summary, in colour on a terminal and as plain text elsewhere."""
    console = Console(file=stream)
    if not console.is_terminal:
        console = Console(file=stream, width=PLAIN_WIDTH)
    console.print(summary(run), highlight=False)


def summary_json(run: RunSummary) -> dict[str, Any]:
    """The summary for machines; `reused` stages had been finished before."""
    from dataclasses import asdict

    values = asdict(run.manifest)
    chosen = ("stages", "camera", "scale", "person", "quality", "adaptation", "peak_memory_mb", "warnings", "input")
    for stage in values["stages"]:
        stage["reused"] = stage["name"] in run.reused
    return {
        "out": str(run.out),
        "frames_total": len(run.manifest.frames),
        "frames_used": sum(frame.used for frame in run.manifest.frames),
        "files": files(run),
        **{name: values[name] for name in chosen},
    }


def files(run: RunSummary) -> dict[str, str]:
    """What the run folder holds, by what it is."""
    seen = ("run.json", "tracks.json", "motion.npz", "masks", "depth", "normals", "points")
    made = ("mesh.ply", "mesh.glb", "dancer.glb", "preview.mp4", "report.html")
    return {name: str(run.out / name) for name in seen + made if (run.out / name).exists()}


def _stage_table(run: RunSummary) -> Table:
    table = Table("stage", box=box.SIMPLE_HEAD)
    for heading in ("seconds", "frames", "s/frame"):
        table.add_column(heading, justify="right")
    for stage in run.manifest.stages:
        title = TITLES.get(stage.name, stage.name) + (" (done before)" if stage.name in run.reused else "")
        table.add_row(title, *_amounts(stage.seconds, stage.frames))
    seconds = sum(stage.seconds for stage in run.manifest.stages)
    table.add_section()
    table.add_row("all", *_amounts(seconds, len(run.manifest.frames)), style="bold")
    return table


def _amounts(seconds: float, frames: int) -> tuple[str, str, str]:
    return f"{seconds:.1f}", str(frames), f"{seconds / max(frames, 1):.3f}"


def _facts(run: RunSummary) -> Padding:
    manifest = run.manifest
    used = sum(frame.used for frame in manifest.frames)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("frames used", f"{used} of {len(manifest.frames)}{_why_not(run)}")
    if manifest.quality.reprojection_error_px is not None:
        facts.add_row(
            "body fit", f"{manifest.quality.reprojection_error_px:.1f} px from the detected joints on average"
        )
    if manifest.quality.smoothness is not None:
        facts.add_row("smoothness", f"{manifest.quality.smoothness:.1f} m/s² mean acceleration of the joints")
    if manifest.quality.coverage is not None:
        facts.add_row("coverage", f"{manifest.quality.coverage:.0%} of the surface was seen")
    if manifest.quality.silhouette_iou is not None:
        facts.add_row("outline", f"{manifest.quality.silhouette_iou:.2f} overlap of surface and dancer in the pictures")
    if manifest.quality.skirt_m is not None:
        facts.add_row("skirt or coat", f"hangs to {100 * manifest.quality.skirt_m:.0f} cm below the crotch")
    if manifest.adaptation:
        facts.add_row("adaptation", _adaptation(manifest.adaptation))
    if manifest.scale:
        facts.add_row("scale", f"{manifest.scale.height_m:.2f} m tall ({manifest.scale.source})")
    if manifest.camera:
        facts.add_row("focal length", f"{manifest.camera.focal_px:.0f} px ({manifest.camera.source})")
    facts.add_row("memory", f"{manifest.peak_memory_mb:.0f} MB at most")
    if manifest.stage("fusion"):
        for title, name in (("dancer", "dancer.glb"), ("look at it", "report.html")):
            if (run.out / name).exists():
                facts.add_row(title, Text(str(run.out / name), overflow="fold"))
    facts.add_row("everything", Text(str(run.out), overflow="fold"))
    return Padding(facts, (0, 2))


def _adaptation(record: AdaptationRecord) -> str:
    if record.why_not:
        return f"none: {record.why_not}"
    total = next(loss for loss in record.losses if loss.name == "total")
    return (
        f"{record.steps} steps on {record.pairs} pairs of frames: losses {total.before:.3f} to {total.after:.3f}; "
        f"depth moved by {record.depth_change_mm:.1f} mm, normals by {record.normal_change_deg:.1f}° on average"
    )


def _why_not(run: RunSummary) -> str:
    reasons: dict[str, int] = {}
    for frame in run.manifest.frames:
        if frame.why_not:
            reasons[frame.why_not] = reasons.get(frame.why_not, 0) + 1
    return f" ({'; '.join(f'{count}: {reason}' for reason, count in reasons.items())})" if reasons else ""


def _warning(text: str) -> Padding:
    return Padding(Text.assemble(("note  ", "bold yellow"), text), (0, 2))
