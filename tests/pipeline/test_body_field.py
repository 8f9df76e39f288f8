import numpy as np
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField

from tests.scenes import rest_body


@pytest.fixture(scope="module")
def field(body: BodyModel) -> BodyField:
    return BodyField(body, rest_body(body))


def test_field_on_the_skin_is_the_bodys_own_skinning(field: BodyField, body: BodyModel) -> None:
    rows = np.arange(0, 13000, 97)
    own = np.zeros((len(rows), field.bones), np.float32)
    np.add.at(own, (np.arange(len(rows))[:, None], body.skin_bones[rows].numpy()), body.skin_weights[rows].numpy())
    values = field.at(field.vertices[rows])
    visible = values.distance_m < 0.006
    assert visible.mean() > 0.8
    moved = np.abs(values.skin - own)[visible].sum(axis=1) / 2
    assert np.median(moved) < 0.03
    assert moved.mean() < 0.1


def test_weights_change_smoothly_from_one_leg_to_the_other(field: BodyField, body: BodyModel) -> None:
    knee = field.vertices[:13380][:, 2].min() + 0.5
    across = np.stack((np.linspace(-0.12, 0.12, 300), np.full(300, -0.15), np.full(300, knee)), axis=1)
    skin = field.at(across).skin
    left = skin[:, [i for i, name in enumerate(body.bone_names) if name.endswith(".L")]].sum(axis=1)
    assert left[0] < 0.05
    assert left[-1] > 0.95
    assert np.abs(np.diff(left)).max() < 0.03, "a skirt hangs in one piece"
    np.testing.assert_allclose(skin.sum(axis=1), 1, atol=1e-4)


def test_distance_is_signed_and_the_mouth_is_inside(field: BodyField) -> None:
    top = field.vertices[:13380, 2].max()
    centre = np.array([[0.0, -0.05, top - 0.6], [0.0, -1.0, 0.0]])
    inside, outside = field.signed_distance(centre)
    assert inside < -0.03
    assert outside > 0.7
    assert field._cavities is not None
    hidden = field._cavities.data
    mouth = hidden[np.abs(hidden[:, 0]) < 0.01]
    assert len(mouth) > 20
    behind_lips = mouth + np.array([0.0, 0.0, 0.002])
    assert (field.signed_distance(behind_lips) < 0.0005).mean() > 0.95
