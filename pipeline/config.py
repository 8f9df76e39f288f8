"""Everything a run can be told. Defaults live here and nowhere else; the command line reads them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dancedepth.pipeline.errors import UsageError

LATEST_S = 10_000_000
"""No video lasts four months; ffmpeg loses count beyond."""


def _require(condition: bool, option: str, what: str) -> None:
    if not condition:
        raise UsageError(what, option, "See `dancedepth reconstruct --help`.")


@dataclass(frozen=True)
class FramesConfig:
    """Which frames of the video are used."""

    fps: float = 12.0
    """Frames a second to use, at most the video's own."""
    start_s: float = 0.0
    """Where to start, in seconds of the video."""
    end_s: float | None = None
    """Where to stop, in seconds of the video; None: at its end."""

    def __post_init__(self) -> None:
        _require(0 < self.fps <= 240, "--fps", f"{self.fps:g} is not a frame rate between 0 and 240")
        _require(0 <= self.start_s <= LATEST_S, "--start", f"the start must lie between 0 and {LATEST_S} s")
        after = self.end_s is None or self.start_s < self.end_s <= LATEST_S
        _require(after, "--end", f"the end must come after the start, and before {LATEST_S} s")


@dataclass(frozen=True)
class TracksConfig:
    """Who is followed, and by which detector."""

    pose_model: str = "yolo11n-pose"
    """A pose model of ultralytics: a name from `dancedepth weights list`, or a path to a .pt file."""
    landmark_model: str = "blazepose"
    """A landmark model, which sees hands, feet and depth: blazepose, a path to its .tflite file, or none."""
    person: int | None = None
    """Track id of the dancer; None: the longest, largest, most central one."""
    min_confidence: float = 0.25
    """Detections below this are not people."""
    min_frames: int = 4
    """A person seen in fewer frames than this cannot be reconstructed."""

    def __post_init__(self) -> None:
        _require(0 < self.min_confidence < 1, "--min-confidence", "a confidence lies between 0 and 1")
        _require(self.person is None or self.person >= 0, "--person", "a track id is 0 or more")


@dataclass(frozen=True)
class MattesConfig:
    """How the dancer is cut out of the picture."""

    segmenter: str = "rvm"
    """`rvm` (Robust Video Matting), or a segmentation model of ultralytics by name or path, such as `yolo11n-seg`."""
    work_side_px: int = 1024
    """The longer side of the image that the segmenter sees, or a little less, where reducing to that is quicker."""

    def __post_init__(self) -> None:
        _require(128 <= self.work_side_px <= 4096, "--matte-size", "a working size lies between 128 and 4096 pixels")


@dataclass(frozen=True)
class CameraConfig:
    """The lens; at most one of the two."""

    focal_px: float | None = None
    """Focal length in pixels of the displayed video."""
    fov_deg: float | None = None
    """Field of view in degrees across the longer side."""

    def __post_init__(self) -> None:
        _require(self.focal_px is None or self.fov_deg is None, "--focal-px, --fov", "give one of the two")
        _require(self.focal_px is None or self.focal_px > 10, "--focal-px", "a focal length is more than 10 pixels")
        _require(self.fov_deg is None or 5 <= self.fov_deg <= 150, "--fov", "a field of view is 5 to 150 degrees")


@dataclass(frozen=True)
class BodyMotionConfig:
    """The body fit."""

    height_m: float | None = None
    """The dancer's height in metres, which sets the scale; None: the body prior's."""
    search_steps: int = 80
    """Steps of the search over headings."""
    keypoint_steps: int = 100
    """Steps of the fit to the keypoints alone."""
    matte_steps: int = 200
    """Steps of the fit to keypoints, hands, face, mattes and optical flow."""
    hand_model: str = "mediapipe-hands"
    """A model that sees palms and fingers: mediapipe-hands, a path to its .tflite file, or none."""
    face_model: str = "mediapipe-face"
    """A model that sees how a face is turned: mediapipe-face, a path to its .tflite file, or none."""

    def __post_init__(self) -> None:
        in_range = self.height_m is None or 0.4 <= self.height_m <= 2.6
        _require(in_range, "--height", f"{self.height_m} m is not a person's height (0.4 to 2.6 m)")


