"""Shoes are feet of another colour than the face, without toes; what nobody saw is bare."""

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.footwear import Shoes, shoes_worn
from dancedepth.pipeline.seen_colors import SeenColors
from scipy.spatial import ConvexHull

from tests.scenes import rest_body

CONFIG = FusionConfig(voxel_m=0.008, truncation_m=0.03)
SKIN, SHADED, WHITE, PINK = (0.8, 0.6, 0.5), (0.7, 0.5, 0.42), (0.9, 0.9, 0.9), (0.8, 0.68, 0.66)


@pytest.mark.parametrize(
    ("feet", "seen", "shod"),
    [(WHITE, True, True), (PINK, True, True), (SHADED, True, False), (WHITE, False, False)],
)
def test_feet_of_another_colour_wear_shoes(body: BodyModel, feet: tuple[float, ...], seen: bool, shod: bool) -> None:
    field = BodyField(body, rest_body(body))
    volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), 0.02)
    low = volume.origins[volume.slots, 2] < float(np.quantile(field.vertices[:, 2], 0.3))
    color = torch.where(low[:, None], torch.tensor(feet), torch.tensor(SKIN))
    volume.color[volume.slots] = color[..., None].expand(-1, -1, volume.color.shape[-1]).clone()
    volume.color_weight[volume.slots] = torch.where(low, float(seen), 1.0)[:, None]
    assert (shoes_worn(SeenColors(volume, field), field) is not None) == shod


def test_shoes_close_the_gaps_between_toes_and_nothing_else(body: BodyModel) -> None:
    """Voxels filled from the naked body, and then with shoes over it: a level through the toes, one foot."""
    field = BodyField(body, rest_body(body))
    shoes, offset, truncation = Shoes.on(field), 0.002, 0.03
    feet = field.foot_skin[field.foot_skin[:, 0] > 0]
    low, high = feet.min(axis=0), feet.max(axis=0)
    x, y = np.meshgrid(*(np.arange(low[k] - 0.02, high[k] + 0.02, 0.002) for k in range(2)), indexing="ij")

    def filled(height: float) -> tuple[np.ndarray, np.ndarray]:
        points = np.stack((x, y, np.full_like(x, shoes.sole_z + height)), axis=-1)[None].reshape(1, -1, 3)
        naked = np.clip((field.signed_distance(points[0])[None] - offset) / truncation, -1, 1)
        worn = shoes.over(points, np.full(naked.shape, offset), naked, truncation)
        return (one.reshape(x.shape) < 0 for one in (naked, worn))

    def hollow(inside: np.ndarray) -> float:
        at = np.argwhere(inside) * 0.002
        return 1 - inside.sum() * 0.002**2 / ConvexHull(at).volume

    naked, worn = filled(0.012)
    assert hollow(naked) > 0.06 and hollow(worn) < 0.02
    assert worn[naked].all()
    above_naked, above = filled(0.06)
    assert (above == above_naked).all() and above.any()
    below_naked, below = filled(-0.01)
    assert not below.any() and not below_naked.any()
