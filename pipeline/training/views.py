"""One picture of a posed person as the networks see it, with its truth: camera, light, crop, the wrong body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from dancedepth.models.body import BodyModel, skin_points
from dancedepth.models.geometry import Camera
from dancedepth.models.inputs import MARGIN, PosedBody, body_maps, head_crop
from dancedepth.pipeline.synthesis.render import Picture, Renderer
from dancedepth.pipeline.synthesis.room import Backdrop, Light, Room
from dancedepth.pipeline.synthesis.rotations import about
from dancedepth.pipeline.synthesis.staging import View
from dancedepth.pipeline.training.fit_errors import misfit
from dancedepth.pipeline.training.people import Person
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

DISTANCE_M = (1.5, 6.5)
CAMERA_HEIGHT_M = (0.3, 2.1)
ASIDE_RAD, ABOVE_RAD, ROLL_RAD = 0.22, 0.15, 0.04
"""Standard deviations of how far the camera looks past the person, and of how crooked it is held."""
FINE = 16
"""Heads are looked for in a picture of the person with so many times the network's pixels a side."""
HEAD_ZOOM, HEAD_SHIFT = 0.08, 0.03
"""Standard deviations of how differently a head's window lies, as a share of its side."""
CUT_OFF = 0.15
"""Share of the pictures in which the image ends somewhere across the legs."""


@dataclass(frozen=True)
class Sample:
    """Input and truth at the network's size; lengths in body heights, depths from the given body's root."""

    rgb: UInt8[Tensor, "3 h w"]
    """Not yet matted."""
    alpha: UInt8[Tensor, "1 h w"]
    body_offset: Float[Tensor, "1 h w"]
    """NaN where the body is not seen."""
    body_normals: Float[Tensor, "3 h w"]
    canonical: Float[Tensor, "3 h w"]
    depth: Float[Tensor, "1 h w"]
    """Truth; NaN where it is not known."""
    normals: Float[Tensor, "3 h w"]
    camera: Float[Tensor, "4"]
    """Focal length, cx, cy in pixels; root depth in body heights."""


def draw_view(
    body: BodyModel, person: Person, index: int, size: tuple[int, int], fit_error: float, generator: Generator
) -> Sample:
    """The person in pose `index` from somewhere, at the network's width and height."""
    poses = person.world_from_rest[index]
    view = _view(_dressed(person, poses), size, generator)
    room = _Plain(generator)
    picture = Renderer(person.dressed, view, room).render(view.cam_from_world @ poses)
    given = _misfitted(body, person, view.cam_from_world @ poses, fit_error, generator)
    return _cut_off(_sample(picture, given, view.camera), generator)


def draw_head(
    body: BodyModel, person: Person, index: int, size: tuple[int, int], fit_error: float, generator: Generator
) -> Sample:
    """The person's head in pose `index`, in the window in which a run would look at it."""
    poses = person.world_from_rest[index]
    far = _view(_dressed(person, poses), size, generator)
    given = _misfitted(body, person, far.cam_from_world @ poses, fit_error, generator)
    whole = far.camera.resized(*(FINE * side for side in size))
    crop = head_crop(given, whole, size)
    camera = far.camera if crop is None else _loosely(crop.camera, generator)
    view = View(camera, far.cam_from_world)
    picture = Renderer(person.dressed, view, _Plain(generator)).render(view.cam_from_world @ poses)
    return _sample(picture, given, camera)


def _dressed(person: Person, poses: Float[Tensor, "j 4 4"]) -> Float[Tensor, "v 3"]:
    dressed = person.dressed
    return skin_points(dressed.vertices, dressed.skin_weights, dressed.skin_bones, poses[None])[0]


def _misfitted(
    body: BodyModel, person: Person, cam_from_rest: Float[Tensor, "j 4 4"], fit_error: float, generator: Generator
) -> PosedBody:
    """The body as the networks are given it."""
    fitted = misfit(body, person.rest, person.phenotype, cam_from_rest, generator, fit_error)
    head = torch.cat((fitted.rest.bone_poses[0, :3, 3], torch.ones(1)))
    return PosedBody(
        vertices_cam=body.skin(fitted.rest.vertices, fitted.cam_from_rest[None])[0],
        rest_vertices=fitted.rest.vertices,
        faces=body.faces,
        root_depth_m=float((fitted.cam_from_rest[0] @ head)[2]),
        height_m=fitted.rest.height_m,
    )


def _loosely(camera: Camera, generator: Generator) -> Camera:
    """A little nearer or farther, and aside."""
    zoom = math.exp(HEAD_ZOOM * float(torch.randn(1, generator=generator)))
    across, down = (
        HEAD_SHIFT * torch.randn(2, generator=generator) * torch.tensor([camera.width, camera.height])
    ).tolist()
    middle_x, middle_y = camera.width / 2, camera.height / 2
    return Camera(
        zoom * camera.focal_px,
        middle_x + zoom * (camera.cx - middle_x) + across,
        middle_y + zoom * (camera.cy - middle_y) + down,
        camera.width,
        camera.height,
    )


