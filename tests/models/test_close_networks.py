"""Files that are not the networks for hands and faces, and a hand as the fit takes it. The networks themselves are
tested on the synthetic dancer.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dancedepth.models.errors import WeightsError
from dancedepth.models.evidence import Evidence, PartMarks, from_keypoints, with_part
from dancedepth.models.faces import MediaPipeFace
from dancedepth.models.geometry import Camera
from dancedepth.models.hands import MediaPipeHands
from dancedepth.models.weights import fetch

CAMERA = Camera.centred(1000, 720, 1280)
NAMES = ("left_wrist", "left_index_knuckle", "left_little_knuckle", "nose")
FRAMES = 2


@pytest.mark.parametrize("content", [b"", b"no network", b"TFL3" * 100])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    for net in (MediaPipeHands, MediaPipeFace):
        with pytest.raises(WeightsError, match=r"other\.tflite"):
            net(path)


def test_another_network_is_refused() -> None:
    for net in (MediaPipeHands, MediaPipeFace):
        with pytest.raises(WeightsError, match="MediaPipe's network"):
            net(fetch("blazepose"))


@pytest.fixture
def before() -> Evidence:
    """Keypoints, of which some are called like the hand's points, all seen; and one bone to a knuckle."""
    times_s = torch.arange(FRAMES) / 12
    points = from_keypoints(torch.zeros(FRAMES, 17, 2), torch.ones(FRAMES, 17), times_s)
    one = torch.ones(FRAMES, 1)
    return Evidence(
        points.points, points.spread_m, points.pixels, points.confidence,
        bones=torch.tensor([[0, 1]]), bone_spread_m=one[0], bone_depth_m=one, bone_confidence=one, times_s=times_s,
    )  # fmt: skip


@pytest.fixture
def hand() -> PartMarks:
    """A left hand at the image's middle that points at the camera, half as large as the body's."""
    places = torch.tensor([[0.0, 0.0, 0.0], [0.03, 0.0, -0.04], [-0.03, 0.0, -0.04]]).repeat(FRAMES, 1, 1)
    pixels = torch.tensor([360.0, 640.0]).repeat(FRAMES, 3, 1)
    steps = ((NAMES[0], NAMES[1], 0.03, 0.0), (NAMES[0], NAMES[2], 0.02, 0.0), (NAMES[1], NAMES[2], 0.01, -0.01))
    return PartMarks(
        NAMES[:3], (0.02, 0.02, 0.02), steps, NAMES[1:3], pixels, places, torch.full((FRAMES,), 0.9), span_m=0.1
    )


def test_a_part_is_scaled_to_the_body(before: Evidence, hand: PartMarks) -> None:
    seen = with_part(before, hand, NAMES, CAMERA)
    steps = dict(zip(map(tuple, seen.bones.tolist()[1:]), seen.bone_depth_m[0, 1:].tolist(), strict=True))
    assert steps[0, 1] == pytest.approx(-0.08)
    assert steps[0, 2] == pytest.approx(-0.08)
    assert steps[1, 2] == pytest.approx(0.01), "less what the network usually has too much"


def test_steps_are_along_the_cameras_axis(before: Evidence, hand: PartMarks) -> None:
    """A hand at the image's right edge that points along its own ray points past the camera."""
    hand.pixels[..., 0] = 720
    step = with_part(before, hand, NAMES, CAMERA).bone_depth_m[0, 1]
    assert step == pytest.approx(-(0.08 * 1000 + 0.06 * 360) / (1000**2 + 360**2) ** 0.5)


def test_a_sure_part_takes_the_place_of_the_bodys_landmarks(before: Evidence, hand: PartMarks) -> None:
    seen = with_part(before, hand, NAMES, CAMERA)
    assert seen.confidence[0, :4].tolist() == pytest.approx([1.0, 0.1, 0.1, 1.0])
    assert seen.bone_confidence[0].tolist() == pytest.approx([0.1, 0.9, 0.9, 0.9])
    assert seen.confidence[0, 17:].tolist() == pytest.approx([0.9] * 3)


def test_a_part_that_was_never_seen_changes_nothing(before: Evidence, hand: PartMarks) -> None:
    seen = with_part(before, replace(hand, confidence=torch.zeros(FRAMES)), NAMES, CAMERA)
    assert torch.equal(seen.confidence[:, :17], before.confidence)
    assert not seen.confidence[:, 17:].any() and not seen.bone_confidence[:, 1:].any()
    assert seen.bone_depth_m.isfinite().all()
