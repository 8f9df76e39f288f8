import pytest
import torch
from dancedepth.models.geometry import Camera
from dancedepth.models.inputs import Crop, PosedBody
from dancedepth.models.paste_back import paste_back


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways on the processor."""
    monkeypatch.setattr("dancedepth.models.paste_back.has_numba", lambda: request.param == "compiled")


SCALE, WIDTH, HEIGHT = 5, 64, 80
"""Image pixels in a network pixel, and the network's size."""


def disc(width: int, height: int, radius: float) -> torch.Tensor:
    """A disc in the middle."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return (x - width / 2) ** 2 + (y - height / 2) ** 2 < radius**2


def test_a_step_is_a_smooth_line_with_nothing_in_between() -> None:
    near = disc(WIDTH, HEIGHT, 20.0)
    slope = 0.0005 * torch.arange(WIDTH).expand(HEIGHT, WIDTH)
    depth = torch.where(near, -0.1, 0.1) + slope
    normals = torch.where(near, torch.tensor([1.0, 0, 0])[:, None, None], torch.tensor([0.0, 0, -1])[:, None, None])
    size = (SCALE * WIDTH, SCALE * HEIGHT)
    crop = Crop(0, 0, *size, Camera.centred(100.0, WIDTH, HEIGHT))
    body = PosedBody(torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(1, 3, dtype=torch.long), 3.0, 2.0)
    everything = torch.full(size[::-1], 255, dtype=torch.uint8)
    found = paste_back(
        depth[None], normals, torch.ones(1, HEIGHT, WIDTH), torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool), crop, body,
        everything,
    )  # fmt: skip
    offset = (found.depth_m - 3.0) / 2.0
    x = (torch.arange(size[0]) + 0.5) / SCALE - 0.5
    beyond = torch.where(offset - 0.0005 * x > 0, 0.1, -0.1)
    assert (offset - beyond - 0.0005 * x).abs().max() < 0.002, "no depth floats between the two sides"
    wrong = (beyond < 0) != disc(*size, 20.0 * SCALE)
    assert wrong.sum() < 1.2 * 2 * torch.pi * 20 * SCALE, "the line is about a pixel off, and not a network pixel"
    assert (found.normals[..., 0].abs() > 0.99).eq(beyond < 0).all(), "normals change sides with the depth"


def test_both_ways_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a crop that reaches beyond the image, and is larger than the network's maps by no whole number."""
    random = torch.Generator().manual_seed(0)
    near = disc(WIDTH, HEIGHT, 20.0)
    depth = torch.where(near, -0.1, 0.1) + 0.001 * torch.rand((HEIGHT, WIDTH), generator=random)
    normals = torch.nn.functional.normalize(torch.rand((3, HEIGHT, WIDTH), generator=random) - 0.5, dim=0)
    confidence = torch.rand((1, HEIGHT, WIDTH), generator=random)
    crop = Crop(-31, -17, 288, 360, Camera.centred(100.0, WIDTH, HEIGHT))
    body = PosedBody(torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(1, 3, dtype=torch.long), 3.0, 2.0)
    alpha = 255 * disc(240, 320, 130.0).to(torch.uint8)
    found = []
    for compiled in (True, False):
        monkeypatch.setattr("dancedepth.models.paste_back.has_numba", lambda compiled=compiled: compiled)
        found.append(paste_back(depth[None], normals, confidence, disc(WIDTH, HEIGHT, 30.0)[None], crop, body, alpha))
    ours, theirs = found
    assert (theirs.depth_m > 0).sum() > 30_000 and ((ours.depth_m > 0) == (theirs.depth_m > 0)).all()
    other_side = (ours.depth_m - theirs.depth_m).abs() > 0.1
    assert other_side.float().mean() < 1e-3, "but where the step runs to a hair between"
    for name in ("depth_m", "normals", "confidence"):
        off = (getattr(ours, name) - getattr(theirs, name)).abs()[~other_side]
        assert off.max() < 2e-3, name
