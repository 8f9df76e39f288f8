"""The options that make up a run's configuration, shared by every command that starts runs.

They are read off the configuration's dataclasses: type, default and help. A command takes them all with `@run_options`
and turns them into a `RunConfig` with `config_from`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin, get_type_hints

import typer
from dancedepth.cli.fields import default_of, help_of
from dancedepth.pipeline import config as c
from dancedepth.pipeline.errors import StorageError, UsageError

FRAMES, PERSON, LENS, SHAPE, MOTION, RUN = (
    "Frames",
    "Dancer",
    "Camera and scale",
    "Depth and surface",
    "Motion",
    "Run",
)
TRUNCATION_VOXELS = 3
"""Coarser voxels than the default's need a wider band around the surface."""
MM_PER_M = 1000

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True)
class RunOption:
    """A field of the configuration as an option of the command line."""

    flag: str
    field: str
    """Its section and name, `frames.fps`; without a section, of `RunConfig` itself."""
    panel: str
    metavar: str | None = None
    per_unit: float = 1
    """Of the option's units in one of the configuration's."""
    help: str | None = None
    """Instead of the field's docstring."""

    @property
    def name(self) -> str:
        """The command's parameter."""
        return self.flag.partition("/")[0].removeprefix("--").replace("-", "_")

    @property
    def section(self) -> str:
        """Of the configuration; empty for `RunConfig` itself."""
        return self.field.rpartition(".")[0]

    def parameter(self) -> inspect.Parameter:
        """As Typer reads it."""
        cls, field = _section_class(self.section), self.field.rpartition(".")[2]
        default, kind = default_of(cls, field), get_type_hints(cls)[field]
        if self.per_unit != 1:
            default = default * self.per_unit
        said = self.help or help_of(cls, field).replace("None:", "by default")
        option = typer.Option(self.flag, help=said, metavar=self.metavar, rich_help_panel=self.panel)
        shown = str if get_origin(kind) is Literal else kind  # the configuration checks its literals itself
        annotation = Annotated[shown, option]  # type: ignore[valid-type]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


OPTIONS = (
    RunOption("--fps", "frames.fps", FRAMES),
    RunOption("--start", "frames.start_s", FRAMES, "SECONDS"),
    RunOption("--end", "frames.end_s", FRAMES, "SECONDS"),
    RunOption("--person", "tracks.person", PERSON),
    RunOption("--pose-model", "tracks.pose_model", PERSON),
    RunOption("--landmark-model", "tracks.landmark_model", PERSON),
    RunOption("--hand-model", "body_motion.hand_model", PERSON),
    RunOption("--face-model", "body_motion.face_model", PERSON),
    RunOption("--min-confidence", "tracks.min_confidence", PERSON),
    RunOption("--segmenter", "mattes.segmenter", PERSON),
    RunOption("--matte-size", "mattes.work_side_px", PERSON, "PIXELS"),
    RunOption("--height", "body_motion.height_m", LENS, "METRES"),
    RunOption("--focal-px", "camera.focal_px", LENS, "PIXELS"),
    RunOption("--fov", "camera.fov_deg", LENS, "DEGREES"),
    RunOption("--depth-model", "depths.model", SHAPE),
    RunOption("--depth-weights", "depths.weights", SHAPE, "FILE"),
    RunOption("--adapt", "depths.adapt_steps", SHAPE, "STEPS"),
    RunOption("--voxel-mm", "fusion.voxel_m", SHAPE, per_unit=MM_PER_M, help="Side of a voxel of the surface, in mm."),
    RunOption("--refine-poses", "fusion.refine_poses", SHAPE, "TIMES"),
    RunOption("--smoothing-hz", "rig.smoothing_hz", MOTION, "HZ"),
    RunOption("--hold-feet/--no-hold-feet", "rig.hold_feet", MOTION),
    RunOption("--device", "device", RUN),
    RunOption("--seed", "seed", RUN),
)
"""Every option of a run's configuration, in the order of the help."""


def run_options(command: Command) -> Command:
    """Give a command all of `OPTIONS`, and `--config`, in the place of its `**options`."""

    @functools.wraps(command)
    def called(*arguments: Any, **named: Any) -> None:
        command(*arguments, **named)

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    before = [p for p in own if _panel(p) is None]
    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own if p not in before]
    options = [*(option.parameter() for option in OPTIONS), _config_parameter()]
    vars(called)["__signature__"] = signature.replace(parameters=[*before, *options, *named])
    return called  # type: ignore[return-value]


def config_from(context: typer.Context, options: dict[str, Any]) -> c.RunConfig:
    """The configuration that the options say; those that were not given come from `--config`, if that was."""
    file = options.pop("config")
    base = read_config(file) if file is not None else c.RunConfig()
    given = {name for name in options if str(context.get_parameter_source(name)).rpartition(".")[2] != "DEFAULT"}
    sections: dict[str, dict[str, Any]] = {}
    for option in (option for option in OPTIONS if option.name in given):
        section, _, field = option.field.rpartition(".")
        sections.setdefault(section, {})[field] = _value(option, options[option.name])
    own = sections.pop("", {})
    parts = {name: replace(getattr(base, name), **_with_band(name, values)) for name, values in sections.items()}
    return replace(base, **parts, **own)


def read_config(path: Path) -> c.RunConfig:
    """The configuration inside a `run.json`, a `batch.json`, or a JSON file of its own.

    Raises:
        UsageError: there is none in it.
    """
    from dancedepth.pipeline.storage import read_json

    remedy = "Give the run.json of a run"
    try:
        values = read_json(path)
    except StorageError as error:
        raise UsageError(error.what, str(path), remedy) from error
    if isinstance(values, dict):
        values = values.get("config", values)
    if not isinstance(values, dict) or not any(f.name in values for f in fields(c.RunConfig)):
        raise UsageError("there is no configuration in this file", str(path), remedy)
    try:
        config: c.RunConfig = c.config_from_json(c.RunConfig, values)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"the configuration in this file is broken ({error})", str(path), remedy) from error
    return config


def _config_parameter() -> inspect.Parameter:
    said = "Take the options from the run.json of another run; those given beside it come first."
    option = typer.Option("--config", help=said, metavar="RUN.JSON", rich_help_panel=RUN)
    annotation = Annotated[Path | None, option]
    return inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _panel(parameter: inspect.Parameter) -> str | None:
    """The part of the help in which a command's own option stands."""
    found = (getattr(extra, "rich_help_panel", None) for extra in getattr(parameter.annotation, "__metadata__", ()))
    return next(found, None)


def _section_class(section: str) -> type[Any]:
    if not section:
        return c.RunConfig
    factory = next(f.default_factory for f in fields(c.RunConfig) if f.name == section)
    assert isinstance(factory, type) and is_dataclass(factory)
    return factory


def _value(option: RunOption, value: Any) -> Any:
    return value / option.per_unit if option.per_unit != 1 and value is not None else value


def _with_band(section: str, own: dict[str, Any]) -> dict[str, Any]:
    if section == "fusion" and "voxel_m" in own:
        truncation_m = default_of(c.FusionConfig, "truncation_m")
        return {"truncation_m": max(truncation_m, TRUNCATION_VOXELS * own["voxel_m"]), **own}
    return own
