"""Arms and legs of the face's colour are bare, and as thick all along as they usually are."""

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.bare_limbs import EVEN_M, find_bare_limbs
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.seen_colors import SeenColors

from tests.scenes import rest_body

SKIN, SHADED, BLUE = (0.8, 0.6, 0.5), (0.7, 0.5, 0.42), (0.2, 0.3, 0.7)
HIPS_Z = 0.0


@pytest.fixture(scope="module")
def field(body: BodyModel) -> BodyField:
    return BodyField(body, rest_body(body))


def painted(field: BodyField, legs: tuple[float, ...], arms_seen: bool = True) -> CanonicalVolume:
    """The body in voxels: legs in a colour of theirs, the rest like the face, arms perhaps unseen."""
    volume = CanonicalVolume(field, FusionConfig(voxel_m=0.008, truncation_m=0.03), torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), 0.02)
    at = volume.origins[volume.slots]
    color = torch.where((at[:, 2:] < HIPS_Z), torch.tensor(legs), torch.tensor(SKIN))
    volume.color[volume.slots] = color[..., None].expand(-1, -1, volume.color.shape[-1]).clone()
    far = (at[:, 0].abs() > 0.2) & (at[:, 2] > HIPS_Z)
    volume.color_weight[volume.slots] = torch.where(far & (not arms_seen), 0.0, 1.0)[:, None]
    return volume


def parts(field: BodyField) -> tuple[np.ndarray, np.ndarray]:
    """Samples well within legs, and within arms."""
    low, bones = field.coarse.points[:, 2] < HIPS_Z - 0.1, (field.limbs > 0.9) & (field.bare < 0.1)
    return bones & low, bones & (field.coarse.points[:, 2] > HIPS_Z + 0.15)


@pytest.mark.parametrize(("legs", "bare"), [(SHADED, True), (BLUE, False)])
def test_limbs_of_the_face_s_colour_are_bare(field: BodyField, legs: tuple[float, ...], bare: bool) -> None:
    found = find_bare_limbs(SeenColors(painted(field, legs), field), field, np.zeros(len(field.limbs)))
    low, high = parts(field)
    assert found.share[high].all() and found.share[low].mean() == bare
    assert not found.share[field.limbs < 0.5].any() and not found.share[field.hands > 0.5].any()


def test_what_is_thick_or_unseen_is_not_bare(field: BodyField) -> None:
    _, arms = parts(field)
    assert not find_bare_limbs(
        SeenColors(painted(field, SKIN), field), field, np.full(len(field.limbs), 0.02)
    ).share.any()
    unseen = find_bare_limbs(
        SeenColors(painted(field, SKIN, arms_seen=False), field), field, np.zeros(len(field.limbs))
    )
    far = arms & (np.abs(field.coarse.points[:, 0]) > 0.4)
    assert far.any() and not unseen.share[far].any()


def test_a_swollen_elbow_goes_and_what_is_even_stays(field: BodyField) -> None:
    low, arms = parts(field)
    thickness = np.full(len(field.limbs), 0.004)
    middle = field.coarse.points[arms].mean(axis=0) * (0, 1, 1) + (np.abs(field.coarse.points[arms, 0]).mean(), 0, 0)
    elbow = arms & (np.linalg.norm(field.coarse.points - middle, axis=1) < 0.05)
    thickness[elbow] = 0.025
    even = find_bare_limbs(SeenColors(painted(field, BLUE), field), field, thickness).evened(thickness)
    assert elbow.any() and (even[elbow] <= 0.004 + EVEN_M + 1e-9).all()
    np.testing.assert_array_equal(even[~elbow], thickness[~elbow])
    assert low.any()
