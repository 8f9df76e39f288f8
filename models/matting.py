"""Cutting people out of the picture, one frame after another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from dancedepth.models.errors import WeightsError
from dancedepth.models.yolo import load_yolo, predicted
from jaxtyping import Float, UInt8

RVM_WORK_SIDE_PX = 410
"""The longer side at which RVM's recurrent half looks; its guided filter brings the edge back to full size. Its authors
advise 256 to 512; 0.4 x 1024 costs 50 ms a frame on two cores."""
MAX_THREADS = 8
"""RVM's layers are too small to keep more cores busy."""


class Matting(Protocol):
    """Alpha of everybody in the frames of one clip, in order; frames keep their size until `reset`."""

    def reset(self) -> None:
        """Another clip, or another window of it, begins."""

    def alpha(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
        """0-255, at the size of the frame."""


def load_matting(weights: Path, device: str) -> Matting:
    """RVM from an .onnx file, or a segmentation model of ultralytics from a .pt file.

    Raises:
        WeightsError: the file is broken or holds another model.
    """
    return RobustVideoMatting(weights, device) if weights.suffix == ".onnx" else YoloMatting(weights, device)


class RobustVideoMatting:
    """Robust Video Matting (Lin et al. 2021), which remembers the frames before.

    Raises:
        WeightsError: `weights` is broken or no RVM.
    """

    def __init__(self, weights: Path, device: str) -> None:
        self._session = _open_session(weights, device)
        names = {node.name for node in self._session.get_inputs()}
        if not {"src", "r1i", "r4i", "downsample_ratio"} <= names:
            raise WeightsError("this is not Robust Video Matting", str(weights), "Give `rvm`, or its .onnx file")
        self._memory: list[Float[np.ndarray, "..."]] = []
        self.reset()

    def reset(self) -> None:
        """Forget the frames before."""
        self._memory = [np.zeros((1, 1, 1, 1), np.float32)] * 4

    def alpha(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
        """0-255, at the size of the frame."""
        source = np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32)[None] / 255
        ratio = min(1.0, RVM_WORK_SIDE_PX / max(rgb.shape[:2]))
        inputs = {f"r{i + 1}i": state for i, state in enumerate(self._memory)}
        outputs = ["pha", "r1o", "r2o", "r3o", "r4o"]
        alpha, *self._memory = self._session.run(
            outputs, {"src": source, "downsample_ratio": np.array([ratio], np.float32), **inputs}
        )
        return np.rint(alpha[0, 0].clip(0, 1) * 255).astype(np.uint8)


class YoloMatting:
    """Instance segmentation by ultralytics: the union of all people, each frame on its own.

    Raises:
        WeightsError: `weights` is broken or no segmentation model.
    """

    def __init__(self, weights: Path, device: str) -> None:
        self._model, self._device = load_yolo(weights, "segment", device), device

    def reset(self) -> None:
        """Nothing to forget."""

    def alpha(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
        """0-255, at the size of the frame."""
        height, width = rgb.shape[:2]
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        result = predicted(self._model, bgr, self._device, classes=[0], retina_masks=True)
        if result.masks is None:
            return np.zeros((height, width), np.uint8)
        union = result.masks.data.amax(dim=0).float().cpu().numpy()
        soft = cv2.GaussianBlur(cv2.resize(union, (width, height)), (0, 0), 1.0)  # a matte's edge is soft
        return np.rint(soft.clip(0, 1) * 255).astype(np.uint8)


def _open_session(weights: Path, device: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the cores to ffmpeg and torch
    available = onnxruntime.get_available_providers()
    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in available]
    try:
        return onnxruntime.InferenceSession(str(weights), options, providers=providers)
    except _session_errors() as error:
        what = f"this file is broken or not an ONNX model ({type(error).__name__})"
        raise WeightsError(what, str(weights), "Fetch it again with `dancedepth weights fetch rvm`") from error


def _session_errors() -> tuple[type[Exception], ...]:
    """onnxruntime's errors share no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (errors.Fail, errors.InvalidArgument, errors.InvalidProtobuf, errors.InvalidGraph, errors.NoSuchFile,
            errors.NotImplemented, errors.RuntimeException)  # fmt: skip


def _threads() -> int:
    """As many as OMP_NUM_THREADS says, else one a core this process may use."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    return int(told) if told.isdigit() and int(told) else min(cores, MAX_THREADS)
