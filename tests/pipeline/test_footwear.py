"""Shoes are feet of another colour than the face; what nobody saw is bare."""

import numpy as np
import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.config import FusionConfig
from dancedepth.pipeline.footwear import wears_shoes

from tests.scenes import rest_body

CONFIG = FusionConfig(voxel_m=0.008, truncation_m=0.03)
SKIN, SHADED, WHITE = (0.8, 0.6, 0.5), (0.7, 0.5, 0.42), (0.9, 0.9, 0.9)


@pytest.mark.parametrize(("feet", "seen", "shod"), [(WHITE, True, True), (SHADED, True, False), (WHITE, False, False)])
def test_feet_of_another_colour_wear_shoes(body: BodyModel, feet: tuple[float, ...], seen: bool, shod: bool) -> None:
    field = BodyField(body, rest_body(body))
    volume = CanonicalVolume(field, CONFIG, torch.device("cpu"))
    volume.activate(torch.from_numpy(field.fine.points), 0.02)
    low = volume.origins[volume.slots, 2] < float(np.quantile(field.vertices[:, 2], 0.3))
    color = torch.where(low[:, None], torch.tensor(feet), torch.tensor(SKIN))
    volume.color[volume.slots] = color[..., None].expand(-1, -1, volume.color.shape[-1]).clone()
    volume.color_weight[volume.slots] = torch.where(low, float(seen), 1.0)[:, None]
    assert wears_shoes(volume, field) == shod
