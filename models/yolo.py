"""The adapter to ultralytics: the one place that imports it, after making sure that it keeps to itself.

Left alone it looks for updates, installs what it misses, writes into the home folder and prints. Its switches are
environment variables that it reads at import, so they are set here, and only here.
"""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dancedepth.models.errors import WeightsError
from dancedepth.models.precision import has_bfloat16
from dancedepth.models.weights import cache_folder
from jaxtyping import UInt8

SWITCHES = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",
}
"""No network, no pip, no printing, and unpickling restricted to ultralytics' own model classes."""

_LOAD_ERRORS = (
    TypeError, RuntimeError, EOFError, pickle.UnpicklingError, ModuleNotFoundError, AttributeError, KeyError,
    ValueError, OSError, ImportError, IndexError, NotImplementedError,
)  # fmt: skip
"""What ultralytics and torch raise, depending on how a file is damaged or what else it is."""


def load_yolo(weights: Path, task: str, device: str) -> Any:
    """A model of ultralytics for one task (`pose` or `segment`), from a file that the caller trusts, warmed up.

    Raises:
        WeightsError: the file is no such model, is for another task, or cannot be read.
    """
    remedy = "Fetch it again, or give a model made by ultralytics"
    if weights.suffix != ".pt":
        raise WeightsError("weights for ultralytics are .pt files", str(weights), remedy)
    yolo = _import_quietly()
    try:
        model = yolo(str(weights), task=task)
        if model.task == task:
            _warm_up(model, device)
    except _LOAD_ERRORS as error:
        what = f"this file is broken or not a model of ultralytics ({type(error).__name__})"
        raise WeightsError(what, str(weights), remedy) from error
    if model.task != task:
        what = f"this model was made for the task {model.task!r}, but {task!r} is needed"
        raise WeightsError(what, str(weights), f"Give a model whose name ends in -{task[:4].removesuffix('m')}")
    return model


def predicted(model: Any, bgr: UInt8[np.ndarray, "h w 3"], device: str, **options: Any) -> Any:
    """What the model says of one picture.

    A processor that has bfloat16 computes all but the last layers in it, in three quarters of the time; keypoints of
    a picture 1920 pixels high move by half a pixel, and by 3.4 if the last layers, which place them, did so too.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=device == "cpu" and has_bfloat16(torch.device(device))):
        return model.predict(bgr, device=device, verbose=False, save=False, **options)[0]


def _import_quietly() -> Any:
    for name, value in SWITCHES.items():
        os.environ[name] = value
    os.environ["YOLO_CONFIG_DIR"] = str(_config_folder())
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads or str(os.cpu_count() or 1)  # else ultralytics sets it to 1 for everybody
    from ultralytics import YOLO
    from ultralytics.utils import LOGGER

    if threads is None:
        del os.environ["OMP_NUM_THREADS"]
    LOGGER.setLevel(logging.ERROR)
    LOGGER.propagate = False
    return YOLO


def _warm_up(model: Any, device: str) -> None:
    """The first prediction sets up the model, and takes away torch's threads, which are given back here.

    Convolutions read their weights channel by channel after that: the same numbers, in a tenth less time on the CPU.
    Ultralytics' own warm-up is left out: it loads torchvision, which takes two seconds, for no more than what overlaps.
    """
    threads = torch.get_num_threads()
    model.add_callback("on_predict_start", lambda predictor: setattr(predictor, "done_warmup", True))
    try:
        model.predict(np.zeros((64, 64, 3), np.uint8), device=device, verbose=False, save=False)
        model.predictor.model.to(memory_format=torch.channels_last)
        _keep_precise(model.predictor.model.model.model[-1])
    finally:
        torch.set_num_threads(threads)


def _keep_precise(head: torch.nn.Module) -> None:
    """The layers that place boxes and keypoints stay out of autocast."""
    forward = head.forward

    def precisely(maps: list[torch.Tensor]) -> Any:
        with torch.autocast("cpu", enabled=False):
            return forward([one.float() for one in maps])

    head.forward = precisely


def _config_folder() -> Path:
    folder = cache_folder() / "ultralytics"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the cache folder cannot be written ({error.strerror})"
        raise WeightsError(what, str(folder), "Set DANCEDEPTH_CACHE to a folder that can") from error
    return folder
