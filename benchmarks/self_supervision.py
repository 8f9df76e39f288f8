"""What unlabelled videos teach: rendered clips play them, and their truth is used for scores only.

    python benchmarks/self_supervision.py OUT --weights FILE [--wardrobe DIR --mocap DIR] [--steps 60] [--seeds 2]

Every cell of the table is one short training from the given weights: on labelled made-up people alone, or with pairs of
frames of the clips and one loss, or all. What is there is kept: a run that was cut off goes on with the cell, and the
step, where it was. Writes OUT/results.json and OUT/table.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from clip_scores import Score, Unlabelled, correspondence_errors, mean_score, render_clips, score, unlabelled_clips
from dancedepth.models.body_file import load_body
from dancedepth.models.checkpoint import load_weights
from dancedepth.models.hdnet import HDNet
from dancedepth.models.pose_energy import FitWeights
from dancedepth.models.precision import has_bfloat16
from dancedepth.models.weights import cache_folder
from dancedepth.pipeline.adaptation import adapt
from dancedepth.pipeline.body_motion import fit_body
from dancedepth.pipeline.config import BodyMotionConfig, RunConfig
from dancedepth.pipeline.ingredients import find_ingredients
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.storage import read_json, write_json
from dancedepth.pipeline.training.clip_pairs import find_pairs
from dancedepth.pipeline.training.config import DataConfig, PairLossConfig, TrainConfig, VideosConfig
from dancedepth.pipeline.training.loop import train
from dancedepth.pipeline.training.objective import Scores
from dancedepth.pipeline.training.video_pairs import ClipReport, prepare_videos
from pair_ceiling import ceiling, true_pairs

START, STILL = "the weights as given", "the same, the body fitted without optical flow"
SUPERVISED, ADAPT = "supervised only", "adapted to each clip (`--adapt`)"
TOLD = "adapted, correspondences from the truth"
DEFAULT = PairLossConfig()
ANCHORED = replace(DEFAULT, warp=0, photometric=0, turned_normals=0, agreement=0, smoothness=0)
LESSONS = {
    "+ depth-normal agreement": replace(ANCHORED, agreement=DEFAULT.agreement),
    "+ warp": replace(ANCHORED, warp=DEFAULT.warp),
    "+ photometric": replace(ANCHORED, photometric=DEFAULT.photometric),
    "+ turned normals": replace(ANCHORED, turned_normals=DEFAULT.turned_normals),
    "all": DEFAULT,
}
"""Beside the supervised losses; each keeps the anchor."""
LIKE_BEFORE = ("fit_error", "fine_folds", "long_wear")
"""Settings of the labelled people that are those of the given weights' own training."""
LEARNING_RATE = 3e-4
"""A fifth of that of a whole training: the weights are taught already."""


