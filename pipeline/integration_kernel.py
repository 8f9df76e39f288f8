"""Integration on the processor: what `integration` does, in one compiled loop over blocks and their voxels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from dancedepth.models.kernels import compiled
from dancedepth.pipeline.canonical import SIDE, VOXELS
from dancedepth.pipeline.frame_view import CANONICAL, COLOR, NORMAL, POINT, TOLERANCE, WEIGHT
from jaxtyping import Float, Int

MIDDLE_VOXEL = SIDE // 2 * (1 + SIDE + SIDE**2)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
POINT_X, NORMAL_X, CANONICAL_X, RED = POINT.start, NORMAL.start, CANONICAL.start, COLOR.start
MATRIX = 12
"""Entries of a matrix from rest to camera, row by row."""


class Rules(NamedTuple):
    """What integration goes by, as 32-bit numbers; lengths in metres."""

    voxel_m: np.float32
    truncation_m: np.float32
    carve_m: np.float32
    """Space is known to be free up to here in front of the surface."""
    carve_weight: np.float32
    color_m: np.float32
    """Voxels nearer to the surface than this take its colour."""
    stretch: np.float32
    """Canonical distances may differ by this factor from those in the camera."""
    facing: np.float32
    facing_rise: np.float32
    """A voxel counts by the cosine between its body normal and the surface seen: this much, and so much more by it."""
    back_cos: np.float32
    """Blocks whose body surface is turned away from the camera by more than this show nothing."""
    nearest_m: np.float32
    """Nothing nearer to the camera is looked at."""


class Held(NamedTuple):
    """A volume's tensors as arrays, a row a slot."""

    bones: Int[np.ndarray, "s k"]
    skin: Float[np.ndarray, "s k n"]
    normals: Float[np.ndarray, "s 3 n"]
    origins: Float[np.ndarray, "s 3"]
    offsets: Float[np.ndarray, "3 n"]
    tsdf: Float[np.ndarray, "s n"]
    weight: Float[np.ndarray, "s n"]
    scatter: Float[np.ndarray, "s n"]
    color_weight: Float[np.ndarray, "s n"]
    color: Float[np.ndarray, "s 3 n"]


class Look(NamedTuple):
    """A frame's view and camera."""

    rows: Float[np.ndarray, "p 16"]
    focal_px: np.float32
    cx: np.float32
    cy: np.float32
    width: int
    height: int
    used: Int[np.ndarray, "h1 w1"]
    """Summed-area table (Crow 1984) of the pixels that show something."""
    near: Float[np.ndarray, "y x"]
    far: Float[np.ndarray, "y x"]
    """Depth ranges around square cells of the image."""
    cell: int
    """Their side in pixels."""


@compiled
def fold(
    slots: Int[np.ndarray, "a"],
    bone_rows: Float[np.ndarray, "j 12"],
    held: Held,
    look: Look,
    rules: Rules,
    frame_weight: np.float32,
) -> None:
    """Fold one frame into a volume's blocks, which it changes.

    Args:
        slots: of the active blocks.
        bone_rows: the upper three rows of each bone's matrix from rest to camera.
        held: the volume.
        look: the frame.
        rules: what to go by.
        frame_weight: what the frame counts.
    """
    matrix = np.empty((MATRIX, VOXELS), np.float32)
    at = np.empty((3, VOXELS), np.float32)
    pixels = np.empty(VOXELS, np.int64)
    for slot in slots:
        if _in_view(slot, bone_rows, held, look, rules):
            _move(slot, bone_rows, held, look, rules, matrix, at, pixels)
            _update(slot, held, look, rules, frame_weight, matrix, at, pixels)