@dataclass(frozen=True)
class DepthsConfig:
    """Where depth and normals come from."""

    model: Literal["body", "hdnet"] = "hdnet"
    """`hdnet`: the depth networks; `body`: the fitted body's own surface, the parametric baseline."""
    weights: str | None = None
    """The networks' weights, a file that `dancedepth train` wrote; None: those that the package brings."""
    adapt_steps: int = 0
    """Steps by which a copy of the networks learns from the clip itself first, without labels; 0: none."""

    def __post_init__(self) -> None:
        _require(0 <= self.adapt_steps <= 10_000, "--adapt", "the networks adapt in 0 to 10000 steps")
        adaptable = self.adapt_steps == 0 or self.model == "hdnet"
        _require(adaptable, "--adapt", "only the depth networks can adapt: give --depth-model hdnet")
        known = self.model in ("body", "hdnet")
        _require(known, "--depth-model", f"there is no depth model named {self.model!r}; there is body and hdnet")


@dataclass(frozen=True)
class FusionConfig:
    """The canonical surface."""

    voxel_m: float = 0.006
    """Side of a voxel."""
    truncation_m: float = 0.03
    """Distances to the surface are kept up to this."""
    faces: int = 50_000
    """Triangles of the surface, at most: voxels give several times more than its shape needs or a viewer wants."""
    texture_px: int = 2048
    """Side of the texture."""
    texture_views: int = 24
    """Frames that the texture is made from, the sharpest of as many stretches of the clip; they are held in memory."""
    refine_poses: int = 0
    """How often the frames' poses are held against the fused surface and fusion starts anew; an experiment."""

    def __post_init__(self) -> None:
        _require(self.faces >= 1000, "faces", "the surface needs a thousand triangles or more")
        _require(256 <= self.texture_px <= 8192, "texture_px", "a texture's side is 256 to 8192 pixels")
        _require(0 <= self.refine_poses <= 10, "--refine-poses", "poses are refined 0 to 10 times")
        _require(self.texture_views >= 1, "texture_views", "the texture is made from one frame or more")
        _require(0.002 <= self.voxel_m <= 0.03, "--voxel-mm", "a voxel is 2 to 30 mm")
        _require(self.truncation_m >= 2 * self.voxel_m, "--voxel-mm", "the truncation must be two voxels or more")


@dataclass(frozen=True)
class RigConfig:
    """The skeleton's motion."""

    smoothing_hz: float = 6.0
    """Motion faster than this is smoothed away, without lag."""
    hold_feet: bool = True
    """Keep standing feet on their place, where the camera stands still."""

    def __post_init__(self) -> None:
        _require(0.5 <= self.smoothing_hz <= 120, "--smoothing-hz", "a cutoff lies between 0.5 and 120 Hz")


@dataclass(frozen=True)
class RunConfig:
    """One run of `dancedepth reconstruct`."""

    frames: FramesConfig = field(default_factory=FramesConfig)
    tracks: TracksConfig = field(default_factory=TracksConfig)
    mattes: MattesConfig = field(default_factory=MattesConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    body_motion: BodyMotionConfig = field(default_factory=BodyMotionConfig)
    depths: DepthsConfig = field(default_factory=DepthsConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    rig: RigConfig = field(default_factory=RigConfig)
    device: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        _require(self.device in ("auto", "cpu", "cuda"), "--device", "a device is auto, cpu or cuda")

    def to_json(self) -> dict[str, Any]:
        """Nested plain values, as `run.json` holds them."""
        return asdict(self)


def config_from_json(cls: type[Any], values: dict[str, Any]) -> Any:
    """The config that `to_json` wrote; unknown keys are left out, so that newer runs can be read.

    Raises:
        TypeError: a value is of another type than its field, or there is no section where one should be.
        UsageError: a value is out of its range.
    """
    hints = get_type_hints(cls)
    built = {}
    for f in fields(cls):
        if f.name in values:
            value, kind = values[f.name], hints[f.name]
            nested = isinstance(kind, type) and is_dataclass(kind)
            if not (isinstance(value, dict) if nested else _fits(value, kind)):
                raise TypeError(f"{f.name} is {value!r}")
            built[f.name] = config_from_json(kind, value) if nested else value
    return cls(**built)


def _fits(value: Any, kind: Any) -> bool:
    """Whether JSON's value is one of a field's type; the config's own checks look at literals."""
    if get_origin(kind) in (UnionType, Union):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return isinstance(value, str)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)
