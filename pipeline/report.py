"""`report.html`: one page that opens from disk, with the dancer in 3D and all that a run says of itself."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
from dancedepth.pipeline.frames import VideoFrames
from dancedepth.pipeline.manifest import Manifest
from dancedepth.pipeline.preview import Strip, preview_size, write_preview
from dancedepth.pipeline.records import Observer, Rig, Surface
from dancedepth.pipeline.storage import plain, write_bytes
from dancedepth.pipeline.three import three_js
from dancedepth.pipeline.workspace import RunFolder
from PIL import Image

STRIP_LONG_SIDE_PX = 300
JPEG_QUALITY = 80


def show_run(
    folder: RunFolder, manifest: Manifest, frames: VideoFrames, surface: Surface, rig: Rig, observer: Observer
) -> int:
    """Write the preview and the report of a run whose other files stand; how many frames the preview shows."""
    size = preview_size(rig)
    strips = write_preview(folder.preview, folder, frames.resized(size.width, size.height), surface, rig, observer)
    write_report(folder.report, manifest, folder.dancer_glb, strips)
    return len(rig.times_s)


def write_report(path: Path, manifest: Manifest, dancer: Path, strips: list[Strip]) -> None:
    """Write the page; it needs nothing beside it but preview.mp4.

    Args:
        path: of the page.
        manifest: of the run, as far as it is known.
        dancer: the animated GLB, which goes into the page.
        strips: frames to show.
    """
    width, height = strips[0].pictures[0].shape[1::-1]
    strip_width = round(width * STRIP_LONG_SIDE_PX / max(width, height))
    values = {
        "title": escape(Path(manifest.input.path).name),
        "subtitle": escape(_subtitle(manifest)),
        "strip_width": str(strip_width),
        "warnings": _list("What hurts this result", manifest.warnings),
        "strips": "".join(_figure(strip, strip_width) for strip in strips),
        "facts": _table(_facts(manifest)),
        "timings": _table(_timings(manifest)),
        "settings": escape(json.dumps(plain(_settings(manifest)), indent=1)),
        "dancer": base64.b64encode(dancer.read_bytes()).decode(),
        "three": three_js(),
        "viewer": _template("viewer.js"),
    }
    page = _template("report.html")
    pieces = page.split("{{")
    filled = pieces[0] + "".join(values[piece.split("}}", 1)[0]] + piece.split("}}", 1)[1] for piece in pieces[1:])
    write_bytes(path, filled.encode())


def _template(name: str) -> str:
    return (files("dancedepth.pipeline") / "templates" / name).read_text(encoding="utf-8")


def _subtitle(manifest: Manifest) -> str:
    video, used = manifest.input, sum(frame.used for frame in manifest.frames)
    length = "" if video.duration_s is None else f", {video.duration_s:.1f} s"
    shape = f"{video.width} × {video.height}, {video.fps:g} frames a second{length}"
    return f"{shape} · {used} of {len(manifest.frames)} frames used · dancedepth {manifest.program.version}"


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    quality, rows = manifest.quality, []
    if manifest.scale:
        rows.append(("height", f"{manifest.scale.height_m:.2f} m ({manifest.scale.source})"))
    if manifest.camera:
        rows.append(("focal length", f"{manifest.camera.focal_px:.0f} px ({manifest.camera.source})"))
    if quality.reprojection_error_px is not None:
        rows.append(("body fit", f"{quality.reprojection_error_px:.1f} px off the detected joints on average"))
    if quality.smoothness is not None:
        rows.append(("smoothness of the fit", f"{quality.smoothness:.1f} m/s² mean acceleration of the joints"))
    if quality.foot_sliding_m_s is None:
        rows.append(("foot sliding", "not known: the camera moves, or no foot stands still"))
    else:
        fitted = quality.foot_sliding_fitted_m_s or 0.0
        rows.append(("foot sliding", f"{quality.foot_sliding_m_s * 100:.1f} cm/s ({fitted * 100:.1f} as fitted)"))
    return rows


def _timings(manifest: Manifest) -> list[tuple[str, str]]:
    rows = [(stage.name.replace("_", " "), f"{stage.seconds:.1f} s") for stage in manifest.stages]
    rows.append(("so far", f"{sum(stage.seconds for stage in manifest.stages):.1f} s"))
    return [*rows, ("memory", f"{manifest.peak_memory_mb:.0f} MB at most")]


def _settings(manifest: Manifest) -> dict[str, object]:
    versions = {"program": asdict(manifest.program), "weights": [asdict(file) for file in manifest.weights]}
    return {"config": manifest.config.to_json(), **versions, "input": asdict(manifest.input)}


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = (f"<tr><td class=dim>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{''.join(lines)}</table>"


def _list(title: str, lines: tuple[str, ...]) -> str:
    if not lines:
        return ""
    return f"<h2>{escape(title)}</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _figure(strip: Strip, width_px: int) -> str:
    column = Image.fromarray(np.concatenate(strip.pictures))
    column = column.resize((width_px, round(column.height * width_px / column.width)), Image.Resampling.BOX)
    buffer = io.BytesIO()
    column.save(buffer, "JPEG", quality=JPEG_QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return f'<figure><img src="{source}" alt=""><figcaption>{strip.time_s:.2f} s</figcaption></figure>'