@compiled
def _in_view(slot: int, bone_rows: Float[np.ndarray, "j 12"], held: Held, look: Look, rules: Rules) -> bool:
    """Whether a block may hold voxels near the surface seen, judged at its centre."""
    m = np.zeros(MATRIX, np.float32)
    for k in range(held.bones.shape[1]):
        share = held.skin[slot, k, MIDDLE_VOXEL]
        for entry in range(MATRIX):
            m[entry] += share * bone_rows[held.bones[slot, k], entry]
    half = rules.voxel_m * np.float32(SIDE) * HALF
    cx, cy, cz = held.origins[slot, 0] + half, held.origins[slot, 1] + half, held.origins[slot, 2] + half
    x = m[0] * cx + m[1] * cy + m[2] * cz + m[3]
    y = m[4] * cx + m[5] * cy + m[6] * cz + m[7]
    z = m[8] * cx + m[9] * cy + m[10] * cz + m[11]
    pixel = _pixel(x, y, z, look, rules)
    if pixel < 0:
        return False
    nx, ny, nz = (
        held.normals[slot, 0, MIDDLE_VOXEL],
        held.normals[slot, 1, MIDDLE_VOXEL],
        held.normals[slot, 2, MIDDLE_VOXEL],
    )
    away = (
        (m[0] * nx + m[1] * ny + m[2] * nz) * x
        + (m[4] * nx + m[5] * ny + m[6] * nz) * y
        + (m[8] * nx + m[9] * ny + m[10] * nz) * z
    )
    if away > rules.back_cos * np.sqrt(x * x + y * y + z * z):
        return False
    radius = rules.voxel_m * np.float32(SIDE * 0.87) * rules.stretch
    behind, before = radius + rules.truncation_m, radius + rules.carve_m
    if look.rows[pixel, WEIGHT] > ZERO:
        seen = look.rows[pixel]
        gx, gy, gz = x - seen[POINT_X], y - seen[POINT_X + 1], z - seen[POINT_X + 2]
        signed = gx * seen[NORMAL_X] + gy * seen[NORMAL_X + 1] + gz * seen[NORMAL_X + 2]
        ax, ay, az = cx - seen[CANONICAL_X], cy - seen[CANONICAL_X + 1], cz - seen[CANONICAL_X + 2]
        apart, gap = np.sqrt(ax * ax + ay * ay + az * az), np.sqrt(gx * gx + gy * gy + gz * gz)
        return -behind < signed < before and apart < rules.stretch * gap + seen[TOLERANCE] + radius
    row, column = pixel // look.width // look.cell, pixel % look.width // look.cell
    if z <= look.near[row, column] - before or z >= look.far[row, column] + behind:
        return False
    return _shows_something(x, y, z, m, look, rules)


@compiled
def _shows_something(
    x: np.float32, y: np.float32, z: np.float32, m: Float[np.ndarray, "12"], look: Look, rules: Rules
) -> bool:
    """Whether any pixel that a block covers is used."""
    scale = look.focal_px / max(z, rules.nearest_m)
    half, spread = rules.voxel_m * HALF, rules.stretch * np.float32((SIDE - 1) / 2) * rules.voxel_m
    column = (x - (m[0] + m[1] + m[2]) * half) * scale + look.cx
    row = (y - (m[4] + m[5] + m[6]) * half) * scale + look.cy
    across = (abs(m[0]) + abs(m[1]) + abs(m[2])) * spread * scale + ONE
    along = (abs(m[4]) + abs(m[5]) + abs(m[6])) * spread * scale + ONE
    left, right = _clipped(column - across, look.width), _clipped(np.ceil(column + across), look.width)
    top, bottom = _clipped(row - along, look.height), _clipped(np.ceil(row + along), look.height)
    used = look.used
    return used[bottom, right] - used[top, right] - used[bottom, left] + used[top, left] > 0


@compiled
def _clipped(value: np.float32, most: int) -> int:
    return int(min(max(value, ZERO), np.float32(most)))


@compiled
def _pixel(x: np.float32, y: np.float32, z: np.float32, look: Look, rules: Rules) -> int:
    """The flat index of the pixel that a camera-space point falls in, -1 outside."""
    scale = look.focal_px / max(z, rules.nearest_m)
    column, row = np.floor(x * scale + look.cx), np.floor(y * scale + look.cy)
    width, height = np.float32(look.width), np.float32(look.height)
    inside = (z > rules.nearest_m) & (column >= ZERO) & (row >= ZERO) & (column < width) & (row < height)
    return int(row) * look.width + int(column) if inside else -1


