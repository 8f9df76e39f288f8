"""Everything a training can be told; defaults live here, files override them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from dancedepth.models.hdnet import PRESETS
from dancedepth.pipeline.errors import UsageError

OPTIMIZERS = ("adamw", "muon")
NETWORKS = ("both", "normals", "depth", "head")


def _require(condition: bool, option: str, what: str) -> None:
    if not condition:
        raise UsageError(what, option, "Mend the training's config file.")


@dataclass(frozen=True)
class DataConfig:
    """The people who are made up."""

    views: int = 12
    """Pictures of each person; each has its own pose, heading, camera and light."""
    people: int = 300
    """People who are at hand at any time; each sample is drawn from them."""
    fresh_people: float = 0.0
    """People who are replaced by new ones for every step; 0: the same people throughout."""
    validation_people: int = 8
    """People with held-out seeds, clothes, hair, skins and motions."""
    wardrobe: str | None = None
    """A folder of MakeHuman assets; None: everything is procedural."""
    mocap: str | None = None
    """A folder of BVH files; None: dances are made up."""
    wardrobe_share: float = 0.5
    """Of the people who wear assets."""
    mocap_share: float = 0.5
    """Of the people who move as a BVH file says."""
    fit_error: float = 1.5
    """How far off the body is that the networks are given; 1: as `fit_errors` says. At 1 the given normals are 17
    degrees and the depth 39 mm off (validation people); a real fit of one clip 25 degrees and 52 mm."""
    detail: int = 1
    """How finely cloth is divided: 1 for 12 mm edges, 2 for half of that at 1.7 times the work."""
    fine_folds: bool = False
    """Whether clothes have folds that are finer than their meshes, drawn with them (`synthesis/folds.py`)."""
    long_wear: bool = False
    """Whether some wear dresses, coats and loose sleeves."""
    heads: bool = False
    """Whether the pictures are of heads from nearer, as `networks = "head"` is taught with."""
    workers: int = 2
    """Processes that make people up; 0: the training itself does, when it needs them."""

    def __post_init__(self) -> None:
        _require(self.views >= 1 and self.people >= 1, "data.people", "there must be people and views of them")
        _require(self.fresh_people >= 0, "data.fresh_people", "this is a number of people a step, 0 or more")
        _require(self.workers >= 0, "data.workers", "this is a number of processes, 0 or more")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses."""

    normals: float = 1.0
    """Length of the difference of unit normals."""
    depth_l1: float = 0.5
    """Of depth errors in units of `OFFSET_UNIT`."""
    depth_l2: float = 0.05
    """Of the same, squared."""
    scale_invariant: float = 2.0
    """Variance of the logarithm of the depth's ratio to the truth, times 1000."""
    depth_normals: float = 0.3
    """Of the depth's own normals against the true ones."""
    agreement: float = 0.1
    """Of the depth's own normals against the predicted ones."""
    normal_changes: float = 0.0
    """Of how normals change from pixel to pixel against how the true ones do: folds, which are few degrees each."""
    likelihood: float = 0.1
    """Of the announced errors."""


@dataclass(frozen=True)
class PairLossConfig:
    """Weights of what pairs of unlabelled frames teach."""

    warp: float = 5.0
    """Part-wise warp, as in the paper."""
    along: float = 1.0
    """How much of the warp's distance within the surface counts, 0-1; the paper's distance: 1."""
    photometric: float = 0.5
    """Colours of corresponding points."""
    turned_normals: float = 0.5
    """Normals of corresponding points, turned as their parts turn."""
    agreement: float = 0.3
    """Of the depth's own normals against the predicted ones."""
    smoothness: float = 0.05
    """Edge-aware, of depth."""
    anchor: float = 0.05
    """Squared distance of depth from a network that stands still, or from the body, in 2 cm."""
    anchor_normals: float = 0.3
    """Difference of normals from those of a network that stands still."""


@dataclass(frozen=True)
class VideosConfig:
    """Unlabelled videos, mixed in."""

    folder: str | None = None
    """A folder of clips; None: none."""
    fps: float = 12.0
    """Frames a second of them that are looked at."""
    batch: int = 2
    """Pairs of frames a step, on each device."""
    points: int = 2048
    """Correspondences of a pair in a step."""
    start: int = 0
    """The first step that they are part of."""
    loss: PairLossConfig = field(default_factory=PairLossConfig)

    def __post_init__(self) -> None:
        _require(self.batch >= 1 and self.points >= 1, "videos.batch", "there must be pairs and points of them")
        _require(0 < self.fps <= 240, "videos.fps", "a frame rate lies between 0 and 240")


