"""Maintainers' contact sheet of a run: the surface from four sides, and strips of input | depth | normals | overlay.

    python tools/sheet.py RUN OUT.png [--video clip.mp4] [--every 12]

Rows from above: colour, clay, normals, and how much was seen (red: filled from the body); then, over the frames, the
input, its depth and normals, the rigged surface where the clip's camera sees it, and textured from around.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from dancedepth.pipeline import storage
from dancedepth.pipeline.frames import open_video
from dancedepth.pipeline.manifest import read_manifest
from dancedepth.pipeline.panels import Panels, PanelSize
from dancedepth.pipeline.preview import Shown
from dancedepth.pipeline.rig_file import read_rig
from dancedepth.pipeline.turntable import Look, four_sides
from dancedepth.pipeline.workspace import RunFolder
from PIL import Image

SIDE_PX = 560
"""Height of a view of the surface."""
STRIP_PX = 360
"""Longer side of a frame."""
LOOKS: tuple[Look, ...] = ("color", "clay", "normals", "observed")


def sheet(
    run: Path,
    out: Path,
    video: Annotated[Path | None, typer.Option(help="The run's input; else the manifest's path.")] = None,
    every: Annotated[int, typer.Option(help="Show each n-th frame in the strips; 0: about eight frames.")] = 0,
) -> None:
    """Write the contact sheet of RUN to OUT, a PNG."""
    folder = RunFolder(run)
    rows = []
    if folder.surface.exists():
        surface = storage.read_surface(folder.surface)
        rows += [four_sides(surface, SIDE_PX, look) for look in LOOKS]
    rows += strips(folder, video, every)
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=30) for row in rows]
    Image.fromarray(np.concatenate(padded)).save(out)


def strips(folder: RunFolder, video: Path | None, every: int) -> list[np.ndarray]:
    """Rows of input, depth, normals, overlay and view from around, side by side over the frames."""
    manifest = read_manifest(folder.manifest)
    image = PanelSize(manifest.input.width, manifest.input.height)
    size = PanelSize.within(image.width, image.height, STRIP_PX)
    panels = Panels(folder, image, size)
    rigged = folder.rig.exists() and folder.surface.exists()
    shown = Shown(storage.read_surface(folder.surface), read_rig(folder.rig), size, fine=True) if rigged else None
    indices = folder.image_indices("depth")
    chosen = set(indices[:: every or max(1, len(indices) // 8)])
    columns = []
    frames = open_video(video or Path(manifest.input.path), manifest.config.frames)
    for frame in frames.resized(size.width, size.height):
        if frame.index in chosen:
            pictures = panels.of(frame)
            moved = [shown.over(frame.index, pictures[0]), shown.around(frame.index)] if shown else []
            columns.append([*pictures, *moved])
    return [np.concatenate(row, axis=1) for row in zip(*columns, strict=True)]


if __name__ == "__main__":
    typer.run(sheet)
