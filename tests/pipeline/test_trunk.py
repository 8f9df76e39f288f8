"""What spans the trunk's folds: no cleft between the buttocks, the legs apart, arms outside."""

import numpy as np
import pytest
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.trunk import RISE_M, Trunk
from scipy.spatial import ConvexHull

from tests.scenes import rest_body

CELL_M = 0.004


@pytest.fixture(scope="module")
def field(body: BodyModel) -> BodyField:
    return BodyField(body, rest_body(body))


def section(field: BodyField, z: float) -> np.ndarray:
    """Points of a level, without the arms."""
    own = field.trunk_skin[np.abs(field.trunk_skin[:, 2] - z) < 0.01]
    x, y = (np.arange(own[:, k].min() - 0.03, own[:, k].max() + 0.03, CELL_M) for k in range(2))
    return np.stack((*np.meshgrid(x, y), np.full((len(y), len(x)), z)), axis=-1).reshape(-1, 3)


def hollow(points: np.ndarray, inside: np.ndarray) -> float:
    """The share of the convex hull that is not inside."""
    return 1 - inside.sum() * CELL_M**2 / ConvexHull(points[inside, :2]).volume


def test_folds_are_spanned(field: BodyField) -> None:
    trunk = Trunk.of(field)
    points = section(field, trunk.bottom_z + 0.02)
    naked, spanned = field.signed_distance(points) < 0, trunk.distance_m(points) < 0
    assert hollow(points, naked) > 0.06 and hollow(points, naked | spanned) < 0.065


def test_above_them_the_outline_is_the_skin_s(field: BodyField) -> None:
    trunk = Trunk.of(field)
    for z in (RISE_M + 0.001, 0.2, 0.3):
        points = section(field, trunk.bottom_z + z)
        naked, spanned = field.signed_distance(points) < 0, trunk.distance_m(points) < 0
        assert spanned[naked].mean() > 0.99
        assert ConvexHull(points[spanned, :2]).volume < 1.1 * ConvexHull(points[naked, :2]).volume, "of slabs 4 cm high"


def test_legs_stay_apart_and_nothing_jumps(field: BodyField) -> None:
    trunk = Trunk.of(field)
    y = float(field.trunk_skin[:, 1].mean())
    heights = np.arange(trunk.bottom_z - 0.2, field.armpit_z + 0.2, 0.001)
    distance = trunk.distance_m(np.stack((np.zeros_like(heights), np.full_like(heights, y), heights), axis=1))
    assert (distance[heights < trunk.bottom_z - 0.2 * RISE_M] > -0.07).all()
    assert np.abs(np.diff(distance)).max() < 0.004
    far = section(field, trunk.bottom_z - 3 * RISE_M)
    assert (trunk.distance_m(far) > 0).all()
