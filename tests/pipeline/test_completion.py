"""What fusion fills in: hands that frames look past, and how thick unseen clothes can be."""

import numpy as np
import open3d as o3d
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.completion import GLOVE_M, LIMB_INSIDE_M, complete, within_reason
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.outlines import Outline

from tests.scenes import rest_body

SKIN, WHITE = (0.8, 0.6, 0.5), (0.9, 0.9, 0.9)
CONFIG = FusionConfig(voxel_m=0.008, truncation_m=0.03, texture_px=256, texture_views=1)


@pytest.fixture(scope="module")
def field(body: BodyModel) -> BodyField:
    return BodyField(body, rest_body(body))


def caster(vertices: np.ndarray, faces: np.ndarray) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene()
    share = o3d.core.Tensor.from_numpy
    scene.add_triangles(share(vertices.astype(np.float32)), share(faces.astype(np.uint32)))
    return scene


def unknown(field: BodyField) -> Outline:
    """No matte's edge told anything."""
    nothing = np.zeros(len(field.coarse.points), np.float32)
    return Outline(nothing, nothing)


def test_the_surface_lies_where_mattes_end(field: BodyField) -> None:
    """Depth put it far too far out; the edges, seen from all sides, know better."""
    volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), 0.06)
    points = (volume.origins[volume.slots, None] + volume.offsets.T).numpy()
    distance = field.signed_distance(points.reshape(-1, 3)).reshape(points.shape[:2]) - 0.04
    volume.tsdf[volume.slots] = torch.from_numpy(np.clip(distance / CONFIG.truncation_m, -1, 1))
    volume.weight[volume.slots] = 20.0
    count = len(field.coarse.points)
    edges = Outline(np.full(count, 0.01, np.float32), np.full(count, 30.0, np.float32))
    stands_off = []
    for outline in (unknown(field), edges):
        tsdf = complete(volume, field, outline, CONFIG)
        vertices, _ = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
        stands_off.append(float(np.median(field.signed_distance(vertices.astype(np.float32)))))
    assert stands_off[0] > 0.03
    assert abs(stands_off[1] - 0.01) < 0.01


def test_unseen_cloth_spans_what_skin_folds(field: BodyField, body: BodyModel) -> None:
    """Between the buttocks, 2 cm deep in the skin, the surface stays out; fingers keep their shape."""
    volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), CONFIG.truncation_m)
    tsdf = complete(volume, field, unknown(field), CONFIG)
    vertices, faces = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
    height = (vertices[:, 2] - field.vertices[:, 2].min()) / np.ptp(field.vertices[:, 2])
    hips = np.abs(height - 0.52) < 0.008
    middle, beside = np.abs(vertices[:, 0]) < 0.006, np.abs(np.abs(vertices[:, 0]) - 0.07) < 0.01
    assert vertices[hips & beside, 1].max() - vertices[hips & middle, 1].max() < 0.014
    finger = [name.startswith("finger") for name in body.bone_names]
    fingers = field.fine.points[field.fine.skin[:, finger].sum(axis=1) > 0.9]
    off_m = caster(vertices, faces).compute_distance(o3d.core.Tensor.from_numpy(fingers)).numpy()
    assert np.percentile(off_m, 90) < 0.003


def test_a_hand_that_frames_look_past_stays_on(field: BodyField, body: BodyModel) -> None:
    volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), CONFIG.truncation_m)
    hand = [name.startswith(("finger", "metacarpal")) and name.endswith(".L") for name in body.bone_names]
    skin = field.fine.points[field.fine.skin[:, hand].sum(axis=1) > 0.9]
    places = volume.origins[volume.slots].numpy() + volume.block_m / 2
    there = (np.abs(places[:, None] - skin[None, ::20]).max(axis=-1) < 0.05).any(axis=1)
    slots = volume.slots[torch.from_numpy(there)]
    volume.tsdf[slots], volume.weight[slots] = 1.0, 50.0
    tsdf = complete(volume, field, unknown(field), CONFIG)
    vertices, faces = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
    distance = caster(vertices, faces).compute_distance(o3d.core.Tensor.from_numpy(skin)).numpy()
    assert np.percentile(distance, 95) < 0.02, "many looks past it have not cut it off"


def test_limbs_are_not_thinner_and_hands_not_thicker_than_they_can_be(field: BodyField) -> None:
    thin = within_reason(np.full(len(field.coarse.points), -0.03), field)
    np.testing.assert_allclose(thin[field.limbs > 0.6], -LIMB_INSIDE_M)
    trunk = (field.limbs < 0.4) & (field.face + field.hair < 0.4)
    np.testing.assert_allclose(thin[trunk], -0.03)
    assert (thin[~trunk] >= -0.03).all(), "heads have bounds of their own"
    thick = within_reason(np.full(len(field.coarse.points), 0.05), field)
    np.testing.assert_allclose(thick[field.hands > 0.6], GLOVE_M)
    np.testing.assert_allclose(thick[(field.hands < 0.4) & (field.face < 0.4)], 0.05)


def test_shoes_have_no_toes(field: BodyField, body: BodyModel) -> None:
    """Unseen feet, whose colour alone is known: of the face's colour they keep their toes, of another they do not."""
    toes = field.fine.points[field.fine.skin[:, [name.startswith("toe") for name in body.bone_names]].sum(axis=1) > 0.9]
    off_mm = {}
    for name, feet in (("bare", SKIN), ("shod", WHITE)):
        volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
        volume.activate(torch.from_numpy(field.fine.points), CONFIG.truncation_m)
        low = volume.origins[volume.slots, 2] < float(np.quantile(field.vertices[:, 2], 0.3))
        color = torch.where(low[:, None], torch.tensor(feet), torch.tensor(SKIN))
        volume.color[volume.slots] = color[..., None].expand(-1, -1, volume.color.shape[-1]).clone()
        volume.color_weight[volume.slots] = 1.0
        tsdf = complete(volume, field, unknown(field), CONFIG)
        surface = volume.extract(tsdf, np.ones(tsdf.shape, dtype=bool))
        off_mm[name] = 1000 * caster(*surface).compute_distance(o3d.core.Tensor.from_numpy(toes)).numpy().mean()
    assert off_mm["shod"] > 1.5 * off_mm["bare"]
