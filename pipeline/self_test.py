"""A few seconds of real work with every part that a run needs, on a picture whose answers are known.

    python -P -m dancedepth.pipeline.self_test [DEVICE]

Prints one line of JSON. It is a program of its own, so that a library that crashes takes nobody with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

SIZE_PX = (240, 320)
"""Height and width of the test picture."""
DISTANCE_M = 3.0
"""From the camera to the middle of the test body."""


def self_test(device: str = "auto") -> dict[str, float]:
    """Decode, find people, cut out, and measure the depth of a body; seconds of each.

    Raises:
        DanceDepthError: what a part says when it fails.
        AssertionError: a part works, but wrongly.
    """
    from dancedepth.pipeline.device import choose_device

    chosen = choose_device(device)
    steps = {"decode": _decode, "detect": lambda: _detect(chosen), "matte": lambda: _matte(chosen), "body": _body}
    took = {}
    for name, step in steps.items():
        started = time.perf_counter()
        step()
        took[name] = time.perf_counter() - started
    return took


def _picture() -> np.ndarray:
    rows, columns = np.indices(SIZE_PX)
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)


def _decode() -> None:
    from dancedepth.pipeline.config import FramesConfig
    from dancedepth.pipeline.frames import open_video
    from dancedepth.pipeline.probe import ffmpeg_binary

    with tempfile.TemporaryDirectory() as folder:
        clip, picture = Path(folder) / "clip.mkv", _picture()
        size = f"{SIZE_PX[1]}x{SIZE_PX[0]}"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "12", "-i", "pipe:0"]
        command = [ffmpeg_binary(), "-v", "error", *raw, "-c:v", "ffv1", "-pix_fmt", "bgr0", str(clip)]
        subprocess.run(command, input=picture.tobytes() * 3, check=True, capture_output=True)
        frames = list(open_video(clip, FramesConfig()))
        assert len(frames) == 3, f"{len(frames)} of 3 frames were decoded"
        assert np.array_equal(frames[1].rgb, picture), "a frame came out other than it went in"


def _detect(device: str) -> None:
    from dancedepth.models.faces import MediaPipeFace
    from dancedepth.models.hands import MediaPipeHands
    from dancedepth.models.landmarks import BlazePose
    from dancedepth.models.pose import PoseDetector
    from dancedepth.models.weights import fetch

    found = PoseDetector(fetch("yolo11n-pose"), device).detect(_picture())
    assert not found, "a person was seen in a picture of stripes"
    box_px = np.array([0.0, 0, SIZE_PX[1], SIZE_PX[0]])
    person = BlazePose(fetch("blazepose")).find(_picture(), box_px)
    assert not person.visibility.any(), "landmarks of a person were seen in a picture of stripes"
    everywhere = replace(person, visibility=np.ones_like(person.visibility))
    sure = MediaPipeHands(fetch("mediapipe-hands")).find(_picture(), everywhere).confidence
    assert sure.max() < 0.5, "a hand was seen in a picture of stripes"
    face = MediaPipeFace(fetch("mediapipe-face")).find(_picture(), everywhere)
    assert face is None or face.confidence < 0.5, "a face was seen in a picture of stripes"


def _matte(device: str) -> None:
    from dancedepth.models.matting import load_matting
    from dancedepth.models.weights import fetch

    alpha = load_matting(fetch("rvm"), device).alpha(_picture())
    assert alpha.shape == SIZE_PX, f"the matte's size is {alpha.shape}"
    assert alpha.mean() < 128, "stripes were taken for a person"


def _body() -> None:
    import torch
    from dancedepth.models.body import ADULT
    from dancedepth.models.body_file import load_body
    from dancedepth.models.geometry import Camera
    from dancedepth.models.raster import rasterize
    from dancedepth.models.weights import BODY, fetch

    body = load_body(fetch(BODY).parent)
    vertices = body.rest(torch.tensor(ADULT)).vertices
    points = torch.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], dim=1)  # upright, facing the camera
    points = points - points.mean(dim=0) + torch.tensor([0.0, 0.0, DISTANCE_M])
    height, width = SIZE_PX
    raster = rasterize(points, body.faces, Camera.centred(float(width), width, height))
    depth = raster.depth_m[raster.face_index >= 0]
    assert len(depth) > 500, "the body could not be drawn"
    assert abs(float(depth.mean()) - DISTANCE_M) < 0.3, f"the body lies at {float(depth.mean()):.2f} m"


def main() -> int:
    """Print what was measured, or what is wrong, as JSON."""
    from dancedepth.pipeline.explain import explain

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        said = {"seconds": self_test(*sys.argv[1:])}
    except Exception as error:  # noqa: BLE001 - whatever fails is the finding
        known = explain(error)
        said = {"fault": known.what if known else f"{type(error).__name__}: {error}"}  # type: ignore[dict-item]
    out.write(json.dumps(said) + "\n")
    return int("fault" in said)


if __name__ == "__main__":
    sys.exit(main())
