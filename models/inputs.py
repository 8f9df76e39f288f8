"""What the networks see of one frame, and the way back: a crop around the matte with the body drawn into it.

Lengths in network space are counted in body heights and depths from the body's root, so that the same person looks the
same at every distance and size; a depth map times the body's height plus the root's depth is metric again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from dancedepth.models.body import SKIN_VERTICES
from dancedepth.models.body_maps import render_body, vertex_normals
from dancedepth.models.geometry import Camera, pixel_rays, project
from dancedepth.models.kernels import has_numba
from dancedepth.models.raster import NEAR_M
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

MARGIN = 0.06
"""Free border around the matte on each side, as a share of the crop."""
OPAQUE = 0.5
"""Alpha from which a pixel counts as the person's."""
HEAD_SHARE = 0.135
"""What belongs to the head at rest: this share of the height, from the crown down to the chin."""
HEAD_ROOM = 1.6
"""The window around a head is wider than the body's head by this: hair is about it, and a neck below."""
LEAST_CROP_PX = 48
"""A crop is never lower than this in the image: smaller people are seen with more around them."""


@dataclass(frozen=True)
class PosedBody:
    """The fitted body in one frame."""

    vertices_cam: Float[Tensor, "v 3"]
    rest_vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    root_depth_m: float
    """z of the root bone's head."""
    height_m: float

    @cached_property
    def normals_cam(self) -> Float[Tensor, "v 3"]:
        """Of the vertices; worked out once, however often the body is looked at."""
        return vertex_normals(self.vertices_cam, self.faces)


@dataclass(frozen=True)
class Crop:
    """A window of the image (it may reach beyond it) and the network's own camera for it."""

    left: int
    top: int
    width: int
    height: int
    camera: Camera


@dataclass(frozen=True)
class NetworkInput:
    """A batch in network space; maps are 0 where they say nothing."""

    image: Float[Tensor, "b 3 h w"]
    """RGB 0-1 times alpha."""
    alpha: Float[Tensor, "b 1 h w"]
    body_offset: Float[Tensor, "b 1 h w"]
    """Depth of the body from its root, in body heights; carried on smoothly where the body is not seen."""
    body_normals: Float[Tensor, "b 3 h w"]
    canonical: Float[Tensor, "b 3 h w"]
    """Where the body point seen lies at rest, in body heights."""
    coverage: Float[Tensor, "b 1 h w"]
    """1 where the body is seen."""
    rays: Float[Tensor, "b 2 h w"]
    """x and y of each pixel's direction, at z = 1."""
    root_depth: Float[Tensor, "b 1 1 1"]
    """Of the body's root, in body heights."""

    def to(self, device: torch.device | str) -> NetworkInput:
        """The same on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


def stack_inputs(inputs: list[NetworkInput]) -> NetworkInput:
    """One batch of several."""
    return NetworkInput(**{f.name: torch.cat([getattr(one, f.name) for one in inputs]) for f in fields(NetworkInput)})


def prepare_input(
    rgb: UInt8[Tensor, "h w 3"],
    alpha: UInt8[Tensor, "h w"],
    body: PosedBody,
    camera: Camera,
    size: tuple[int, int],
) -> tuple[NetworkInput, Crop] | None:
    """The network's view of one frame.

    Args:
        rgb: the image, and `alpha` the person's matte, both at full size.
        body: the fitted body.
        camera: the image's.
        size: the network's width and height.

    Returns:
        None where the matte is empty.
    """
    crop = crop_around(alpha, camera, size)
    if crop is None:
        return None
    matted = cut_out(rgb, alpha, crop)
    return network_input(matted[:3], matted[3:], body, crop.camera), crop


def crop_around(alpha: UInt8[Tensor, "h w"], camera: Camera, size: tuple[int, int]) -> Crop | None:
    """The smallest window of the network's shape around the matte, with its margin; None for an empty matte."""
    rows, columns = (torch.nonzero(alpha.amax(dim=dim) >= OPAQUE * 255)[:, 0] for dim in (1, 0))
    if len(rows) == 0:
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    share = 1 - 2 * MARGIN
    unit_w, unit_h = _ratio(size)
    units = max((right - left) / share / unit_w, (bottom - top) / share / unit_h, LEAST_CROP_PX / unit_h)
    units = int(units) + 1
    width, height = units * unit_w, units * unit_h
    x, y = (left + right - width) // 2, (top + bottom - height) // 2
    return Crop(x, y, width, height, camera.crop(x, y, width, height).resized(*size))


