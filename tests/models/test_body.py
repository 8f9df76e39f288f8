import math

import pytest
import torch
from dancedepth.models.body import ADULT, SKIN_VERTICES, BodyModel


def _heads(body: BodyModel) -> torch.Tensor:
    return body.rest_heads(torch.tensor([ADULT]))


def test_identity_pose_is_the_rest_pose(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    eye = torch.eye(3).repeat(1, len(body.bone_names), 1, 1)
    transforms = body.pose(_heads(body), eye, rest.bone_poses[None, 0, :3, 3])
    torch.testing.assert_close(body.skin(rest.vertices, transforms)[0], rest.vertices, atol=2e-6, rtol=0)


def test_turning_the_root_turns_everything_rigidly(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rotations = torch.eye(3).repeat(1, len(body.bone_names), 1, 1)
    rotations[:, 0] = turn
    target = torch.tensor([[0.3, 0.2, 2.0]])
    moved = body.skin(rest.vertices, body.pose(_heads(body), rotations, target))[0]
    expected = (rest.vertices - rest.bone_poses[0, :3, 3]) @ turn.T + target
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_bending_an_elbow_moves_the_hand_and_not_the_shoulder(body: BodyModel) -> None:
    heads = _heads(body)
    rotations = torch.eye(3).repeat(1, len(body.bone_names), 1, 1)
    angle = 0.7
    bend = [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    rotations[:, body.bone("lowerarm01.L")] = torch.tensor(bend)
    transforms = body.pose(heads, rotations, heads[:, 0])
    points = torch.cat((heads[0], torch.ones(len(heads[0]), 1)), dim=1)
    moved = (transforms[0] @ points[..., None])[:, :3, 0]
    shift = (moved - heads[0]).norm(dim=1)
    elbow, wrist = body.bone("lowerarm01.L"), body.bone("wrist.L")
    reach = (heads[0, wrist] - heads[0, elbow]).norm()
    assert shift[body.bone("upperarm01.L")] < 1e-6
    assert shift[elbow] < 1e-6
    assert (moved[wrist] - moved[elbow]).norm() == pytest.approx(float(reach), abs=1e-5)
    assert shift[wrist] > 0.1


@pytest.mark.parametrize("side", ["L", "R"])
def test_axes_are_the_documented_ones(body: BodyModel, side: str) -> None:
    heads = dict(zip(body.bone_names, _heads(body)[0], strict=True))
    sign = 1 if side == "L" else -1
    assert sign * heads[f"wrist.{side}"][0] > 0.2
    assert heads["head"][2] > heads["root"][2] > heads[f"foot.{side}"][2]
    assert heads["eye.L"][1] < heads["head"][1]


def test_scaling_sets_the_height_of_the_skin(body: BodyModel) -> None:
    rest = body.scaled_to_height(body.rest(torch.tensor(ADULT)), 1.42)
    assert rest.height_m == pytest.approx(1.42, abs=1e-4)
    skin = rest.vertices[:SKIN_VERTICES, 2]
    assert float(skin.max() - skin.min()) == pytest.approx(1.42, abs=1e-4)


def test_every_trait_of_an_average_adult_moves_the_skin(body: BodyModel) -> None:
    """Fits start there; a trait without a slope would stay as it is for ever."""
    traits = torch.tensor(ADULT, requires_grad=True)
    vertices = body.rest(traits).vertices
    somehow = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0))
    (slopes,) = torch.autograd.grad((vertices * somehow).sum(), traits)
    assert (slopes.abs() > 0.1).all(), slopes


def test_helper_surfaces_wrap_the_body(body: BodyModel) -> None:
    rest = body.rest(torch.tensor(ADULT))
    tights = rest.vertices[body.helper_faces("tights").unique()]
    assert tights[:, 2].max() - tights[:, 2].min() > 0.7 * rest.height_m
    assert rest.vertices[body.helper_faces("skirt").unique()][:, 2].max() < rest.vertices[:SKIN_VERTICES, 2].max() - 0.4


@pytest.mark.slow
def test_the_stripped_body_is_annys(body: BodyModel) -> None:
    import anny

    model = anny.Anny(topology="anny-full", skinning_method="lbs")
    phenotypes = torch.rand(3, 6)
    truth = model(phenotype_kwargs=phenotypes.double())
    for phenotype, vertices, poses in zip(phenotypes, truth["rest_vertices"], truth["rest_bone_poses"], strict=True):
        rest = body.rest(phenotype)
        torch.testing.assert_close(rest.vertices.double(), vertices, atol=1e-5, rtol=0)
        torch.testing.assert_close(rest.bone_poses.double(), poses, atol=1e-5, rtol=0)
