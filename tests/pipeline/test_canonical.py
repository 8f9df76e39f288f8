"""The canonical volume: what its voxels know of the body."""

import pytest
import torch
from dancedepth.models.body import BodyModel
from dancedepth.pipeline.body_field import BodyField
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.config import FusionConfig

from tests.scenes import rest_body

CPU = torch.device("cpu")


@pytest.mark.parametrize("voxel_m", [0.012, 0.015, 0.02, 0.03])
def test_every_voxel_follows_some_bone(body: BodyModel, voxel_m: float) -> None:
    """Blocks of coarse voxels are larger than a hand: more bones are near them than a block keeps."""
    field = BodyField(body, rest_body(body))
    reach_m = 3 * voxel_m
    volume = CanonicalVolume(field, FusionConfig(voxel_m=voxel_m, truncation_m=reach_m), CPU)
    skin = torch.from_numpy(field.vertices).float()
    generator = torch.Generator().manual_seed(1)
    for off_m in (0.0, 0.05, 0.1, 0.15):
        volume.activate(skin + off_m * torch.randn(skin.shape, generator=generator).clamp(-1.5, 1.5), reach_m)
    weights = volume.skin[volume.slots]
    assert len(weights) > 500
    torch.testing.assert_close(weights.sum(dim=1), torch.ones_like(weights[:, 0]), atol=1e-4, rtol=0)


def test_what_frames_see_leaves_room_for_what_completes_it(body: BodyModel) -> None:
    field, config = BodyField(body, rest_body(body)), FusionConfig(voxel_m=0.03, truncation_m=0.06)
    volume = CanonicalVolume(field, config, CPU)
    far = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0)) * 4
    volume.activate(far, 0.06, reserve=0.25)
    assert volume.block_count == int(0.75 * volume.capacity)
    volume.activate(torch.from_numpy(field.vertices).float(), 0.06)
    assert 0.75 * volume.capacity < volume.block_count <= volume.capacity
