"""Maintainers' contact sheet of a run: the surface from four sides, and strips of input | depth | normals.

    python tools/sheet.py RUN OUT.png [--video clip.mp4] [--every 12]

Rows from above: colour, shaded normals, and how much was seen (red: filled from the body).
"""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Annotated

import imageio_ffmpeg
import numpy as np
import torch
import typer
from dancedepth.models.geometry import Camera
from dancedepth.models.raster import rasterize
from dancedepth.pipeline import storage
from dancedepth.pipeline.workspace import RunFolder
from PIL import Image

TILE = (360, 560)
"""Width and height of a view, pixels."""
STRIP_HEIGHT = 360
VIEW_DISTANCE = 3.2
"""Distance of the views' camera over the surface's height."""
UNSEEN_RED = np.array([0.85, 0.15, 0.1])


def sheet(
    run: Path,
    out: Path,
    video: Annotated[Path | None, typer.Option(help="The run's input; else the manifest's path.")] = None,
    every: Annotated[int, typer.Option(help="Show each n-th frame in the strips; 0: about eight frames.")] = 0,
) -> None:
    """Write the contact sheet of RUN to OUT, a PNG."""
    rows = four_sides(run) if RunFolder(run).surface.exists() else []
    rows += strips(run, video, every)
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=30) for row in rows]
    Image.fromarray(np.concatenate(padded)).save(out)


def four_sides(run: Path) -> list[np.ndarray]:
    """The surface from its front, left, back and right: a row of each way to colour it."""
    surface = storage.read_surface(RunFolder(run).surface)
    points, normals = torch.from_numpy(surface.vertices), torch.from_numpy(surface.normals)
    faces = torch.from_numpy(surface.faces).long()
    colors, observed = torch.from_numpy(surface.colors) / 255, torch.from_numpy(surface.observed)
    views = [view(points, faces, normals, colors, observed, math.pi / 2 * k) for k in range(4)]
    return [np.concatenate([rows[k] for rows in views], axis=1) for k in range(3)]


def view(
    points: torch.Tensor,
    faces: torch.Tensor,
    normals: torch.Tensor,
    colors: torch.Tensor,
    observed: torch.Tensor,
    turn_rad: float,
) -> list[np.ndarray]:
    """One side in colour, as shaded normals, and as observed share."""
    low, high = points.amin(dim=0), points.amax(dim=0)
    extent = float((high - low).max())
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    cam_from_body = torch.tensor([[cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, cos, 0.0]])
    cam = (points - (low + high) / 2) @ cam_from_body.T + torch.tensor([0.0, 0.0, VIEW_DISTANCE * extent])
    raster = rasterize(cam, faces, Camera.centred(TILE[1] * VIEW_DISTANCE * 0.95, *TILE))
    normal = torch.nn.functional.normalize(raster.interpolate(faces, normals @ cam_from_body.T), dim=-1)
    light = (0.25 + 0.75 * normal[..., 2:].abs()).numpy()
    seen = (raster.face_index >= 0).numpy()[..., None]
    color = raster.interpolate(faces, colors).numpy()
    share = raster.interpolate(faces, observed[:, None]).numpy()
    toned = (share * 0.8 + (1 - share) * UNSEEN_RED) * light
    encoded = normal.numpy() * np.array([0.5, -0.5, -0.5]) + 0.5
    return [_bytes(np.where(seen, picture, 0.12)) for picture in (color, encoded * light, toned)]


def strips(run: Path, video: Path | None, every: int) -> list[np.ndarray]:
    """Rows of input, depth and normals, side by side over the frames."""
    manifest = json.loads(RunFolder(run).manifest.read_text())
    frames = [frame for frame in manifest["frames"] if RunFolder(run).depth(frame["index"]).exists()]
    frames = frames[:: every or max(1, len(frames) // 8)]
    source = video or Path(str(manifest["input"].get("path", "")))
    depths = [storage.read_depth(RunFolder(run).depth(frame["index"])) for frame in frames]
    near, far = np.percentile(np.concatenate([d[d > 0] for d in depths]), [1, 99])
    rows: list[list[np.ndarray]] = [[], [], []]
    for frame, depth in zip(frames, depths, strict=True):
        picture = grab(source, frame["time_s"]) if source.is_file() else np.zeros((*depth.shape, 3), np.uint8)
        matte = storage.read_mask(RunFolder(run).mask(frame["index"]))[..., None] / 255
        if picture.shape[:2] == matte.shape[:2]:
            picture = (picture * (0.3 + 0.7 * matte)).astype(np.uint8)
        tone = np.where(depth > 0, np.clip(1 - 0.8 * (depth - near) / max(far - near, 1e-3), 0.1, 1), 0)
        normals = storage.read_normals(RunFolder(run).normals(frame["index"]))
        encoded = np.where(normals.any(axis=-1, keepdims=True), normals * np.array([1, -1, -1]) * 0.5 + 0.5, 0)
        for row, shown in zip(rows, (picture, _bytes(np.repeat(tone[..., None], 3, 2)), _bytes(encoded)), strict=True):
            width = round(shown.shape[1] * STRIP_HEIGHT / shown.shape[0])
            row.append(np.asarray(Image.fromarray(shown).resize((width, STRIP_HEIGHT), Image.Resampling.BOX)))
    return [np.concatenate(row, axis=1) for row in rows]


def grab(video: Path, time_s: float) -> np.ndarray:
    """The frame of a video at a time, as displayed."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", f"{time_s:.3f}", "-i", str(video)]
    command += ["-frames:v", "1", "-f", "image2pipe", "-c:v", "ppm", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    width, height = (int(part) for part in done.stdout.split(b"\n", 3)[1].split())
    return np.frombuffer(done.stdout[-width * height * 3 :], np.uint8).reshape(height, width, 3)


def _bytes(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    typer.run(sheet)
