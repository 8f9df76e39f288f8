"""One frame as fusion reads it: a small image around the dancer, whose every pixel knows its canonical place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from dancedepth.models.body import blended_bones
from dancedepth.models.geometry import Camera, backproject, depth_to_normals
from dancedepth.models.raster import Raster, rasterize
from dancedepth.pipeline.body_field import SKIN_BONES_KEPT, BodyField, in_face
from dancedepth.pipeline.head_alignment import head_aligned
from dancedepth.pipeline.view_kernel import reduce_depth
from jaxtyping import Bool, Float, Int, Num, UInt8
from torch import Tensor

MATTE = 0.5
"""Alpha from which a pixel is the dancer's."""
PIXELS_PER_VOXEL = 1.2
"""The image is reduced until about this many pixels cross a voxel: more is wasted on it."""
MAX_REDUCTION = 6
SPARSE = 4
"""The dancer's distance is the median of each so-manieth pixel of each so-manieth row."""
STEEPEST = 4.0
"""Depth change across a pixel, in pixel widths, beyond which it is a step and not a slope (76 degrees)."""
STEP_M = 0.008
"""Depth changes below this are never steps."""
AGREE_M = 0.12
"""Where the rendered body lies within this of the depth, it tells which body part the pixel shows."""
LOOSE_M = 0.35
"""Clothes and hair hang no farther from the body than this."""
EDGE_PIXELS = 3
"""Weights rise over this many pixels from the matte's edges and from depth steps."""
GRAZING_COS = 0.2
"""Surface seen more obliquely than this counts nothing."""
PART_TOLERANCE_M = 0.015
"""How far the canonical place of a pixel may be off near the body; it grows with the distance from the body."""
PROXY_SHARE = 0.25
"""Share of the body's triangles that are rendered to tell body parts apart."""

POINT, NORMAL, CANONICAL, TOLERANCE, WEIGHT, COLOR = slice(0, 3), slice(3, 6), slice(6, 9), 9, 10, slice(11, 14)
"""Channels of `FrameView.rows`."""


@dataclass(frozen=True)
class FrameImages:
    """One frame's images, full size."""

    rgb: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"]
    depth_m: Float[np.ndarray, "h w"]
    confidence: Float[np.ndarray, "h w"] | None = None
    normals: Float[np.ndarray, "h w 3"] | None = None