def _view(points: Float[Tensor, "v 3"], size: tuple[int, int], generator: Generator) -> View:
    """A camera that looks somewhere near the person, and its crop around them as `prepare_input` would cut it."""
    middle = (points.amin(dim=0) + points.amax(dim=0)) / 2
    low, high = (math.log(value) for value in DISTANCE_M)
    distance = math.exp(low + (high - low) * _uniform(generator))
    height = CAMERA_HEIGHT_M[0] + (CAMERA_HEIGHT_M[1] - CAMERA_HEIGHT_M[0]) * _uniform(generator)
    aside, above, roll = (torch.randn(3, generator=generator) * torch.tensor([ASIDE_RAD, ABOVE_RAD, ROLL_RAD])).clamp(
        -0.45, 0.45
    )
    pitch = torch.atan2(torch.as_tensor(height) - middle[2], torch.as_tensor(distance))
    upright = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    turn = about("z", roll[None])[0] @ about("x", (pitch + above)[None])[0] @ upright @ about("z", aside[None])[0]
    position = torch.stack((middle[0], middle[1] - distance, torch.as_tensor(height)))
    cam_from_world = torch.eye(4)
    cam_from_world[:3, :3] = turn
    cam_from_world[:3, 3] = -turn @ position
    return View(_crop_camera((points - position) @ turn.T, size, generator), cam_from_world)


def _crop_camera(points_cam: Float[Tensor, "v 3"], size: tuple[int, int], generator: Generator) -> Camera:
    seen = points_cam[:, :2] / points_cam[:, 2:].clamp_min(0.3)
    low, high = seen.amin(dim=0), seen.amax(dim=0)
    width, height = size
    zoom = (1 - 2 * MARGIN) * (1 + 0.08 * (_uniform(generator) - 0.6))
    focal = zoom * min(width / float(high[0] - low[0]), height / float(high[1] - low[1]))
    shift = 0.05 * (torch.rand(2, generator=generator) - 0.5) * torch.tensor(size)
    centre = torch.tensor(size) / 2 - focal * (low + high) / 2 + shift
    return Camera(focal, float(centre[0]), float(centre[1]), width, height)


class _Plain(Room):
    """A backdrop of one colour gradient (the matte hides it but for its edge) under light from anywhere."""

    def __init__(self, generator: Generator) -> None:
        self.light = _light(generator)
        self._colors = torch.rand(2, 3, generator=generator) ** 2

    def backdrop(self, view: View, samples: int = 2) -> Backdrop:
        """The gradient; nothing casts a shadow on it."""
        camera = view.camera
        share = torch.linspace(0, 1, camera.height)[:, None, None].expand(camera.height, camera.width, 1)
        color = self._colors[0] * share + self._colors[1] * (1 - share)
        return Backdrop(color.contiguous(), torch.zeros_like(color), torch.full_like(color, -500.0))


def _light(generator: Generator) -> Light:
    azimuth, height = 2.2 * float(torch.randn(1, generator=generator)), 0.15 + 1.2 * _uniform(generator)
    to_sun = torch.tensor([
        math.sin(azimuth) * math.cos(height), -math.cos(azimuth) * math.cos(height), math.sin(height)
    ])  # fmt: skip
    sun, sky, bounce = (
        strength * (1 + 0.15 * (torch.rand(3, generator=generator) - 0.5) * 2)
        for strength in (2.2 * _uniform(generator), 0.45 + 0.9 * _uniform(generator), 0.15 + 0.6 * _uniform(generator))
    )
    return Light(to_sun, sun, sky, bounce)


def _sample(picture: Picture, given: PosedBody, camera: Camera) -> Sample:
    depth_m, normals, canonical = body_maps(given, camera)
    offset = torch.where(depth_m > 0, (depth_m - given.root_depth_m) / given.height_m, torch.nan)
    truth = torch.where(picture.depth_m > 0, (picture.depth_m - given.root_depth_m) / given.height_m, torch.nan)
    numbers = [camera.focal_px, camera.cx, camera.cy, given.root_depth_m / given.height_m]
    return Sample(
        rgb=picture.rgb.permute(2, 0, 1).contiguous(),
        alpha=picture.alpha[None],
        body_offset=offset,
        body_normals=normals.contiguous(),
        canonical=canonical.contiguous(),
        depth=truth[None],
        normals=picture.normals.permute(2, 0, 1).contiguous(),
        camera=torch.tensor(numbers),
    )


def _cut_off(sample: Sample, generator: Generator) -> Sample:
    """Now and then nothing is known below a line, as where the image ends."""
    line = int((0.5 + 0.45 * _uniform(generator)) * sample.rgb.shape[1])
    if _uniform(generator) < CUT_OFF:
        sample.alpha[:, line:] = 0
        sample.rgb[:, line:] = 0
        sample.depth[:, line:] = torch.nan
    return sample


def _uniform(generator: Generator) -> float:
    return float(torch.rand(1, generator=generator))
