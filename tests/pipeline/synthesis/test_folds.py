from dataclasses import replace

import pytest
import torch
from dancedepth.models import losses
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.synthesis.character import DressedBody, dress
from dancedepth.pipeline.synthesis.folds import SLACK, Folds, draw_folds
from dancedepth.pipeline.synthesis.materials import Cloth
from dancedepth.pipeline.synthesis.posed_folds import PosedFolds, Raised, squeezed_along_z
from dancedepth.pipeline.training.config import DataConfig
from dancedepth.pipeline.training.dataset import Batch, collate
from dancedepth.pipeline.training.people import Person, draw_person
from dancedepth.pipeline.training.views import draw_view
from torch import Tensor

PLAIN = Cloth((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "plain", 0.05, False)


def banner(folds: Folds, cells: int = 6) -> DressedBody:
    """One square metre of hanging cloth in the plane of x and z, its outside to -y."""
    line = torch.linspace(0, 1, cells + 1)
    z, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack((x, 0 * x, z), dim=2).view(-1, 3)
    index = torch.arange((cells + 1) ** 2).view(cells + 1, -1)
    a, b, c, d = (index[i : cells + i, j : cells + j].flatten() for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
    faces = torch.cat((torch.stack((a, b, d), dim=1), torch.stack((a, d, c), dim=1)))
    return DressedBody(
        vertices=points,
        faces=faces,
        skin_weights=torch.eye(8)[:1].expand(len(points), 8),
        skin_bones=torch.zeros(len(points), 8, dtype=torch.long),
        pattern=torch.cat((points, torch.ones(len(points), 2)), dim=1),
        corner_uv=torch.zeros(len(faces), 3, 2),
        face_material=torch.zeros(len(faces), dtype=torch.long),
        materials=(PLAIN,),
        folds=(folds,),
    )


def raised_at(dressed: DressedBody, posed: Tensor) -> Raised:
    """Folds in the middle of every triangle."""
    count = len(dressed.faces)
    return PosedFolds(dressed, posed).at(torch.arange(count), torch.full((count, 3), 1 / 3))


def one_wave(slope: float, wave: tuple[float, float, float]) -> Folds:
    folds = draw_folds(1, pleated=False)
    none = torch.zeros_like(folds.slopes)
    none[0] = slope
    waves = folds.waves.clone()
    waves[0] = torch.tensor(wave)
    return replace(folds, waves=waves, slopes=none, wrinkled=0.0)


def test_a_draw_is_the_same_every_time_and_only_skirts_have_pleats() -> None:
    assert torch.equal(draw_folds(5, True).waves, draw_folds(5, True).waves)
    assert not torch.equal(draw_folds(5, True).waves, draw_folds(6, True).waves)
    assert not any(draw_folds(seed, False).pleats for seed in range(20))
    assert 4 < sum(draw_folds(seed, True).pleats > 0 for seed in range(20)) < 16


@pytest.mark.parametrize("share", [0.7, 1.0, 1.2])
def test_cloth_is_squeezed_as_much_as_it_became_shorter(share: float) -> None:
    dressed = banner(one_wave(0, (1, 0, 0)))
    posed = dressed.vertices * torch.tensor([2.0, 1, share])
    squeezed = squeezed_along_z(dressed.pattern[:, :3], dressed.vertices, posed, dressed.faces)
    torch.testing.assert_close(squeezed, torch.full_like(squeezed, 1 - share), atol=2e-3, rtol=0)


def test_the_gradient_is_that_of_the_height() -> None:
    dressed = banner(one_wave(0.5, (40, 0, 25)), cells=300)
    raised = raised_at(dressed, dressed.vertices)
    corners = dressed.vertices[dressed.faces]
    middle, height = corners.mean(dim=1), raised.height_m
    assert height.std() > 2e-3
    # Neighbours in a row of triangles lie one cell apart along x; after each row of 300, along z.
    rows, step = height[: 300 * 300].view(300, 300), 1 / 300
    slopes = raised.gradient[: 300 * 300].view(300, 300, 3)
    assert (middle[1] - middle[0])[0] == pytest.approx(step, abs=1e-6)
    across = (rows[:, 2:] - rows[:, :-2]) / (2 * step)
    along = (rows[2:] - rows[:-2]) / (2 * step)
    assert across.abs().mean() > 0.2 and along.abs().mean() > 0.1
    assert (slopes[:, 1:-1, 0] - across).abs().mean() < 0.02
    assert (slopes[1:-1, :, 2] - along).abs().mean() < 0.02
    assert slopes[..., 1].abs().max() < 1e-5


def test_slopes_grow_where_cloth_is_pulled_together() -> None:
    dressed = banner(one_wave(0.3, (40, 0, 0)), cells=100)
    as_cut = raised_at(dressed, dressed.vertices).gradient[:, 0]
    narrow = raised_at(dressed, dressed.vertices * torch.tensor([0.5, 1, 1])).gradient[:, 0]
    assert float((narrow / as_cut)[as_cut.abs() > 0.1].median()) == pytest.approx(2, rel=0.01)


def test_only_squeezed_cloth_wrinkles() -> None:
    dressed = banner(replace(one_wave(0, (1, 0, 0)), wrinkled=0.8), cells=60)
    slack, squeezed = (
        raised_at(dressed, dressed.vertices * torch.tensor([1, 1, share])) for share in (1 - 0.9 * SLACK, 0.8)
    )
    assert slack.height_m.abs().max() < 1e-6
    assert float(squeezed.gradient[:, 2].abs().mean()) > 0.2
    assert float(squeezed.gradient[:, 2].abs().mean()) > 1.2 * float(squeezed.gradient[:, 0].abs().mean())


def test_normals_lean_away_from_rising_cloth_and_stay_in_front_of_it() -> None:
    raised = Raised(torch.arange(2), torch.zeros(2), torch.tensor([[0.5, 0.0, 0.0], [90.0, 0.0, 0.0]]))
    normals = torch.tensor([[0.0, -1, 0]]).expand(2, 3)
    turned = raised.turned(normals)
    assert turned[0].tolist() == pytest.approx([-(0.2**0.5), -(0.8**0.5), 0], abs=1e-4)
    assert float(turned[1, 1]) < -0.5


def test_a_height_moves_the_depth_along_the_ray() -> None:
    raised = Raised(torch.arange(2), torch.tensor([0.006, 0.006]), torch.zeros(2, 3))
    normals = torch.nn.functional.normalize(torch.tensor([[0.0, 0, -1], [1, 0, -1]]), dim=1)
    rays = torch.tensor([[0.0, 0, 1], [0, 0, 1]])
    assert raised.nearer_m(normals, rays).tolist() == pytest.approx([0.006, 0.006 * 2**0.5])
    assert raised.nearer_m(-normals, rays).tolist() == pytest.approx([-0.006, -0.006 * 2**0.5])


@pytest.fixture(scope="module")
def person(body: BodyModel) -> Person:
    return draw_person(body, DataConfig(views=1, fine_folds=True), 5)


def seen(body: BodyModel, person: Person) -> Batch:
    return collate([draw_view(body, person, 0, (320, 480), 0.0, torch.Generator().manual_seed(3))])


def test_people_show_folds_whose_depth_normals_and_shading_agree(body: BodyModel, person: Person) -> None:
    smooth = replace(person, dressed=replace(person.dressed, folds=()))
    with_folds, without = seen(body, person), seen(body, smooth)
    both = with_folds.mask & without.mask
    assert 8 < float(losses.normal_angle_deg(with_folds.normals, without.normals, both)[0]) < 30
    away = with_folds.depth + with_folds.given.root_depth
    own, known = losses.surface_normals(away, with_folds.given.rays, both)
    right = float(losses.normal_angle_deg(own, with_folds.normals, known)[0])
    assert right < 12
    assert right < 0.8 * float(losses.normal_angle_deg(own, without.normals, known)[0])
    brighter = (with_folds.given.image - without.given.image).mean(dim=1)[both[:, 0]]
    upwards = (without.normals - with_folds.normals)[:, 1][both[:, 0]]  # y points down
    assert float(torch.corrcoef(torch.stack((brighter, upwards)))[0, 1]) > 0.2


def test_skin_shoes_and_hair_have_none(body: BodyModel) -> None:
    dressed = dress(body, body.rest(torch.full((6,), 0.5)), 1, detail=1, fine_folds=True)
    cloth = [isinstance(look, Cloth) for look in dressed.materials]
    assert [folds is not None for folds in dressed.folds] == cloth
    assert not dress(body, body.rest(torch.full((6,), 0.5)), 1, detail=1).folds


def test_a_training_says_whether_its_people_have_folds_and_coats(body: BodyModel) -> None:
    plain, both = DataConfig(views=1), DataConfig(views=1, fine_folds=True, long_wear=True)
    assert not any("coat" in draw_person(body, plain, seed).wears for seed in range(8))
    drawn = [draw_person(body, both, seed) for seed in range(8)]
    assert any("coat" in one.wears for one in drawn) and all(one.dressed.folds for one in drawn)
