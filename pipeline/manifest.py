"""`run.json`: what was run, on what, with what, and how it went."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dancedepth.models.weights import sha256_of
from dancedepth.pipeline.config import RunConfig, config_from_json
from dancedepth.pipeline.errors import RunFolderError, StorageError
from dancedepth.pipeline.records import VideoInfo
from dancedepth.pipeline.storage import read_json, write_json

SCHEMA_VERSION = 1
"""Grows when a reader of older run folders would be misled."""


@dataclass(frozen=True)
class InputRecord:
    """The video, as displayed; two inputs are the same if their bytes are."""

    path: str
    sha256: str
    bytes: int
    width: int
    height: int
    fps: float
    rotation_deg: int
    duration_s: float | None
    codec: str


@dataclass(frozen=True)
class ProgramRecord:
    """What wrote the run folder."""

    name: str
    version: str
    torch: str


@dataclass(frozen=True)
class WeightsRecord:
    """A file of weights that a stage used."""

    stage: str
    file: str
    sha256: str


@dataclass(frozen=True)
class FrameRecord:
    """One frame of the clip, and why it was not used if it was not."""

    index: int
    time_s: float
    used: bool
    why_not: str | None


@dataclass(frozen=True)
class CameraRecord:
    """The lens, in pixels of the displayed video, and where it is known from."""

    focal_px: float
    cx: float
    cy: float
    source: str


@dataclass(frozen=True)
class ScaleRecord:
    """What makes the metres metres."""

    source: str
    height_m: float


@dataclass(frozen=True)
class PersonRecord:
    """Who was reconstructed."""

    track_id: int


@dataclass(frozen=True)
class QualityRecord:
    """How well the body fits and how smoothly it moves.

    `reprojection_error_px`: mean over the fitted frames of the confidence-weighted distance between the body's
    keypoints and the detected ones. `smoothness`: mean acceleration of the joints in m/s^2 (see `pipeline.smoothness`).
    `foot_sliding_m_s`: mean horizontal speed of the soles in `dancer.glb` while they stand, None if the camera moves or
    none stands; `foot_sliding_fitted_m_s`: the same in the body fit (see `pipeline.stands`).
    `coverage`: share of the surface's area that was seen. `fold_detail`: how much more its normals vary within 3 cm
    than the naked body's (mean squared length of the difference). `flicker_mm`: mean change of the depth from frame to
    frame, measured from the moving surface. `silhouette_iou`: intersection over union of the moving surface and the
    matte, mean over some frames (all four: `pipeline.surface_quality`). `skirt_m`: how far a skirt or coat hangs below
    the crotch; None where none was recognised (see `pipeline.skirt_evidence`).
    """

    reprojection_error_px: float | None
    smoothness: float | None
    foot_sliding_m_s: float | None = None
    foot_sliding_fitted_m_s: float | None = None
    coverage: float | None = None
    fold_detail: float | None = None
    flicker_mm: float | None = None
    silhouette_iou: float | None = None
    skirt_m: float | None = None


@dataclass(frozen=True)
class LossRecord:
    """A loss before and after adaptation."""

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class AdaptationRecord:
    """What the depth networks learned from the clip itself before its depths were written."""

    steps: int
    pairs: int
    """Pairs of frames that taught them."""
    losses: tuple[LossRecord, ...]
    depth_change_mm: float | None
    """Mean absolute change of depth; None where the networks were left as they were."""
    normal_change_deg: float | None
    why_not: str | None
    """Why they were left as they were."""


@dataclass(frozen=True)
class StageRecord:
    """A finished stage: what it took, and how many frames it produced something for."""

    name: str
    seconds: float
    frames: int


@dataclass(frozen=True)
class Manifest:
    """The whole of `run.json`; what is not known yet is None or empty."""

    input: InputRecord
    config: RunConfig
    program: ProgramRecord
    schema_version: int = SCHEMA_VERSION
    finished: bool = False
    weights: tuple[WeightsRecord, ...] = ()
    frames: tuple[FrameRecord, ...] = ()
    camera: CameraRecord | None = None
    scale: ScaleRecord | None = None
    person: PersonRecord | None = None
    stages: tuple[StageRecord, ...] = ()
    peak_memory_mb: float = 0.0
    warnings: tuple[str, ...] = ()
    quality: QualityRecord = field(default_factory=lambda: QualityRecord(None, None))
    adaptation: AdaptationRecord | None = None

    def stage(self, name: str) -> StageRecord | None:
        """A finished stage."""
        return next((stage for stage in self.stages if stage.name == name), None)


def new_manifest(info: VideoInfo, config: RunConfig, weights: tuple[WeightsRecord, ...] = ()) -> Manifest:
    """The manifest of a run that begins; reads the whole video once to hash it."""
    import torch

    program = ProgramRecord("dancedepth", version("dancedepth"), str(torch.__version__))
    return Manifest(_input_record(info), config, program, weights=weights)


def _input_record(info: VideoInfo) -> InputRecord:
    try:
        digest, size = sha256_of(info.path), info.path.stat().st_size
    except OSError as error:
        raise StorageError(f"the video cannot be read ({error.strerror})", str(info.path)) from error
    path = str(info.path.resolve())
    return InputRecord(
        path, digest, size, info.width, info.height, info.fps, info.rotation_deg, info.duration_s, info.codec
    )


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write `run.json`, whole or not at all."""
    write_json(path, asdict(manifest))


def read_manifest(path: Path) -> Manifest:
    """Read `run.json`.

    Raises:
        RunFolderError: it is of another schema or is no manifest.
        StorageError: it is not JSON.
    """
    return manifest_of(read_json(path), str(path))


def manifest_of(values: Any, where: str) -> Manifest:
    """What a `run.json` from `where` says.

    Raises:
        RunFolderError: it is of another schema or is no manifest.
    """
    try:
        if values["schema_version"] != SCHEMA_VERSION:
            what = f"this run was written by another version (schema {values['schema_version']}, not {SCHEMA_VERSION})"
            raise RunFolderError(what, where, "Choose another --out, or --overwrite")
        return _from_json(values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"this is not the manifest of a run ({error!r})"
        raise RunFolderError(what, where, "Choose another --out, or --overwrite") from error


_PARTS: dict[str, type[Any]] = {
    "input": InputRecord,
    "program": ProgramRecord,
    "quality": QualityRecord,
    "camera": CameraRecord,
    "scale": ScaleRecord,
    "person": PersonRecord,
    "adaptation": AdaptationRecord,
}
_LISTS: dict[str, type[Any]] = {"frames": FrameRecord, "stages": StageRecord, "weights": WeightsRecord}


def _from_json(values: dict[str, Any]) -> Manifest:
    built = dict(values)
    built["config"] = config_from_json(RunConfig, values["config"])
    for name, cls in _PARTS.items():
        built[name] = _record(cls, values[name]) if values.get(name) else None
    for name, cls in _LISTS.items():
        built[name] = tuple(_record(cls, value) for value in values[name])
    built["warnings"] = tuple(values["warnings"])
    if built["adaptation"]:
        changes = tuple(_record(LossRecord, value) for value in built["adaptation"].losses)
        built["adaptation"] = replace(built["adaptation"], losses=changes)
    return _record(Manifest, built)


def _record(cls: type[Any], values: dict[str, Any]) -> Any:
    known = {f.name for f in fields(cls)}
    return cls(**{name: value for name, value in values.items() if name in known})
