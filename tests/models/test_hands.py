"""Files that are not the network for hands, and a pair of hands as the fit takes them; the network itself is tested on
the synthetic dancer.
"""

from pathlib import Path

import pytest
import torch
from dancedepth.models.errors import WeightsError
from dancedepth.models.evidence import ClipHands, Evidence, from_keypoints, with_hands
from dancedepth.models.geometry import Camera
from dancedepth.models.hands import MediaPipeHands
from dancedepth.models.weights import fetch

CAMERA = Camera.centred(1000, 720, 1280)
NAMES = tuple(f"{side}_{name}" for side in ("left", "right") for name in ("wrist", "index_knuckle", "little_knuckle"))
FRAMES = 2


@pytest.mark.parametrize("content", [b"", b"no network", b"TFL3" * 100])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.tflite"):
        MediaPipeHands(path)


def test_another_network_is_refused() -> None:
    with pytest.raises(WeightsError, match="hands"):
        MediaPipeHands(fetch("blazepose"))


@pytest.fixture
def before() -> Evidence:
    """Keypoints that are called like the hands' points, all seen; and one bone to a knuckle."""
    times_s = torch.arange(FRAMES) / 12
    points = from_keypoints(torch.zeros(FRAMES, 17, 2), torch.ones(FRAMES, 17), times_s)
    one = torch.ones(FRAMES, 1)
    return Evidence(
        points.points, points.spread_m, points.pixels, points.confidence,
        bones=torch.tensor([[0, 1]]), bone_spread_m=one[0], bone_depth_m=one, bone_confidence=one, times_s=times_s,
    )  # fmt: skip


@pytest.fixture
def hands() -> ClipHands:
    """The left hand is at the image's middle and points at the camera, half as large as the body's; no right one."""
    places, pixels = torch.zeros(FRAMES, 2, 21, 3), torch.zeros(FRAMES, 2, 21, 2)
    places[:, :, 5], places[:, :, 17] = torch.tensor([0.03, 0.0, -0.04]), torch.tensor([-0.03, 0.0, -0.04])
    pixels[:] = torch.tensor([360.0, 640.0])
    confidence = torch.tensor([0.9, 0.0]).repeat(FRAMES, 1)
    return ClipHands(NAMES, pixels, places, confidence, palm_m=0.1)


def test_hands_are_scaled_to_the_body(before: Evidence, hands: ClipHands) -> None:
    seen = with_hands(before, hands, CAMERA)
    steps = dict(zip(map(tuple, seen.bones.tolist()[1:]), seen.bone_depth_m[0, 1:].tolist(), strict=True))
    assert steps[0, 1] == pytest.approx(-0.08)
    assert steps[0, 2] == pytest.approx(-0.08)
    assert steps[1, 2] == pytest.approx(0.0, abs=1e-6)


def test_steps_are_along_the_cameras_axis(before: Evidence, hands: ClipHands) -> None:
    """A hand at the image's right edge that points along its own ray points past the camera."""
    hands.pixels[..., 0] = 720
    step = with_hands(before, hands, CAMERA).bone_depth_m[0, 1]
    assert step == pytest.approx(-0.08 * 1000 / (1000**2 + 360**2) ** 0.5 - 0.06 * 360 / (1000**2 + 360**2) ** 0.5)


def test_a_sure_hand_takes_the_place_of_the_bodys_landmarks(before: Evidence, hands: ClipHands) -> None:
    seen = with_hands(before, hands, CAMERA)
    left, right = seen.confidence[0, :17], seen.confidence[0, 3:6]
    assert left[0] == 1
    assert left[1].item() == pytest.approx(0.1)
    assert (right == 1).all()
    assert seen.bone_confidence[0, 0].item() == pytest.approx(0.1)
    assert seen.confidence[0, 17:].tolist() == pytest.approx([0.9] * 3 + [0.0] * 3)
