"""The rasteriser on the processor: what `raster` does, triangle after triangle in one compiled loop."""

from __future__ import annotations

import numpy as np
from dancedepth.models.kernels import compiled
from jaxtyping import Float, Int

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
FARTHEST = np.iinfo(np.int64).max
LEAST_AREA = 1e-9
"""Triangles of less than half so many pixels show nothing."""
FLATTEST = 1e-12
"""Edges that rise less than this do not cross rows."""


@compiled
def draw(
    pixels: Float[np.ndarray, "v 2"],
    z: Float[np.ndarray, "v"],
    faces: Int[np.ndarray, "f 3"],
    front_only: bool,
    nearest_m: np.float32,
    slack: float,
    steps_per_m: float,
    buffer: Int[np.ndarray, "h w"],
    face_index: Int[np.ndarray, "h w"],
    barycentric: Float[np.ndarray, "h w 3"],
    depth_m: Float[np.ndarray, "h w"],
) -> None:
    """Draw triangles, each where it is nearest.

    Args:
        pixels: places of the vertices in the image, and their z in metres.
        faces: the triangles; at the same depth the first of them is seen.
        front_only: leave out those that show their back.
        nearest_m: those that reach nearer to the camera are left out.
        slack: how much spans are widened, in pixels.
        steps_per_m: resolution of depth.
        buffer: depth in steps, at first `FARTHEST`.
        face_index, barycentric, depth_m: where to write, at first -1, 0 and 0.
    """
    for face in range(len(faces)):
        if _is_drawn(pixels, z, faces[face], front_only, nearest_m):
            _cover(pixels, z, faces, face, slack, steps_per_m, buffer, face_index)
    for y in range(face_index.shape[0]):
        for x in range(face_index.shape[1]):
            if face_index[y, x] >= 0:
                _resolve(pixels, z, faces[face_index[y, x]], y, x, barycentric, depth_m)


@compiled
def _is_drawn(
    pixels: Float[np.ndarray, "v 2"],
    z: Float[np.ndarray, "v"],
    corners: Int[np.ndarray, "3"],
    front_only: bool,
    nearest_m: np.float32,
) -> bool:
    a, b, c = corners
    if min(z[a], z[b], z[c]) <= nearest_m:
        return False
    area = (pixels[b, 0] - pixels[a, 0]) * (pixels[c, 1] - pixels[a, 1]) - (pixels[b, 1] - pixels[a, 1]) * (
        pixels[c, 0] - pixels[a, 0]
    )
    return area < -LEAST_AREA if front_only else abs(area) > LEAST_AREA


@compiled
def _cover(
    pixels: Float[np.ndarray, "v 2"],
    z: Float[np.ndarray, "v"],
    faces: Int[np.ndarray, "f 3"],
    face: int,
    slack: float,
    steps_per_m: float,
    buffer: Int[np.ndarray, "h w"],
    face_index: Int[np.ndarray, "h w"],
) -> None:
    """Write one triangle where it is the nearest so far."""
    height, width = buffer.shape
    a, b, c = faces[face]
    ax, ay, bx, by, cx, cy = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1], pixels[c, 0], pixels[c, 1]
    ia, ib, ic = ONE / z[a], ONE / z[b], ONE / z[c]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    along_x = ((ib - ia) * (cy - ay) - (ic - ia) * (by - ay)) / area
    along_y = ((ic - ia) * (bx - ax) - (ib - ia) * (cx - ax)) / area
    least, most = min(ia, ib, ic), max(ia, ib, ic)
    left, right = np.float64(min(ax, bx, cx)), np.float64(max(ax, bx, cx))
    for y in range(
        _first(np.float64(min(ay, by, cy)), slack, height), _end(np.float64(max(ay, by, cy)), slack, height)
    ):
        low, high = np.inf, -np.inf
        for k in range(3):
            start, end = faces[face, k], faces[face, (k + 1) % 3]
            from_y, to_y = np.float64(pixels[start, 1]), np.float64(pixels[end, 1])
            rise, to_row = to_y - from_y, y + 0.5 - from_y
            if abs(rise) > FLATTEST and to_row * (y + 0.5 - to_y) <= slack:
                from_x = np.float64(pixels[start, 0])
                at = from_x + to_row * (np.float64(pixels[end, 0]) - from_x) / rise
                low, high = min(low, at), max(high, at)
        low, high = max(low, left), min(high, right)
        if not low <= high:
            continue
        for x in range(_first(low, slack, width), _end(high, slack, width)):
            inverse = ia + along_x * (np.float32(x) + HALF - ax) + along_y * (np.float32(y) + HALF - ay)
            depth = np.float64(ONE / min(max(inverse, least), most))
            steps = np.int64(min(depth, 2000.0) * steps_per_m)
            if steps < buffer[y, x]:
                buffer[y, x], face_index[y, x] = steps, face


@compiled
def _first(low: float, slack: float, size: int) -> int:
    """The first pixel whose centre lies beyond `low`."""
    return int(min(max(np.ceil(low - 0.5 - slack), 0.0), np.float64(size)))


@compiled
def _end(high: float, slack: float, size: int) -> int:
    """The pixel after the last whose centre lies before `high`."""
    return int(min(max(np.floor(high - 0.5 + slack), -1.0), np.float64(size - 1))) + 1


@compiled
def _resolve(
    pixels: Float[np.ndarray, "v 2"],
    z: Float[np.ndarray, "v"],
    corners: Int[np.ndarray, "3"],
    y: int,
    x: int,
    barycentric: Float[np.ndarray, "h w 3"],
    depth_m: Float[np.ndarray, "h w"],
) -> None:
    """Perspective-correct weights of a pixel's triangle, and its depth."""
    a, b, c = corners
    px, py = np.float32(x) + HALF - pixels[a, 0], np.float32(y) + HALF - pixels[a, 1]
    ux, uy = pixels[b, 0] - pixels[a, 0], pixels[b, 1] - pixels[a, 1]
    vx, vy = pixels[c, 0] - pixels[a, 0], pixels[c, 1] - pixels[a, 1]
    area = ux * vy - uy * vx
    of_b, of_c = (px * vy - py * vx) / area, (ux * py - uy * px) / area
    weight_a, weight_b, weight_c = _clamped(ONE - of_b - of_c), _clamped(of_b), _clamped(of_c)
    whole = weight_a + weight_b + weight_c
    in_a, in_b, in_c = weight_a / whole / z[a], weight_b / whole / z[b], weight_c / whole / z[c]
    total = in_a + in_b + in_c
    barycentric[y, x, 0], barycentric[y, x, 1], barycentric[y, x, 2] = in_a / total, in_b / total, in_c / total
    depth_m[y, x] = ONE / total


@compiled
def _clamped(value: np.float32) -> np.float32:
    return min(max(value, ZERO), ONE)
