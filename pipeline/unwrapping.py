"""xatlas, in a process of its own: it holds Python's lock for seconds, in which a surface can be painted.

`python -m dancedepth.pipeline.unwrapping` reads meshes from its input and writes their charts to its output.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import numpy as np

PADDING_PX = 4
MAX_COST = 8.0
"""Of a chart, in xatlas' measure: higher than its default of 2, for fewer and larger charts."""

Mesh = tuple[np.ndarray, np.ndarray]
"""Vertices (v 3) float32 and faces (f 3) uint32."""
Charts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Which vertex of the mesh each of k is, faces (f 3) over these, and their uv (k 2), 0-1, v down."""

log = logging.getLogger(__name__)


def elsewhere(meshes: list[Mesh], size_px: int) -> list[Charts]:
    """`unwrapped` in another process, or in this one if there cannot be one."""
    given = io.BytesIO()
    np.savez(given, np.int64(size_px), *(part for mesh in meshes for part in mesh))
    try:
        command = [sys.executable, "-m", "dancedepth.pipeline.unwrapping"]
        done = subprocess.run(command, input=given.getvalue(), capture_output=True, check=True)
        parts = _arrays(done.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        log.info("xatlas has no process of its own: %s", error)
        return unwrapped(meshes, size_px)
    return list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))


def unwrapped(meshes: list[Mesh], size_px: int) -> list[Charts]:
    """The charts of meshes that share one texture of `size_px`."""
    import xatlas

    atlas = xatlas.Atlas()
    for vertices, faces in meshes:
        atlas.add_mesh(vertices, faces)
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost = MAX_COST
    packing.resolution, packing.padding, packing.bilinear = size_px, PADDING_PX, True
    atlas.generate(charts, packing)
    return [atlas[number] for number in range(len(meshes))]


def _arrays(file: bytes) -> list[np.ndarray]:
    with np.load(io.BytesIO(file)) as held:
        return [held[f"arr_{number}"] for number in range(len(held.files))]


def main() -> None:
    """From standard input to standard output."""
    size_px, *parts = _arrays(sys.stdin.buffer.read())
    charts = unwrapped(list(zip(parts[::2], parts[1::2], strict=True)), int(size_px))
    made = io.BytesIO()
    np.savez(made, *(part for one in charts for part in one))
    sys.stdout.buffer.write(made.getvalue())


if __name__ == "__main__":
    main()
