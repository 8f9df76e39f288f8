import numpy as np
import open3d as o3d
import pytest
import torch
from dancedepth.models.body import skin_points
from dancedepth.models.geometry import depth_to_normals, pixel_rays
from dancedepth.pipeline.synthesis.render import Picture
from dancedepth.pipeline.synthesis.scene import Scene

FRAME = 2


@pytest.fixture(scope="module")
def picture(small_scene: Scene) -> Picture:
    return small_scene.renderer().render(torch.from_numpy(small_scene.motion.cam_from_rest[FRAME]))


def posed(scene: Scene) -> torch.Tensor:
    dressed, poses = scene.dressed, torch.from_numpy(scene.motion.cam_from_rest[FRAME])[None]
    return skin_points(dressed.vertices, dressed.skin_weights, dressed.skin_bones, poses)[0]


def test_every_pixel_agrees_with_a_ray_caster(small_scene: Scene, picture: Picture) -> None:
    share = o3d.core.Tensor.from_numpy
    caster = o3d.t.geometry.RaycastingScene()
    caster.add_triangles(share(posed(small_scene).numpy()), share(small_scene.dressed.faces.numpy().astype(np.uint32)))
    rays = pixel_rays(small_scene.view.camera).float().numpy()
    hits = caster.cast_rays(share(np.concatenate((np.zeros_like(rays), rays), axis=-1)))
    z = np.nan_to_num(hits["t_hit"].numpy(), posinf=0.0)  # rays have z = 1, so that their length is the depth
    differs = np.abs(z - picture.depth_m.numpy()) > 1e-4
    assert (z > 0).sum() > 1000
    assert differs.sum() <= 0.002 * (z > 0).sum()  # rays may graze an edge


def test_normals_are_those_of_the_depth(small_scene: Scene, picture: Picture) -> None:
    seen = picture.depth_m > 0
    lengths = picture.normals.norm(dim=-1)
    torch.testing.assert_close(lengths[seen], torch.ones(int(seen.sum())))
    assert not picture.normals[~seen].any()
    assert (picture.normals * pixel_rays(small_scene.view.camera)).sum(dim=-1)[seen].max() <= 0
    from_depth = depth_to_normals(picture.depth_m, small_scene.view.camera)
    both = seen & from_depth.any(dim=-1)
    angle = torch.rad2deg((picture.normals * from_depth).sum(dim=-1)[both].clamp(-1, 1).acos())
    assert float(angle.median()) < 12  # at 8 mm a pixel, folds are hardly sampled


def test_coverage_agrees_with_depth(picture: Picture) -> None:
    seen = picture.depth_m > 0
    assert (picture.alpha[seen] > 0).all()
    around = torch.nn.functional.max_pool2d(seen[None].float(), 3, 1, 1)[0] > 0
    assert not picture.alpha[~around].any()
    inside = torch.nn.functional.max_pool2d((~seen)[None].float(), 3, 1, 1)[0] == 0
    # Gaps narrower than a pixel, as between fingers, may lie between covered centres.
    assert float((picture.alpha[inside] == 255).float().mean()) > 0.995
    share = picture.alpha.float().sum() / 255
    assert abs(float(share) / int(seen.sum()) - 1) < 0.02


def test_the_dancer_stands_out_casts_a_shadow_and_the_room_is_not_plain(small_scene: Scene, picture: Picture) -> None:
    rgb = picture.rgb.float()
    outside = picture.alpha == 0
    assert float(rgb[outside].std(dim=0).mean()) > 12
    empty = small_scene.room.backdrop(small_scene.view, 2)
    lit = ((empty.ambient + empty.sunlit).clamp(0, 1) ** (1 / 2.2) * 255)[outside]
    darker = lit.mean(dim=1) - rgb[outside].mean(dim=1) > 15
    floor = empty.points[outside][:, 2] < 0.01
    assert int((darker & floor).sum()) > 50
    assert float(darker.float().mean()) < 0.3


def test_the_picture_is_the_same_every_time(small_scene: Scene, picture: Picture) -> None:
    again = small_scene.renderer().render(torch.from_numpy(small_scene.motion.cam_from_rest[FRAME]))
    assert torch.equal(again.rgb, picture.rgb)
