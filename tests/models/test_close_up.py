"""A second look at the head: where it is, and what it changes."""

from dataclasses import replace

import pytest
import torch
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.close_up import FADING, CloseUp, close_up, look_closer
from dancedepth.models.geometry import Camera, depth_to_normals, project
from dancedepth.models.inputs import Crop, NetworkInput, PosedBody, camera_rays, crop_around, head_crop
from dancedepth.models.paste_back import Geometry
from torch.nn.functional import interpolate, pad

SIZE = (64, 64)
CAMERA = Camera.centred(400.0, 240, 360)
AWAY_M, HEIGHT_M = 2.0, 1.6


def standing(body: BodyModel, aside_m: float = 0.0, away_m: float = 2.5) -> PosedBody:
    """Upright before the camera, which sees it from the front."""
    rest = body.rest(torch.tensor(ADULT))
    x, y, z = rest.vertices.unbind(dim=1)
    middle = (z.max() + z.min()) / 2
    cam = torch.stack((x + aside_m, middle - z, y + away_m), dim=1)
    return PosedBody(cam, rest.vertices, body.faces, away_m, rest.height_m)


def test_the_window_holds_the_head_and_little_else(body: BodyModel) -> None:
    posed = standing(body)
    crop = head_crop(posed, CAMERA, SIZE)
    assert crop is not None and crop.width == crop.height
    heights = posed.rest_vertices[:, 2]
    seen = project(posed.vertices_cam[body.faces.unique()], CAMERA)
    skin = heights[body.faces.unique()]
    corner = torch.tensor([crop.left, crop.top])
    inside = ((seen >= corner) & (seen < corner + crop.width)).all(dim=1)
    head = skin > skin.max() - 0.13 * posed.height_m
    assert inside[head].all()
    assert not inside[skin < skin.max() - 0.3 * posed.height_m].any()
    assert crop.camera.focal_px == pytest.approx(CAMERA.focal_px * SIZE[0] / crop.width)


def test_no_second_look_without_a_head_or_without_gain(body: BodyModel) -> None:
    rgb, alpha = torch.zeros((360, 240, 3), dtype=torch.uint8), torch.zeros((360, 240), dtype=torch.uint8)
    alpha[20:340, 60:180] = 255
    whole = crop_around(alpha, CAMERA, (64, 96))
    assert whole is not None

    def looks(posed: PosedBody, first: Crop = whole) -> CloseUp | None:
        return close_up(rgb, alpha, posed, CAMERA, SIZE, first)

    assert looks(standing(body)) is not None
    assert looks(standing(body, aside_m=3.0)) is None, "it is beyond the border"
    assert looks(standing(body, away_m=-2.5)) is None, "it is behind the camera"
    fine = replace(whole, camera=whole.camera.resized(640, 960))
    assert looks(standing(body), fine) is None, "the first look was as fine"
    alpha[:120] = 0
    assert looks(standing(body)) is None, "nothing of it was cut out"


def looked_at(left: int, top: int) -> tuple[Geometry, Geometry, torch.Tensor]:
    """A plane, before and after a second look saw waves on the left two thirds of the picture."""
    crop = Crop(left, top, 160, 160, CAMERA.crop(left, top, 160, 160).resized(*SIZE))
    alpha = torch.zeros((360, 240), dtype=torch.uint8)
    alpha[:, :160] = 255
    person = (alpha > 0).float()
    plane = torch.stack((0 * person, 0 * person, -person), dim=2)
    first = Geometry(AWAY_M * person, plane, 0.5 * person)
    rays = camera_rays(crop.camera)
    waves = AWAY_M + 0.01 * torch.sin(40 * AWAY_M * rays[0, 0])
    normals = depth_to_normals(waves, crop.camera).permute(2, 0, 1)
    wide = pad(person, (160,) * 4)[None, None]
    inside = interpolate(wide[..., top + 160 : top + 320, left + 160 : left + 320], size=SIZE)
    empty = torch.zeros((1, 3, *SIZE))
    root = torch.full((1, 1, 1, 1), AWAY_M / HEIGHT_M)
    given = NetworkInput(empty, inside, empty[:, :1], empty, empty, empty[:, :1], rays, root)
    after = Geometry(first.depth_m.clone(), first.normals.clone(), first.confidence.clone())
    body = PosedBody(torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(1, 3, dtype=torch.long), AWAY_M, HEIGHT_M)
    look_closer(after, normals, CloseUp(given, crop), body, alpha)
    return first, after, waves


@pytest.mark.parametrize("corner", [(20, 60), (-40, -30)])
def test_it_brings_its_normals_and_their_relief_and_fades(corner: tuple[int, int]) -> None:
    left, top = corner
    first, after, waves = looked_at(left, top)
    person = first.depth_m > 0
    assert torch.equal(after.depth_m > 0, person) and torch.equal(after.confidence, first.confidence)
    torch.testing.assert_close(after.normals.norm(dim=2)[person], torch.ones(int(person.sum())))
    outside = torch.ones_like(person)
    outside[max(top, 0) : top + 160, max(left, 0) : left + 160] = False
    assert torch.equal(after.depth_m[outside], first.depth_m[outside])
    assert torch.equal(after.normals[outside], first.normals[outside])
    edge = int(FADING * 160) + 8
    rows, columns = slice(max(top + edge, 8), top + 160 - edge), slice(max(left + edge, 8), min(left + 160 - edge, 150))
    big = interpolate(waves[None, None], size=(160, 160), mode="bicubic")[0, 0]
    rise = (big - AWAY_M)[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    found = after.depth_m[rows, columns] - AWAY_M
    assert float(torch.corrcoef(torch.stack((rise.flatten(), found.flatten())))[0, 1]) > 0.95
    assert 0.5 < float(found.std() / rise.std()) < 1.1
    own = depth_to_normals(after.depth_m, CAMERA)
    agree = (own * after.normals).sum(-1)[rows, columns]
    plain = (own * first.normals).sum(-1)[rows, columns]
    assert float(agree.mean()) > float(plain.mean())


def test_normals_pass_smoothly_from_one_look_to_the_other() -> None:
    _, after, _ = looked_at(20, 60)
    top = after.normals[60:90, 80]
    assert float((top[0] - torch.tensor([0.0, 0, -1])).norm()) < 0.02
    assert float(top.diff(dim=0).norm(dim=1).max()) < 0.1
