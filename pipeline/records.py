"""What the stages hand to one another: frozen records of arrays, with units and frames in the names.

Images that grow with the clip (mattes, depth, normals) stay in the run folder; their records say where and load one
frame at a time, so that memory does not grow with the clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from dancedepth.models.body import BodyModel, RestBody
from dancedepth.models.face_shape import with_face
from dancedepth.models.geometry import Camera
from jaxtyping import Bool, Float, Int, UInt8


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself. Width and height are as displayed, after its rotation."""

    path: Path
    width: int
    height: int
    fps: float
    duration_s: float | None
    rotation_deg: int
    codec: str
    focal_px: float | None
    """Focal length from the file's metadata, if it has any, in pixels of the displayed image."""


@dataclass(frozen=True)
class Frame:
    """One decoded frame; `index` counts the frames that the run uses, from 0."""

    index: int
    time_s: float
    rgb: UInt8[np.ndarray, "h w 3"]


class FrameSource(Protocol):
    """Frames of a clip, in order; every iteration decodes anew and holds one frame at a time."""

    info: VideoInfo
    expected_frames: int | None

    def __iter__(self) -> Iterator[Frame]: ...


@dataclass(frozen=True)
class Track:
    """One person through the clip; rows are frames, NaN boxes and zero confidences where they were not found."""

    track_id: int
    boxes_px: Float[np.ndarray, "n 4"]
    """Left, top, right, bottom."""
    keypoints_px: Float[np.ndarray, "n 17 2"]
    confidence: Float[np.ndarray, "n 17"]
    """Of each COCO keypoint, 0-1."""
    score: Float[np.ndarray, "n"]
    """Of the detection, 0-1; 0 where not found."""
    landmarks_px: Float[np.ndarray, "n 33 2"]
    """Of `models.landmarks`."""
    landmarks_m: Float[np.ndarray, "n 33 3"]
    """Around the hips, in axes along the ray through the person: x right, y down, z away from the camera."""
    visibility: Float[np.ndarray, "n 33"]
    """Of each landmark, 0-1; 0 where nobody looked for them."""

    @classmethod
    def unseen(cls, track_id: int, count: int) -> Track:
        """A track of `count` frames in which nobody was found yet, to be filled in."""
        return cls(
            track_id=track_id,
            boxes_px=np.full((count, 4), np.nan),
            keypoints_px=np.full((count, 17, 2), np.nan),
            confidence=np.zeros((count, 17)),
            score=np.zeros(count),
            landmarks_px=np.full((count, 33, 2), np.nan),
            landmarks_m=np.full((count, 33, 3), np.nan),
            visibility=np.zeros((count, 33)),
        )

    @property
    def found(self) -> Bool[np.ndarray, "n"]:
        """Frames in which this person was found."""
        return self.score > 0


@dataclass(frozen=True)
class Tracks:
    """Everybody in the clip, and which one is the dancer."""

    times_s: Float[np.ndarray, "n"]
    sharpness: Float[np.ndarray, "n"]
    """Variance of the Laplacian inside the dancer's box at a standard size, over the clip's best: 0-1."""
    camera_shift: Float[np.ndarray, "n"]
    """How far the background moved since the frame before, as a share of the image's diagonal; 0 for the first."""
    people: tuple[Track, ...]
    person: int
    """Index into `people`."""
    frame_size: tuple[int, int]
    """Width and height, pixels."""

    @property
    def dancer(self) -> Track:
        """The person who is reconstructed."""
        return self.people[self.person]


@dataclass(frozen=True)
class ImageSequence:
    """One image a frame in the run folder, loaded when asked for."""

    indices: tuple[int, ...]
    """Frames that have an image."""
    load: Callable[[int], np.ndarray]
    """Frame index to image: mattes are (h w) uint8 0-255, depth (h w) float32 metres, normals (h w 3) float32,
    confidence (h w) float32 0-1; all at full image size."""