@dataclass(frozen=True)
class TrainConfig:
    """One training."""

    preset: str = "small"
    """Of `models.hdnet.PRESETS`."""
    steps: int = 3000
    """Optimiser steps."""
    batch: int = 4
    """Samples a step, on each device."""
    optimizer: str = "adamw"
    """`adamw`, or `muon`, with which untaught networks learn faster; see `training/muon.py`."""
    learning_rate: float = 1.5e-3
    """At its highest; for `muon` that of the matrices, about 0.02."""
    adam_rate: float = 2e-3
    """For `muon`, the rate of all else at its highest."""
    warmup: int = 100
    """Steps until then; a cosine to nearly nothing follows."""
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    """Largest norm of a step's gradient."""
    ema: float = 0.998
    """Share of the averaged weights that a step keeps."""
    precision: str = "auto"
    """`auto`: bf16-mixed on CUDA, 32-true on CPU; or one of Fabric's names."""
    validate_every: int = 500
    checkpoint_every: int = 250
    log_every: int = 20
    loaders: int = 6
    """Processes that read samples for a GPU; a CPU training reads them itself."""
    threads: int = 0
    """CPU threads of the training process; 0: as torch chooses."""
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    networks: str = "both"
    """`both`, or `normals` or `depth`: the other stays as it is, and a step takes half the time; or `head`, the normal
    network that sees heads from nearer, which begins as the other one."""
    init: str | None = None
    """Weights to start from, a file that `dancedepth train` wrote; None: untaught networks."""
    videos: VideosConfig = field(default_factory=VideosConfig)

    def __post_init__(self) -> None:
        _require(self.preset in PRESETS, "preset", f"there is no preset {self.preset!r}; there is {', '.join(PRESETS)}")
        _require(self.steps >= 1 and self.batch >= 1, "steps", "steps and batch are 1 or more")
        _require(self.optimizer in OPTIMIZERS, "optimizer", f"there is {' and '.join(OPTIMIZERS)}")
        _require(self.networks in NETWORKS, "networks", f"there is {', '.join(NETWORKS)}")
        _require(
            self.data.heads == (self.networks == "head"),
            "data.heads",
            'heads are what networks = "head" is taught with',
        )
        _require(
            not (self.data.heads and self.videos.folder),
            "videos",
            "videos teach the networks for whole people, not heads",
        )
        _require(0 <= self.ema < 1, "ema", "the average keeps a share between 0 and 1")
        _require(0 <= self.seed < 1000, "seed", "a training's seed lies between 0 and 999")

    def with_folders(self, wardrobe: Path | None, mocap: Path | None) -> TrainConfig:
        """The same with other folders of assets and motions, where they are given."""
        data = self.data
        if wardrobe is not None:
            data = replace(data, wardrobe=str(wardrobe.resolve()))
        if mocap is not None:
            data = replace(data, mocap=str(mocap.resolve()))
        return replace(self, data=data)

    def to_json(self) -> dict[str, Any]:
        """Nested plain values; of folders only the names."""
        values = asdict(self)
        for key in ("wardrobe", "mocap"):
            values["data"][key] = values["data"][key] and Path(values["data"][key]).name
        values["init"] = values["init"] and Path(values["init"]).name
        values["videos"]["folder"] = values["videos"]["folder"] and Path(values["videos"]["folder"]).name
        return values


def read_config(path: Path) -> TrainConfig:
    """A TOML or JSON file; folders in it are relative to it.

    Raises:
        UsageError: there is no such file, it is neither, or it names something that does not exist.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read the config ({error.strerror})", str(path), "Name a file.") from error
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"this is no TOML or JSON ({error})", str(path), "Mend the file.") from error
    for key in ("wardrobe", "mocap"):
        if isinstance(values.get("data"), dict) and values["data"].get(key):
            values["data"][key] = str((path.parent / values["data"][key]).resolve())
    if values.get("init"):
        values["init"] = str((path.parent / values["init"]).resolve())
    if isinstance(values.get("videos"), dict) and values["videos"].get("folder"):
        values["videos"]["folder"] = str((path.parent / values["videos"]["folder"]).resolve())
    config: TrainConfig = _built(TrainConfig, values, str(path))
    return config


def same_settings(there: dict[str, Any], config: TrainConfig) -> bool:
    """Whether a training's `config.json` says the same; settings that are younger than it have their defaults."""
    return _completed(there, TrainConfig().to_json()) == json.loads(json.dumps(config.to_json()))


def _completed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    nested = {k: _completed(values.get(k, {}), v) for k, v in defaults.items() if isinstance(v, dict)}
    return {**defaults, **values, **nested}


def _built(cls: type[Any], values: dict[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(cls)}
    for name in values:
        if name not in known:
            raise UsageError(f"there is no setting {name!r}", where, f"There is: {', '.join(known)}.")
    given = {}
    for name, value in values.items():
        default = known[name].default_factory
        nested = default if isinstance(default, type) and is_dataclass(default) else None
        given[name] = _built(nested, value, f"{where}: {name}") if nested else value
    return cls(**given)
