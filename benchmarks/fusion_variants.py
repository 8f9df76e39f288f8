"""Fusion with one part of it left out at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from dancedepth.models.geometry import Camera
from dancedepth.pipeline import completion, frame_view, fusion, integration, outlines, surfacing
from dancedepth.pipeline.bare_limbs import BareLimbs
from dancedepth.pipeline.canonical import CanonicalVolume
from dancedepth.pipeline.frame_view import FrameImages
from dancedepth.pipeline.keyframes import Keyframe, keyframe

REFINED = "with refined poses"
_EXTRACT = CanonicalVolume.extract


@contextmanager
def _patched(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for place, name, value in changes:
            stack.enter_context(patch.object(place, name, value))
        yield


def _seen_only(volume: CanonicalVolume, tsdf: np.ndarray, known: np.ndarray) -> Any:
    return _EXTRACT(volume, tsdf, known & (volume.voxels().weight > completion.FILL_WEIGHT))


def _left_as_seen(volume: CanonicalVolume, *rest: Any) -> np.ndarray:
    return volume.voxels().tsdf


def _as_it_was(
    volume: CanonicalVolume,
    field: Any,
    corners: Any,
    offset_m: Any,
    skin_m: Any,
    about_m: Any,
    distances: Any,
    scatter_m: Any,
    limbs: Any,
) -> Any:
    return distances


def _none_bare(colors: Any, field: Any, thickness_m: np.ndarray) -> BareLimbs:
    return BareLimbs(np.full(len(thickness_m), -1))


def _without_normals(index: int, images: FrameImages, camera: Camera) -> Keyframe | None:
    return keyframe(index, replace(images, normals=None), camera)


VARIANTS: dict[str, Callable[[], Any]] = {
    "all parts": _patched,
    "without the angle's weight": lambda: _patched(
        (frame_view, "_angle_weight", lambda points, normals: torch.ones_like(points[..., 0]))
    ),
    "without confidence": lambda: _patched((frame_view, "_trust", lambda sure: torch.ones_like(sure))),
    "without the edges' weight": lambda: _patched((frame_view, "_edge_weight", lambda smooth: smooth.float())),
    "without sharpness": lambda: _patched((fusion, "BLURRED_WEIGHT", 1.0)),
    "without the occlusion test": lambda: _patched(
        (frame_view, "PART_TOLERANCE_M", 10.0), (integration, "BACK_COS", 2.0), (integration, "FACING", (1.0, 0.0))
    ),
    "without the fill": lambda: _patched((fusion, "complete", _left_as_seen), (CanonicalVolume, "extract", _seen_only)),
    "without the outlines": lambda: _patched((outlines.OutlineGauge, "add", lambda *told: None)),
    "without draping": lambda: _patched((completion, "DRAPE_M", 0.0)),
    "without spanned folds": lambda: _patched((completion, "trunk_dressed", lambda *asked: None)),
    "without bare limbs": lambda: _patched((completion, "find_bare_limbs", _none_bare)),
    "without the skirt": lambda: _patched((fusion, "find_hem", lambda *asked: None)),
    "without the body's relief": lambda: _patched(
        (completion, "with_own_relief", _as_it_was),
        (completion, "FACE_SMOOTHING", 1),
        (completion, "HAIR_SMOOTHING", 1),
        (completion, "HAIR_DEPTH", 1.0),
        (surfacing, "sharpened", lambda vertices, faces, field: (vertices, faces)),
    ),
    "without the normal map": lambda: _patched((fusion, "keyframe", _without_normals)),
    "without the portrait": lambda: _patched((surfacing, "choose_portrait", lambda *asked: None)),
    "with other limbs' colours": lambda: _patched(
        (surfacing, "own_looks", lambda looks, samples, *asked: (looks, samples))
    ),
    REFINED: _patched,
}