@compiled
def _move(
    slot: int,
    bone_rows: Float[np.ndarray, "j 12"],
    held: Held,
    look: Look,
    rules: Rules,
    matrix: Float[np.ndarray, "12 n"],
    at: Float[np.ndarray, "3 n"],
    pixels: Int[np.ndarray, "n"],
) -> None:
    """Write the matrices, camera-space places and pixels of a block's voxels."""
    matrix[:] = ZERO
    for k in range(held.bones.shape[1]):
        share = held.skin[slot, k]
        for entry in range(MATRIX):
            value = bone_rows[held.bones[slot, k], entry]
            for v in range(VOXELS):
                matrix[entry, v] += value * share[v]
    for v in range(VOXELS):
        px = held.origins[slot, 0] + held.offsets[0, v]
        py = held.origins[slot, 1] + held.offsets[1, v]
        pz = held.origins[slot, 2] + held.offsets[2, v]
        at[0, v] = matrix[0, v] * px + matrix[1, v] * py + matrix[2, v] * pz + matrix[3, v]
        at[1, v] = matrix[4, v] * px + matrix[5, v] * py + matrix[6, v] * pz + matrix[7, v]
        at[2, v] = matrix[8, v] * px + matrix[9, v] * py + matrix[10, v] * pz + matrix[11, v]
        pixels[v] = _pixel(at[0, v], at[1, v], at[2, v], look, rules)


@compiled
def _update(
    slot: int,
    held: Held,
    look: Look,
    rules: Rules,
    frame_weight: np.float32,
    matrix: Float[np.ndarray, "12 n"],
    at: Float[np.ndarray, "3 n"],
    pixels: Int[np.ndarray, "n"],
) -> None:
    """Running weighted means of a block's distances and colours, and the distances' scatter (West 1979)."""
    for v in range(VOXELS):
        if pixels[v] < 0 or look.rows[pixels[v], WEIGHT] <= ZERO:
            continue
        seen = look.rows[pixels[v]]
        gx, gy, gz = at[0, v] - seen[POINT_X], at[1, v] - seen[POINT_X + 1], at[2, v] - seen[POINT_X + 2]
        signed = gx * seen[NORMAL_X] + gy * seen[NORMAL_X + 1] + gz * seen[NORMAL_X + 2]
        if signed <= -rules.truncation_m or signed >= rules.carve_m:
            continue
        ax = held.origins[slot, 0] + held.offsets[0, v] - seen[CANONICAL_X]
        ay = held.origins[slot, 1] + held.offsets[1, v] - seen[CANONICAL_X + 1]
        az = held.origins[slot, 2] + held.offsets[2, v] - seen[CANONICAL_X + 2]
        apart, gap = np.sqrt(ax * ax + ay * ay + az * az), np.sqrt(gx * gx + gy * gy + gz * gz)
        if apart >= rules.stretch * gap + seen[TOLERANCE]:
            continue
        added = seen[WEIGHT] * _facing(slot, v, held, seen, rules, matrix) * frame_weight * _share(signed, rules)
        if added <= ZERO:
            continue
        total = held.weight[slot, v] + added
        value = min(max(signed / rules.truncation_m, -ONE), ONE)
        mean = held.tsdf[slot, v]
        moved = mean + added / total * (value - mean)
        held.scatter[slot, v] += added * (value - mean) * (value - moved)
        held.tsdf[slot, v] = moved
        held.weight[slot, v] = total
        if abs(signed) < rules.color_m:
            held.color_weight[slot, v] += added * added
            step = added * added / held.color_weight[slot, v]
            for channel in range(3):
                held.color[slot, channel, v] += step * (seen[RED + channel] - held.color[slot, channel, v])


@compiled
def _facing(
    slot: int,
    v: int,
    held: Held,
    seen: Float[np.ndarray, "16"],
    rules: Rules,
    matrix: Float[np.ndarray, "12 n"],
) -> np.float32:
    """What a voxel counts by the way its body normal faces the surface seen."""
    nx, ny, nz = held.normals[slot, 0, v], held.normals[slot, 1, v], held.normals[slot, 2, v]
    cosine = (
        (matrix[0, v] * nx + matrix[1, v] * ny + matrix[2, v] * nz) * seen[NORMAL_X]
        + (matrix[4, v] * nx + matrix[5, v] * ny + matrix[6, v] * nz) * seen[NORMAL_X + 1]
        + (matrix[8, v] * nx + matrix[9, v] * ny + matrix[10, v] * nz) * seen[NORMAL_X + 2]
    )
    return min(max(rules.facing + rules.facing_rise * cosine, ZERO), ONE)


@compiled
def _share(signed: np.float32, rules: Rules) -> np.float32:
    """Weight by signed distance: full near the surface, falling behind it (nobody saw there), little in front."""
    if signed > rules.truncation_m:
        return rules.carve_weight
    return min(max((signed + rules.truncation_m) / (rules.truncation_m - rules.voxel_m), ZERO), ONE)