def head_crop(body: PosedBody, camera: Camera, size: tuple[int, int]) -> Crop | None:
    """The window around the fitted body's head; None where that lies outside the image or behind the camera."""
    height_m = body.rest_vertices[:SKIN_VERTICES, 2]
    head = body.vertices_cam[:SKIN_VERTICES][height_m > height_m.max() - HEAD_SHARE * body.height_m]
    if float(head[:, 2].min()) < NEAR_M:
        return None
    seen = project(head, camera)
    low, high = seen.amin(dim=0), seen.amax(dim=0)
    (x, y), side = (((low + high) / 2).tolist()), HEAD_ROOM * float((high - low).max())
    if not (0 < x < camera.width and 0 < y < camera.height):
        return None
    unit_w, unit_h = _ratio(size)
    units = int(side / min(unit_w, unit_h)) + 1
    width, height = units * unit_w, units * unit_h
    left, top = round(x - width / 2), round(y - height / 2)
    return Crop(left, top, width, height, camera.crop(left, top, width, height).resized(*size))


def network_input(
    image: Float[Tensor, "3 h w"], alpha: Float[Tensor, "1 h w"], body: PosedBody, camera: Camera
) -> NetworkInput:
    """The input of a matted image that is already at the network's size; `camera` is that image's."""
    depth_m, normals, canonical = (one[None] for one in body_maps(body, camera))
    offset = (depth_m - body.root_depth_m) / body.height_m
    root = offset.new_full((1, 1, 1, 1), body.root_depth_m / body.height_m)
    rays = camera_rays(camera, image.device)
    return from_maps(image[None], alpha[None], offset, depth_m > 0, normals, canonical, rays, root)


def body_maps(
    body: PosedBody, camera: Camera
) -> tuple[Float[Tensor, "1 h w"], Float[Tensor, "3 h w"], Float[Tensor, "3 h w"]]:
    """The body's depth in metres (0: not seen), normals and canonical coordinates in body heights."""
    maps = render_body(body.vertices_cam, body.faces, camera, body.normals_cam)
    given = body.vertices_cam.new_zeros(7, camera.height, camera.width)
    if maps is not None:
        canonical = maps.raster.interpolate(body.faces, body.rest_vertices / body.height_m)
        seen = torch.cat((maps.depth_m[..., None], maps.normals, canonical), dim=-1)
        given[:, *maps.window] = seen.permute(2, 0, 1)
    return given[:1], given[1:4], given[4:]


def from_maps(
    image: Float[Tensor, "b 3 h w"],
    alpha: Float[Tensor, "b 1 h w"],
    offset: Float[Tensor, "b 1 h w"],
    seen: Bool[Tensor, "b 1 h w"],
    body_normals: Float[Tensor, "b 3 h w"],
    canonical: Float[Tensor, "b 3 h w"],
    rays: Float[Tensor, "b 2 h w"],
    root_depth: Float[Tensor, "b 1 1 1"],
) -> NetworkInput:
    """The input of maps that are in network space; here the body's depth is carried on to where it is not seen."""
    coverage = seen.to(offset)
    extended = extend_outwards(offset * coverage, coverage)
    return NetworkInput(image, alpha, extended, body_normals, canonical, coverage, rays, root_depth)


