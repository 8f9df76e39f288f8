import math
from pathlib import Path

import pytest
from dancedepth.pipeline.config import CameraConfig
from dancedepth.pipeline.lens import camera_record, choose_camera
from dancedepth.pipeline.records import VideoInfo


def video(focal_px: float | None = None) -> VideoInfo:
    return VideoInfo(Path("a.mp4"), 1080, 1920, 24.0, 1.0, 0, "h264", focal_px)


@pytest.mark.parametrize(
    ("config", "metadata", "focal_px", "source"),
    [
        (CameraConfig(focal_px=1500), 900.0, 1500, "--focal-px"),
        (CameraConfig(fov_deg=90), 900.0, 960, "--fov"),
        (CameraConfig(), 900.0, 900, "metadata"),
        (CameraConfig(), None, 0.85 * 1920, "assumed"),
    ],
)
def test_the_best_source_is_taken_and_named(
    config: CameraConfig, metadata: float | None, focal_px: float, source: str
) -> None:
    camera, record = choose_camera(config, video(metadata)), camera_record(config, video(metadata))
    assert math.isclose(camera.focal_px, focal_px) and math.isclose(record.focal_px, focal_px)
    assert (camera.cx, camera.cy, camera.width, camera.height) == (540, 960, 1080, 1920)
    assert source in record.source
