"""`preview.mp4` - input, depth, normals, and the moving surface from all sides - and the report's strips on the way."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dancedepth.models.geometry import Camera
from dancedepth.pipeline.panels import PREVIEW_SIDE_PX, Panels, PanelSize
from dancedepth.pipeline.records import Frame, FrameSource, Observer, Rig, Surface
from dancedepth.pipeline.rig import posed_surface, skeleton_of
from dancedepth.pipeline.turntable import VIEW_DISTANCE, coarser, render
from dancedepth.pipeline.video_file import video_writer
from dancedepth.pipeline.workspace import RunFolder
from jaxtyping import UInt8

CELL_SHARE = 1 / 130
"""Cell of the light surface that is drawn, over the dancer's height: two pixels of a panel."""
ORBIT_S = 8.0
"""Seconds in which the view goes once around the dancer."""
MARGIN_M = 0.25
"""Around the skeleton: the head above its joint, hands, the floor, and nearer limbs that look larger."""
USUAL_REACH = 75
"""Percentile of the frames' farthest reach that the view has room for; a portrait of the widest pose would be small."""
CRF = 23
AT_ONCE = 2
"""Frames that are drawn side by side: much of the work is single steps on small arrays, which leave cores idle."""
STRIPS = 8
"""Frames that the report shows, at most."""


@dataclass(frozen=True)
class Strip:
    """A frame as the report shows it: input, depth, normals, and the rigged surface over the input."""

    time_s: float
    pictures: list[UInt8[np.ndarray, "y x 3"]]


def write_preview(
    path: Path, folder: RunFolder, frames: FrameSource, surface: Surface, rig: Rig, observer: Observer
) -> list[Strip]:
    """Write the preview and return a few of its frames; frames pass through one at a time.

    Args:
        path: of the MP4, at the clip's speed.
        folder: of the run: its masks, depth and normals are read.
        frames: of the run, in any size.
        surface: textured or coloured.
        rig: in whose motion it is shown.
        observer: told of every frame.
    """
    count = len(rig.times_s)
    size = preview_size(rig)
    panels_of = Panels(folder, PanelSize(rig.camera.width, rig.camera.height), size)
    wide = size.width > size.height
    shown = Shown(surface, rig, size)
    fps = (count - 1) / float(rig.times_s[-1] - rig.times_s[0])
    chosen = set(np.linspace(0, count - 1, min(STRIPS, count)).round().astype(int).tolist())
    strips: list[Strip] = []
    shape = (2 * size.width, 2 * size.height) if wide else (4 * size.width, size.height)
    with video_writer(path, *shape, fps, CRF, "veryfast") as stream:
        written = 0
        for frame, pictures in _drawn(frames, panels_of, shown, count):
            rows = [pictures[:2], pictures[2:]] if wide else [pictures]
            image = np.concatenate([np.concatenate(row, axis=1) for row in rows])
            due = round((float(rig.times_s[frame.index]) - float(rig.times_s[0])) * fps) + 1
            for _ in range(due - written):
                stream.write(np.ascontiguousarray(image).data)
            written = due
            if frame.index in chosen:
                strips.append(Strip(frame.time_s, [*pictures[:3], shown.over(frame.index, pictures[0])]))
            observer.advanced()
    return strips


def preview_size(rig: Rig) -> PanelSize:
    """Of the preview's panels: frames of this size need not be reduced."""
    return PanelSize.within(rig.camera.width, rig.camera.height, PREVIEW_SIDE_PX)


class Shown:
    """The surface in the rig's motion, drawn small."""

    def __init__(self, surface: Surface, rig: Rig, size: PanelSize, fine: bool = False) -> None:
        """`fine`: with every triangle and the texture, for stills."""
        self._rig = rig
        cell_m = CELL_SHARE * float(np.ptp(surface.vertices[:, 2]))
        self._surface = surface if fine else coarser(surface, cell_m)
        self._clip_camera = rig.camera.resized(size.width, size.height)
        bones = skeleton_of(rig).bones()[..., :3, 3]
        low_m, high_m = float(bones[..., 1].min()) - MARGIN_M, float(bones[..., 1].max()) + MARGIN_M
        reach_m = np.linalg.norm((bones - rig.root[:, None])[..., [0, 2]], axis=-1).max(axis=1)
        width_m = 2 * float(np.percentile(reach_m, USUAL_REACH)) + MARGIN_M
        extent_m = max(high_m - low_m, width_m * size.height / size.width)
        self._middle_m = (low_m + high_m) / 2
        self._distance_m = VIEW_DISTANCE * extent_m
        self._camera = Camera.centred(size.height * VIEW_DISTANCE, size.width, size.height)

    def around(self, frame: int) -> UInt8[np.ndarray, "y x 3"]:
        """Seen from outside; the view goes around with time and stays with the dancer."""
        turn_rad = 2 * math.pi * (float(self._rig.times_s[frame]) - float(self._rig.times_s[0])) / ORBIT_S
        cos, sin = math.cos(turn_rad), math.sin(turn_rad)
        world = posed_surface(self._surface, self._rig, frame)
        off = world - np.array([self._rig.root[frame, 0], self._middle_m, self._rig.root[frame, 2]])
        cam_from_world = np.array([[cos, 0, -sin], [0, -1, 0], [-sin, 0, -cos]])
        cam = off @ cam_from_world.T + np.array([0, 0, self._distance_m])
        return render(self._surface, cam, self._camera, oversampling=1)

    def over(self, frame: int, picture: UInt8[np.ndarray, "y x 3"]) -> UInt8[np.ndarray, "y x 3"]:
        """Where the clip's camera sees it, over the picture."""
        cam_from_world = np.linalg.inv(self._rig.world_from_cam)
        cam = posed_surface(self._surface, self._rig, frame) @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
        return render(self._surface, cam, self._clip_camera, look="clay", oversampling=1, background=picture)


def _drawn(
    frames: FrameSource, panels: Panels, shown: Shown, count: int
) -> Iterator[tuple[Frame, list[UInt8[np.ndarray, "y x 3"]]]]:
    """Frames with their panels and the moving surface, in order; some are drawn while others are used."""

    def draw(frame: Frame) -> tuple[Frame, list[UInt8[np.ndarray, "y x 3"]]]:
        return frame, [*panels.of(frame), shown.around(frame.index)]

    with ThreadPoolExecutor(AT_ONCE) as painters:
        waiting: deque[Future[tuple[Frame, list[UInt8[np.ndarray, "y x 3"]]]]] = deque()
        for frame in frames:
            if frame.index >= count:
                break
            waiting.append(painters.submit(draw, frame))
            if len(waiting) > AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