def camera_rays(camera: Camera, device: torch.device | str = "cpu") -> Float[Tensor, "1 2 h w"]:
    """The `rays` map of a network camera."""
    return pixel_rays(camera, device)[..., :2].permute(2, 0, 1)[None].float()


def extend_outwards(values: Float[Tensor, "b c h w"], known: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
    """Values where `known` is 1, carried on smoothly where it is 0 (pull-push, Gortler et al. 1996); 0 if none is."""
    height, width = values.shape[-2:]
    if height * width == 1:
        return values
    even = (0, width % 2 if width > 1 else 0, 0, height % 2 if height > 1 else 0)
    factor = (2 if height > 1 else 1, 2 if width > 1 else 1)
    share = avg_pool2d(pad(known, even), factor)
    total = avg_pool2d(pad(values * known, even), factor)
    coarse = extend_outwards(total / share.clamp_min(1e-6), (share > 0).to(known))
    grown = interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)[..., :height, :width]
    return torch.where(known > 0, values, grown)


def cut_out(rgb: UInt8[Tensor, "h w 3"], alpha: UInt8[Tensor, "h w"], crop: Crop) -> Float[Tensor, "4 n m"]:
    """A window of the image at the network's size, its colours times alpha; black beyond the image's borders."""
    cut = cut_loop if rgb.device.type == "cpu" and has_numba() else cut_tensors
    return cut(rgb, alpha, crop)


def cut_loop(rgb: UInt8[Tensor, "h w 3"], alpha: UInt8[Tensor, "h w"], crop: Crop) -> Float[Tensor, "4 n m"]:
    """What `cut_tensors` does, on a processor that has Numba: in a quarter of the time."""
    from dancedepth.models.cut_kernel import cut_out as cut

    size = (crop.camera.height, crop.camera.width)
    return torch.from_numpy(cut(rgb.numpy(), alpha.numpy(), crop.top, crop.left, (crop.height, crop.width), size))


def cut_tensors(rgb: UInt8[Tensor, "h w 3"], alpha: UInt8[Tensor, "h w"], crop: Crop) -> Float[Tensor, "4 n m"]:
    """The same on any device.

    One channel after the other: memory that is new costs more than the arithmetic.
    """
    size = (crop.camera.height, crop.camera.width)
    cut = torch.zeros((4, *size), device=rgb.device)
    span = _span(alpha, crop)
    if span is None:
        return cut
    rows, columns = span
    share = alpha[rows, columns].float().div_(255)
    window = torch.zeros((1, 1, crop.height, crop.width), device=rgb.device)
    inside = window[0, 0, _moved(rows, crop.top), _moved(columns, crop.left)]
    for channel in range(4):
        inside.copy_(rgb[rows, columns, channel].float().div_(255).mul_(share) if channel < 3 else share)
        small = interpolate(window, size=size, mode="bilinear", antialias=True, align_corners=False)
        cut[channel] = small[0, 0]
    return cut.clamp_(0, 1)


def _span(alpha: UInt8[Tensor, "h w"], crop: Crop) -> tuple[slice, slice] | None:
    """Rows and columns of the image, inside the crop, that hold all of the matte that is there; None: nothing is."""
    top, left = max(crop.top, 0), max(crop.left, 0)
    some = alpha[top : max(crop.top + crop.height, 0), left : max(crop.left + crop.width, 0)] > 0
    rows, columns = torch.nonzero(some.any(dim=1))[:, 0], torch.nonzero(some.any(dim=0))[:, 0]
    if len(rows) == 0:
        return None
    return (
        slice(top + int(rows[0]), top + int(rows[-1]) + 1),
        slice(left + int(columns[0]), left + int(columns[-1]) + 1),
    )


def _moved(span: slice, start: int) -> slice:
    return slice(span.start - start, span.stop - start)


def _ratio(size: tuple[int, int]) -> tuple[int, int]:
    """Width to height in the smallest whole numbers, so that crops keep the network's shape exactly."""
    a, b = size
    while b:
        a, b = b, a % b
    return size[0] // a, size[1] // a
