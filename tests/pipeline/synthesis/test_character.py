import pytest
import torch
from dancedepth.models.body import ADULT, BodyModel
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline.synthesis import anatomy
from dancedepth.pipeline.synthesis.character import OVERLAP_M, DressedBody, dress
from dancedepth.pipeline.synthesis.face import Skin
from dancedepth.pipeline.synthesis.outfit import draw_outfit, sew, with_long_wear

SKIN = 0
"""The skin is a dressed body's first material."""


@pytest.fixture(scope="module", params=(0, 2, 3, 6))
def dressed(request: pytest.FixtureRequest, body: BodyModel) -> DressedBody:
    return dress(body, body.rest(torch.tensor(ADULT)), request.param, detail=1)


def test_one_surface_that_can_be_skinned(dressed: DressedBody, body: BodyModel) -> None:
    count = len(dressed.vertices)
    assert dressed.skin_weights.shape == dressed.skin_bones.shape == (count, 8)
    torch.testing.assert_close(dressed.skin_weights.sum(dim=1), torch.ones(count))
    assert int(dressed.faces.max()) == count - 1
    assert len(dressed.faces.unique()) == count
    assert int(dressed.skin_bones.max()) < len(body.bone_names)
    assert dressed.vertices.isfinite().all()


@pytest.mark.parametrize("side", (1.0, -1.0))
def test_no_skin_shows_through_clothes(dressed: DressedBody, side: float) -> None:
    rotation = torch.tensor([[side, 0, 0], [0, 0, -1], [0, side, 0]])
    points = dressed.vertices @ rotation.T + torch.tensor([0, 0, 6.0])
    raster = rasterize(points, dressed.faces, Camera.centred(1500, 400, 600))
    seen = raster.face_index >= 0
    material = dressed.face_material[raster.face_index[seen]]
    assert isinstance(dressed.materials[SKIN], Skin)
    on_adult = raster.interpolate(dressed.faces, dressed.pattern[:, :3])[seen][material == SKIN]
    trunk = (on_adult[:, 0].abs() < 0.12) & (on_adult[:, 2] > 0.2) & (on_adult[:, 2] < 0.5)
    assert len(on_adult) > 500
    assert int(trunk.sum()) == 0


def test_clothes_hide_the_skin_below_them_but_for_a_margin(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    template, weights = anatomy.average_adult(body), anatomy.dense_weights(body)
    garments = sew(body, rest, draw_outfit(torch.Generator().manual_seed(0)), 1, frozenset())
    dressed = dress(body, rest, 0, detail=1)
    skin = dressed.pattern[dressed.faces[dressed.face_material == SKIN].unique(), :3]
    nearest = torch.cdist(skin, template[:13380]).argmin(dim=1)
    deepest = max(float(g.cover(template, weights)[nearest].max()) for g in garments)
    assert 0 < deepest < OVERLAP_M + 0.05  # triangles across the margin's end keep all three corners


def test_a_seed_always_dresses_alike_and_seeds_differ(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    first, again, other = (dress(body, rest, seed, detail=1) for seed in (5, 5, 6))
    assert torch.equal(first.vertices, again.vertices)
    assert torch.equal(first.colors, again.colors)
    assert len(first.vertices) != len(other.vertices)


def test_colours_are_of_a_person_in_clothes(dressed: DressedBody) -> None:
    colors = dressed.colors
    assert colors.dtype == torch.uint8
    owner = torch.zeros(len(colors), dtype=torch.long)
    owner[dressed.faces.flatten()] = dressed.face_material.repeat_interleave(3)
    skin = colors[owner == SKIN].float().median(dim=0).values
    assert skin[0] > skin[1] > skin[2]
    medians = torch.stack([colors[owner == k].float().median(dim=0).values for k in range(len(dressed.materials))])
    assert len(medians.unique(dim=0)) >= 5


def test_some_wear_dresses_coats_and_loose_sleeves(body: BodyModel) -> None:
    plain = [draw_outfit(torch.Generator().manual_seed(seed)) for seed in range(60)]
    long = [with_long_wear(outfit, seed) for seed, outfit in enumerate(plain)]
    dresses = [o for o in long if o.leg == "skirt" and o.materials["skirt"] is o.materials["top"]]
    coats = [o for o in long if o.coat_z is not None]
    assert 5 < len(dresses) < 25 and 5 < len(coats) < 20
    assert 5 < sum(one.top_fit.loose_m >= 0.04 and one is not was for one, was in zip(long, plain, strict=True)) < 20
    rest = body.rest(torch.tensor(ADULT))
    *_, upper, lower = sew(body, rest, coats[0], 1, frozenset())
    assert upper.name == lower.name == "coat"
    for piece in (upper.mesh, lower.mesh):
        front = piece.template[(piece.template[:, 1] < -0.02) & (piece.template[:, 0].abs() < 0.3)]
        assert float(front[:, 0].abs().min()) > coats[0].coat_open_m - 1e-4, "it is open in front"
    assert float(lower.mesh.template[:, 2].min()) == pytest.approx(coats[0].coat_z, abs=0.01)
    assert float(upper.mesh.rest[:, 2].min()) < float(lower.mesh.rest[:, 2].max()), "its pieces overlap"
    assert "coat" not in {garment.name for garment in sew(body, rest, coats[0], 1, frozenset({"top"}))}