@dataclass(frozen=True)
class Experiment:
    """Where everything lies, and how much is done."""

    out: Path
    weights: Path
    wardrobe: Path | None
    mocap: Path | None
    steps: int
    people: int

    def config(self, seed: int, lesson: PairLossConfig | None) -> TrainConfig:
        """Of one cell."""
        made = load_weights(self.weights)[1]
        alike = {name: made.config["data"][name] for name in LIKE_BEFORE if name in made.config["data"]}
        data = DataConfig(
            views=6,
            people=self.people,
            validation_people=1,
            wardrobe=str(self.wardrobe) if self.wardrobe else None,
            mocap=str(self.mocap) if self.mocap else None,
            **alike,
        )
        videos = VideosConfig(folder=str(self.out / "videos") if lesson else None, loss=lesson or DEFAULT)
        return TrainConfig(
            preset=made.preset,
            steps=self.steps,
            batch=4,
            precision="bf16-mixed" if has_bfloat16(torch.device("cpu")) else "32-true",
            learning_rate=LEARNING_RATE,
            warmup=max(1, self.steps // 10),
            validate_every=self.steps,
            checkpoint_every=20,
            seed=seed,
            data=data,
            init=str(self.weights),
            videos=videos,
        )

    def train(self, name: str, seed: int, lesson: PairLossConfig | None) -> HDNet:
        """The networks of a cell."""
        folder = self.out / "cells" / f"{''.join(c if c.isalnum() else '-' for c in name).strip('-')}-{seed}"
        lines = _Lines(f"{name}, seed {seed}")
        cache, people = self.out / "cache", self.out / "people"
        train(self.config(seed, lesson), folder, cache_folder(), lines, people, "cpu", videos_cache=cache)
        return load_weights(folder / "weights.safetensors")[0]


def run(
    out: Annotated[Path, typer.Argument(help="Folder for clips, trainings, results.json and table.md.")],
    weights: Annotated[Path, typer.Option(help="Weights to start from, that `dancedepth train` wrote.")],
    wardrobe: Annotated[Path | None, typer.Option(help="A folder of MakeHuman clothes/, hair/ and skins/.")] = None,
    mocap: Annotated[Path | None, typer.Option(help="A folder of BVH files.")] = None,
    steps: Annotated[int, typer.Option(help="Of each training, and of each adaptation.")] = 60,
    seeds: Annotated[int, typer.Option(help="Trainings of each row.")] = 2,
    clips: Annotated[int, typer.Option(help="How many clips, at most four.")] = 3,
    seconds: Annotated[float, typer.Option(help="Length of each.")] = 3.0,
    people: Annotated[int, typer.Option(help="Labelled people of each seed.")] = 16,
    only: Annotated[list[str] | None, typer.Option(help="Rows to run, by name; may be repeated.")] = None,
) -> None:
    """Fill the table, cell by cell."""
    found = render_clips(out / "clips", clips, seconds, wardrobe, mocap)
    (out / "videos").mkdir(exist_ok=True)
    for clip in found:
        if not (out / "videos" / f"{clip.name}.mp4").is_file():
            shutil.copyfile(clip / "video.mp4", out / "videos" / f"{clip.name}.mp4")
    experiment = Experiment(out, weights.resolve(), wardrobe, mocap, steps, people)
    prepare_videos(experiment.config(0, DEFAULT), out / "cache", cache_folder(), "cpu", _Lines("videos"))
    body = load_body(cache_folder())
    known = unlabelled_clips(out / "cache", out / "clips", body)
    results = read_json(out / "results.json") if (out / "results.json").is_file() else {}
    if "correspondences" not in results:
        results["correspondences"] = [asdict(row) for clip in known for row in correspondence_errors(clip, body)]
        write_json(out / "results.json", results)
    if "ceilings" not in results:
        net = load_weights(experiment.weights)[0]
        results["ceilings"] = [asdict(ceiling(net, clip, body)) for clip in known]
        write_json(out / "results.json", results)
    for name, seed, make in _cells(experiment, known, seeds):
        cell = f"{name} / {seed}"
        if cell not in results and (not only or name in only):
            results[cell] = asdict(make())
            write_json(out / "results.json", results)
            print(f"{cell}: {results[cell]}", flush=True)  # noqa: T201 (a program of its own)
    table = markdown(results)
    (out / "table.md").write_text(table)
    print(table)  # noqa: T201


def _cells(
    experiment: Experiment, clips: list[Unlabelled], seeds: int
) -> Iterator[tuple[str, int, Callable[[], Score]]]:
    """Row, seed, and what makes the score."""
    yield START, 0, lambda: _scored(load_weights(experiment.weights)[0], clips)
    yield STILL, 0, lambda: _scored(load_weights(experiment.weights)[0], [_without_flow(clip) for clip in clips])
    for seed in range(seeds):
        yield SUPERVISED, seed, lambda seed=seed: _scored(experiment.train(SUPERVISED, seed, None), clips)
        for name, lesson in LESSONS.items():
            yield name, seed, lambda n=name, s=seed, w=lesson: _scored(experiment.train(n, s, w), clips)
        yield ADAPT, seed, lambda seed=seed: _adapted(experiment, clips, seed)
        yield TOLD, seed, lambda seed=seed: _adapted(experiment, clips, seed, told=True)


def _without_flow(clip: Unlabelled) -> Unlabelled:
    """The clip with a body that was not told how the picture moves."""
    seen = (clip.frames, clip.tracks, clip.mattes, clip.body, clip.motion.camera)
    finders = find_ingredients(RunConfig(), "cpu").finders()
    motion = fit_body(*seen, finders, BodyMotionConfig(), Silent(), FitWeights(image_motion=0.0))
    return replace(clip, motion=motion)


def _scored(net: HDNet, clips: list[Unlabelled]) -> Score:
    return mean_score([score(net, clip) for clip in clips])


def _adapted(experiment: Experiment, clips: list[Unlabelled], seed: int, told: bool = False) -> Score:
    """Each clip by a copy of the networks of its own; `told`, with pairs that the truth made."""
    net, body = load_weights(experiment.weights)[0], load_body(cache_folder())
    scores = []
    for clip in clips:
        watched = (clip.frames, clip.tracks, clip.mattes, clip.motion)
        find = partial(true_pairs, clip) if told else find_pairs
        scores.append(score(adapt(net, *watched, body, experiment.steps, seed, Silent(), find).net, clip))
    return mean_score(scores)


def markdown(results: dict[str, dict[str, float]]) -> str:
    """One row a kind of training: means over clips and seeds, the spread over seeds, change against its reference."""
    rows: dict[str, list[Score]] = {name: [] for name in (START, STILL, SUPERVISED, *LESSONS, ADAPT, TOLD)}
    for cell, values in results.items():
        if " / " in cell:
            rows[cell.rsplit(" / ", 1)[0]].append(Score(**values))
    rows = {name: scores for name, scores in rows.items() if scores}
    titles = ("normals, deg", "depth, mm after one scale", "depth, mm after a scale a frame", "depth's normals, deg")
    lines = ["| training | seeds | " + " | ".join(titles) + " |", "|---|---:|" + "---:|" * len(titles)]
    for name, scores in rows.items():
        reference = rows.get(START if name in (START, STILL, SUPERVISED, ADAPT, TOLD) else SUPERVISED, scores)
        columns = [_column(_values(scores, k), _values(reference, k)) for k in asdict(scores[0])]
        lines.append(f"| {name} | {len(scores)} | " + " | ".join(columns) + " |")
    return "\n".join(lines) + "\n"


def _values(scores: list[Score], field: str) -> torch.Tensor:
    return torch.tensor([getattr(one, field) for one in scores])


def _column(values: torch.Tensor, reference: torch.Tensor) -> str:
    spread = f" ± {float(values.std()):.2f}" if len(values) > 1 else ""
    change = float(values.mean() / reference.mean() - 1)
    return f"{float(values.mean()):.2f}{spread}" + (f" ({change:+.1%})" if values is not reference else "")


class _Lines:
    """A line now and then."""

    def __init__(self, title: str) -> None:
        self._title = title

    def stepped(self, step: int, steps: int, loss: float, seconds_left: float) -> None:
        """How far."""
        print(f"{self._title}: step {step}/{steps}, loss {loss:.3f}, {seconds_left:.0f} s left", flush=True)  # noqa: T201

    def validated(self, step: int, scores: Scores) -> None:
        """The clips are what counts."""

    def clip_prepared(self, number: int, count: int, report: ClipReport) -> None:
        """What a clip gives."""
        print(f"video {number}/{count}: {report}", flush=True)  # noqa: T201


if __name__ == "__main__":
    typer.run(run)
