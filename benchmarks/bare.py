"""The networks of a run alone: seconds a frame on inputs that lie in memory, at a run's sizes and on its device.

    python benchmarks/bare.py video.mp4 RUN [--fps 12] [--device cpu]

prints them as JSON; RUN is a run folder of that video.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from dancedepth.models.hdnet import HDNet
from dancedepth.models.inputs import NetworkInput, stack_inputs
from dancedepth.pipeline import depths
from dancedepth.pipeline.config import FramesConfig, RunConfig
from dancedepth.pipeline.depths import FRAMES_A_BATCH, posed_body
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.ingredients import Ingredients, find_ingredients
from dancedepth.pipeline.records import Frame
from dancedepth.pipeline.storage import read_mask, read_motion
from dancedepth.pipeline.workspace import RunFolder
from stage_cost import Seconds

FRAMES = 16


def bare_inference(video: Path, run: Path, fps: float, device: str) -> dict[str, Seconds]:
    """Medians a frame, by network, of a run that was made of `video`."""
    config = RunConfig(device=device, frames=FramesConfig(fps=fps))
    frames = list(islice(open_video(video, config.frames), FRAMES))
    ready = find_ingredients(config, device)
    detector, finder, close, matting = ready.detector(), ready.landmarks(), ready.finders(), ready.matting()
    pictures = [frame.rgb for frame in frames]
    found = {"detector": _median(detector.detect, pictures)}
    if finder is not None:
        people = [(rgb, person) for rgb in pictures for person in detector.detect(rgb)[:1]]
        found["landmarks"] = _median(lambda one: finder.find(one[0], one[1].box_px, one[1].lean_rad), people)
        marked = [(rgb, finder.find(rgb, person.box_px, person.lean_rad)) for rgb, person in people]
        for name, closer in (("hands", close.hands), ("face", close.face)):
            if closer is not None:
                found[name] = _median(lambda one, closer=closer: closer.find(*one), marked)
    side = config.mattes.work_side_px
    found["matting"] = _median(matting.alpha, [_within(rgb, side) for rgb in pictures])
    net = ready.depth_networks()
    looks = _looks(frames, RunFolder(run), ready, net)
    each = min(FRAMES_A_BATCH[device], len(looks))
    batches = [looks[k : k + each] for k in range(0, len(looks) - each + 1, each)]
    taken = _median(lambda batch: _depths(net, *batch), [_stacked(batch) for batch in batches])
    return {**found, "depths": Seconds(taken.wall / each, taken.cpu / each)}


def _depths(net: HDNet, whole: NetworkInput, heads: NetworkInput | None) -> None:
    net.infer(whole)
    if heads is not None:
        net.infer_head(heads)
    if whole.alpha.is_cuda:
        torch.cuda.synchronize()


def _stacked(looks: Sequence[depths._Prepared]) -> tuple[NetworkInput, NetworkInput | None]:
    heads = [look.head.given for look in looks if look.head is not None]
    return stack_inputs([look.given for look in looks]), stack_inputs(heads) if heads else None


def _looks(frames: Sequence[Frame], run: RunFolder, ready: Ingredients, net: HDNet) -> list[depths._Prepared]:
    """What the run has given the depth networks, anew."""
    motion, body = read_motion(run.motion), ready.body()
    rest = motion.rest(body)
    indices = set(run.image_indices("depth"))
    looks = (
        depths._prepared(
            frame, read_mask(run.mask(frame.index)), posed_body(motion, frame.index, body, rest), motion.camera, net
        )
        for frame in frames
        if frame.index in indices
    )
    return [look for look in looks if look is not None]


def _within(rgb: np.ndarray, side_px: int) -> np.ndarray:
    scale = min(1.0, side_px / max(rgb.shape[:2]))
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _median(infer: Callable[[Any], object], inputs: Sequence[Any]) -> Seconds:
    infer(inputs[0])
    taken = []
    for one in inputs:
        started = Seconds.now()
        infer(one)
        taken.append(Seconds.now().since(started))
    return Seconds(statistics.median(one.wall for one in taken), statistics.median(one.cpu for one in taken))


def main(
    video: Annotated[Path, typer.Argument(help="The clip.")],
    run: Annotated[Path, typer.Argument(help="Its run folder.")],
    fps: Annotated[float, typer.Option()] = 12.0,
    device: Annotated[str, typer.Option()] = "cpu",
) -> None:
    """Measure, and print as JSON."""
    found = bare_inference(video, run, fps, device)
    typer.echo(json.dumps({name: asdict(seconds) for name, seconds in found.items()}))


if __name__ == "__main__":
    typer.run(main)