@dataclass(frozen=True)
class BodyMotion:
    """One body, posed in every frame, in the camera's frame."""

    times_s: Float[np.ndarray, "n"]
    fitted: Bool[np.ndarray, "n"]
    """Frames in which the body was fitted to something seen; poses elsewhere are interpolated."""
    phenotype: Float[np.ndarray, "6"]
    """Shape, in the order of `models.body.PHENOTYPES`."""
    height_m: float
    """Of the body after scaling."""
    rest_bone_poses: Float[np.ndarray, "j 4 4"]
    """Bones at rest, in the body's axes, metres."""
    cam_from_rest: Float[np.ndarray, "n j 4 4"]
    """Skinning transforms: rest points that are rigid with a bone, to the camera."""
    bone_names: tuple[str, ...]
    camera: Camera
    reprojection_error_px: Float[np.ndarray, "n"]
    """Confidence-weighted mean distance of the body's keypoints from the detected ones; NaN where not fitted."""
    head_scale: float = 1.0
    """Of the head against the shape's own."""
    face_moves_m: Float[np.ndarray, "p 3"] | None = None
    """How far the dancer's `FACE_VERTICES` lie from the shape's, at rest; None: nobody saw."""

    def rest(self, body: BodyModel) -> RestBody:
        """The dancer's own body, unposed."""
        own = body.rest(torch.as_tensor(self.phenotype).to(body.device))
        scaled = body.scaled_to_height(body.with_head_scaled(own, self.head_scale), self.height_m)
        return scaled if self.face_moves_m is None else with_face(scaled, torch.as_tensor(self.face_moves_m))

    @property
    def bone_poses(self) -> Float[np.ndarray, "n j 4 4"]:
        """Bones to camera, frame by frame."""
        return self.cam_from_rest @ self.rest_bone_poses


@dataclass(frozen=True)
class GeometrySequence:
    """Per-frame geometry at full image size; 0 outside the person."""

    depth: ImageSequence
    normals: ImageSequence
    confidence: ImageSequence | None = None
    """How far the networks trust themselves, 0-1; None: made by the body alone."""


@dataclass(frozen=True)
class Surface:
    """The fused dancer in the body's rest pose and axes (x left, y back, z up), metres, ready to be skinned."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    normals: Float[np.ndarray, "v 3"]
    colors: UInt8[np.ndarray, "v 3"]
    observed: Float[np.ndarray, "v"]
    """0: filled from the body, 1: seen by many frames."""
    skin_weights: Float[np.ndarray, "v 4"]
    skin_bones: Int[np.ndarray, "v 4"]
    uv: Float[np.ndarray, "v 2"] | None = None
    """Texture coordinates, 0-1, v up (the texture's first row is v = 1); vertices are split at the atlas's seams."""
    texture: UInt8[np.ndarray, "t t 3"] | None = None
    """Baked colours; None: the surface has its vertex colours only."""
    normal_map: UInt8[np.ndarray, "t t 3"] | None = None
    """Folds and features finer than the surface, in tangent space: x along u, y along v, z outwards, 0-255 for -1 to 1;
    None: the surface's shape is all that is known.
    """
    skirt_m: float | None = None
    """How far a skirt or coat hangs below the crotch; None: none was recognised, and each leg has cloth of its own."""


@dataclass(frozen=True)
class Rig:
    """The skeleton and its motion in the world: glTF's axes (y up, z to the camera), metres, the floor at y = 0."""

    bone_names: tuple[str, ...]
    bone_parents: tuple[int, ...]
    """Parents stand before children; the root's is -1."""
    rest_bones: Float[np.ndarray, "j 4 4"]
    """World from bone at rest, standing on the floor and facing +z; a bone's y axis runs along it."""
    rest_lift_m: float
    """How far the surface's rest pose, in glTF's axes, is raised to stand there."""
    times_s: Float[np.ndarray, "n"]
    turns: Float[np.ndarray, "n j 4"]
    """Each bone's rotation in its parent (the root's: in the world) as a quaternion x, y, z, w."""
    root: Float[np.ndarray, "n 3"]
    """The root bone's head in the world."""
    camera: Camera
    world_from_cam: Float[np.ndarray, "4 4"]
    """Where the clip's camera stands, from the camera's own frame (OpenCV's)."""
    foot_sliding_m_s: float | None = None
    """Mean horizontal speed of the soles while they stand; None: the camera moves, or no foot ever stands."""
    foot_sliding_fitted_m_s: float | None = None
    """The same in the body fit, before smoothing and footing."""


class Observer(Protocol):
    """Told how a run goes on; the command line draws it, tests record it."""

    def stage_started(self, name: str, total: int | None) -> None:
        """A stage begins; `total` frames or steps are expected, if known."""

    def advanced(self, count: int = 1) -> None:
        """So many more frames or steps of the current stage are done."""

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        """A stage is done, or was found done in the run folder."""


class Silent:
    """An observer who does not care."""

    def stage_started(self, name: str, total: int | None) -> None:
        """Ignore."""

    def advanced(self, count: int = 1) -> None:
        """Ignore."""

    def stage_finished(self, name: str, seconds: float, reused: bool) -> None:
        """Ignore."""
