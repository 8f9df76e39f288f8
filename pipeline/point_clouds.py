"""Every frame's depth as a coloured point cloud in the camera's frame."""

from __future__ import annotations

import numpy as np
import torch
from dancedepth.models.geometry import Camera, backproject
from dancedepth.pipeline.ply import ply_bytes
from dancedepth.pipeline.records import FrameSource, GeometrySequence, Observer
from dancedepth.pipeline.storage import write_bytes
from dancedepth.pipeline.workspace import RunFolder

AXES = "camera frame: x right, y down, z forward; metres"


def write_point_clouds(
    frames: FrameSource, geometry: GeometrySequence, camera: Camera, folder: RunFolder, observer: Observer
) -> tuple[int, ...]:
    """One PLY a frame: a point for every pixel with depth, its normal, colour and, from the networks, confidence.

    Returns:
        The frames that have one.
    """
    written = set(geometry.depth.indices)
    for frame in frames:
        if frame.index not in written:
            continue
        depth_m = geometry.depth.load(frame.index)
        seen = depth_m > 0
        points = backproject(torch.from_numpy(depth_m), camera).numpy()[seen]
        normals = geometry.normals.load(frame.index)[seen]
        sure = {} if geometry.confidence is None else {"confidence": geometry.confidence.load(frame.index)[seen]}
        colors = np.ascontiguousarray(frame.rgb[seen])
        write_bytes(folder.points(frame.index), ply_bytes(points, normals, colors, sure, comment=AXES))
        observer.advanced()
    return geometry.depth.indices