@dataclass(frozen=True)
class FrameView:
    """A frame's surface, one row a pixel of the reduced image."""

    camera: Camera
    rows: Float[Tensor, "p 16"]
    """Camera-space point, normal, canonical point, its tolerance in metres, weight (0: nothing there), RGB 0-1."""
    depth_m: Float[Tensor, "h w"]
    """0 where nothing usable is seen."""
    matte: Bool[Tensor, "h w"]
    """The dancer."""
    body: Bool[Tensor, "h w"]
    """The fitted body."""

    def seeds(self, most: int) -> Float[Tensor, "s 3"]:
        """Canonical points of the surface seen, evenly picked: hardly more than `most`."""
        rows = torch.nonzero(self.rows[:, WEIGHT] > 0)[:, 0]
        return self.rows[rows[:: max(1, len(rows) // most)]][:, CANONICAL]


class BodyProxy:
    """A light copy of the rest body, rendered in every frame to tell its parts apart."""

    def __init__(self, field: BodyField, device: torch.device) -> None:
        import open3d as o3d

        share = o3d.core.Tensor.from_numpy
        mesh = o3d.t.geometry.TriangleMesh(share(field.vertices), share(field.faces))
        mesh = mesh.simplify_quadric_decimation(1 - PROXY_SHARE)
        points = mesh.vertex.positions.numpy()
        weights, bones = field.top_bones(points, SKIN_BONES_KEPT)
        self.points, self.weights = torch.from_numpy(points).to(device), torch.from_numpy(weights).to(device)
        self.bones = torch.from_numpy(bones).to(device)
        self.faces = torch.from_numpy(mesh.triangle.indices.numpy()).long().to(device)
        self.head = (self.weights * torch.from_numpy(field.head_bones).to(device)[self.bones]).sum(dim=1, keepdim=True)
        """(v 1) how far each point belongs to the head."""
        self.face = self.head * torch.from_numpy(in_face(points, self.head[:, 0].cpu().numpy())).to(device)[:, None]
        """(v 1) the same for the face below the hair."""

    def pose(self, cam_from_rest: Float[Tensor, "j 4 4"]) -> tuple[Float[Tensor, "v 3"], Float[Tensor, "v 9"]]:
        """Posed vertices and each vertex's blended rotation."""
        blended = blended_bones(self.weights, self.bones, cam_from_rest[None])[0]
        turns = blended[..., :3]
        return (turns * self.points[:, None]).sum(dim=-1) + blended[..., 3], turns.reshape(-1, 9)


def make_view(
    images: FrameImages,
    camera: Camera,
    cam_from_rest: Float[Tensor, "j 4 4"],
    proxy: BodyProxy,
    voxel_m: float,
) -> FrameView | None:
    """Crop and reduce a frame to about `PIXELS_PER_VOXEL`, and find every pixel's place on the body; None if empty.

    A pixel's weight falls with the angle of its surface, towards the matte's edges and steps in depth, and with the
    networks' doubts.
    """
    device, depth_m = cam_from_rest.device, images.depth_m
    box = _box(depth_m > 0)
    if box is None:
        return None
    some_m = depth_m[box][::SPARSE, ::SPARSE]
    middle_m = float(np.median(some_m[some_m > 0])) if (some_m > 0).any() else float(depth_m.max())
    step = int(np.clip(round(voxel_m * camera.focal_px / middle_m / PIXELS_PER_VOXEL), 1, MAX_REDUCTION))
    box = _padded(box, step, depth_m.shape)
    small = _reduced_camera(camera, box, step)
    depth, smooth = _reduce_depth(np.ascontiguousarray(depth_m[box]), step, middle_m / camera.focal_px, device)
    matte, color = _reduced(images.alpha[box], step, device), _reduced(images.rgb[box], step, device)
    posed, turns = proxy.pose(cam_from_rest)
    raster = rasterize(posed, proxy.faces, small, front_only=True)
    head, face = raster.interpolate(proxy.faces, torch.cat((proxy.head, proxy.face), dim=1)).unbind(dim=-1)
    depth = head_aligned(depth, raster.depth_m, head, face, middle_m / small.focal_px)
    normals = depth_to_normals(depth, small)
    points = backproject(depth, small)
    place, off_m = _canonical(points, depth, raster, torch.cat((proxy.points, posed, turns), dim=1), proxy.faces)
    weight = _angle_weight(points, normals) * _edge_weight(smooth & (matte > MATTE)) * matte * (off_m < LOOSE_M)
    if images.confidence is not None:
        weight = weight * _trust(_reduced(images.confidence[box], step, device))
    tolerance = PART_TOLERANCE_M + 0.5 * off_m
    blank = torch.zeros_like(points[..., :2])
    rows = torch.cat((points, normals, place, tolerance[..., None], weight[..., None], color, blank), dim=-1)
    return FrameView(small, rows.view(-1, 16), torch.where(weight > 0, depth, 0.0), matte > MATTE, raster.depth_m > 0)


def _box(inside: Bool[np.ndarray, "h w"]) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _padded(box: tuple[slice, slice], step: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The box with a margin, a whole number of steps in size; at the image's far edge it loses a part of a step."""

    def pad(side: slice, size: int) -> slice:
        start = max(side.start - 2 * step, 0)
        stop = min(side.stop + 2 * step, size)
        length = math.ceil((stop - start) / step) * step
        length = length if start + length <= size else (size - start) // step * step
        return slice(start, start + max(length, min(step, size - start)))

    return pad(box[0], shape[0]), pad(box[1], shape[1])


def _reduced_camera(camera: Camera, box: tuple[slice, slice], step: int) -> Camera:
    height, width = (side.stop - side.start for side in box)
    crop = camera.crop(box[1].start, box[0].start, width, height)
    return Camera(crop.focal_px / step, crop.cx / step, crop.cy / step, width // step, height // step)


def _reduced(image: Num[np.ndarray, "h w *c"], step: int, device: torch.device) -> Float[Tensor, "y x *c"]:
    """Means over `step` x `step` pixels; bytes become 0-1."""
    height, width = (side // step for side in image.shape[:2])
    whole = np.ascontiguousarray(image[: height * step, : width * step])
    small = torch.from_numpy(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)).to(device)
    return small.float() / 255 if image.dtype == np.uint8 else small


def _reduce_depth(
    depth_m: Float[np.ndarray, "h w"], step: int, pixel_m: float, device: torch.device
) -> tuple[Float[Tensor, "y x"], Bool[Tensor, "y x"]]:
    """Mean depth where the surface is smooth, the nearest depth at steps; and where it is smooth."""
    shape = (depth_m.shape[0] // step, depth_m.shape[1] // step)
    small_m, smooth = np.zeros(shape, np.float32), np.zeros(shape, bool)
    reduce_depth(depth_m.astype(np.float32), step, STEEPEST * step * pixel_m + STEP_M, small_m, smooth)
    return torch.from_numpy(small_m).to(device), torch.from_numpy(smooth).to(device)


def _angle_weight(points: Float[Tensor, "h w 3"], normals: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    rays = torch.nn.functional.normalize(points, dim=-1)
    facing = -(normals * rays).sum(dim=-1)
    return ((facing - GRAZING_COS) / (1 - GRAZING_COS)).clamp_min(0) ** 2


def _trust(confidence: Float[Tensor, "y x"]) -> Float[Tensor, "y x"]:
    """Weight by the error that the networks expect against the frame's usual one; confidence is 1 / (1 + error^2).

    What they expect is mostly that the whole body stands nearer or farther, which the canonical pose takes out again;
    which pixels they doubt more than others is what remains.
    """
    if not (confidence > 0).any():
        return torch.zeros_like(confidence)
    squared_error = 1 / confidence.clamp_min(1e-3) - 1
    usual = squared_error[confidence > 0].median().clamp_min(1e-3)
    return (2 / (1 + squared_error / usual)).clamp_max(1)


def _edge_weight(smooth: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """0 at steps and edges and one pixel in, 1 from `EDGE_PIXELS` on."""
    outside = 1 - smooth.float()
    total = torch.zeros_like(outside)
    for _ in range(EDGE_PIXELS):
        outside = _highest_around(outside)
        total += 1 - outside
    return (total / EDGE_PIXELS) ** 2


def _highest_around(image: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """The greatest of each pixel and the eight around it; ten times faster than torch's pooling on the CPU."""
    rows = image.clone()
    torch.maximum(rows[1:], image[:-1], out=rows[1:])
    torch.maximum(rows[:-1], image[1:], out=rows[:-1])
    result = rows.clone()
    torch.maximum(result[:, 1:], rows[:, :-1], out=result[:, 1:])
    torch.maximum(result[:, :-1], rows[:, 1:], out=result[:, :-1])
    return result


def _canonical(
    points: Float[Tensor, "h w 3"],
    depth_m: Float[Tensor, "h w"],
    raster: Raster,
    table: Float[Tensor, "v 15"],
    faces: Int[Tensor, "f 3"],
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Each pixel's point carried back to the rest pose by the body point seen at it, and how far it is from that.

    Where the body is not seen near the pixel's depth (hair, a skirt beside the legs), the nearest pixel that shows the
    body lends its point. `table` holds the body's vertices at rest, posed, and their rotations.
    """
    agrees = (raster.depth_m > 0) & (depth_m > 0) & ((raster.depth_m - depth_m).abs() < AGREE_M)
    place, off_m = torch.zeros_like(points), torch.full_like(depth_m, torch.inf)
    if not bool(agrees.any()):
        return place, off_m
    some = depth_m > 0
    source = _nearest_true(agrees)[some]
    corners, shares = faces[raster.face_index.view(-1)[source]], raster.barycentric.view(-1, 3)[source]
    parts = [table.index_select(0, corners[:, k]) * shares[:, k : k + 1] for k in range(3)]
    lent = parts[0] + parts[1] + parts[2]
    offset = points[some] - lent[:, 3:6]
    x, y, z = (offset[:, k : k + 1] * lent[:, 6 + 3 * k : 9 + 3 * k] for k in range(3))
    back = x + y + z
    place[some], off_m[some] = lent[:, :3] + back, offset.norm(dim=-1)
    return place, off_m


def _nearest_true(mask: Bool[Tensor, "h w"]) -> Int[Tensor, "h w"]:
    """Flat index of the nearest true pixel, or of one that is hardly farther (Borgefors' distance transform)."""
    inside = mask.cpu().numpy()
    false = np.where(inside, np.uint8(0), np.uint8(1))
    _, label = cv2.distanceTransformWithLabels(false, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    index = np.zeros(int(label.max()) + 1, np.int64)
    index[label[inside]] = np.flatnonzero(inside)
    return torch.from_numpy(index[label]).to(mask.device)
