"""The synthetic dancer is a person to the detector that real clips go through."""

from pathlib import Path

import numpy as np
from dancedepth.models.body import BodyModel
from dancedepth.models.pose import PoseDetector
from dancedepth.models.weights import fetch
from dancedepth.pipeline.config import FramesConfig, TracksConfig
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.records import Silent
from dancedepth.pipeline.synthesis.clip import make_clip
from dancedepth.pipeline.synthesis.config import SynthConfig
from dancedepth.pipeline.tracks import track_people


def test_yolo_is_sure_of_the_dancer_in_every_frame(body: BodyModel, tmp_path: Path) -> None:
    clip = SynthConfig(seconds=1.5, fps=4, width=360, height=640)
    make_clip(clip, tmp_path / "clip", body, Silent())
    frames = open_video(tmp_path / "clip" / "video.mp4", FramesConfig())
    tracks = track_people(frames, PoseDetector(fetch("yolo11n-pose"), "cpu"), None, TracksConfig(), Silent())
    assert len(tracks.people) == 1
    assert tracks.dancer.found.all()
    assert np.mean(tracks.dancer.score) > 0.8
