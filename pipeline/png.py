"""Images as PNG files, packed by zlib-ng: half the time that zlib takes, and no larger."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from zlib_ng import zlib_ng

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOR = 0, 2
UP = 2
"""Each byte less the one above it: of PNG's filters the one that keeps depth, normals and mattes smallest."""
LEVEL = 2
"""Level 1 takes 3 instead of 5 ms for a depth image of 1080x1920, but half as much room again."""


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG file (W3C's Portable Network Graphics specification) without loss.

    The same pixels give the same bytes, which a run that is made again needs. OpenCV's encoder takes twice as long for
    larger files: of a depth image of 1080x1920 14 instead of 6 ms, of normals 23 instead of 10.

    Args:
        pixels: (h w) grey or (h w 3) RGB, uint8 or uint16, of at least one pixel.

    Raises:
        ValueError: pixels of another kind.
    """
    kind = {2: GREY, 3: COLOR}.get(pixels.ndim)
    if kind is None or pixels.size == 0 or (kind == COLOR and pixels.shape[2] != 3) or pixels.dtype.kind != "u":
        raise ValueError(f"no image: {pixels.shape} of {pixels.dtype}")
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    packed = zlib_ng.compress(_filtered(pixels), LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _filtered(pixels: np.ndarray) -> np.ndarray:
    """(h b) bytes of the rows, most significant first, each behind the number of its filter."""
    rows = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">"), copy=False)).view(np.uint8)
    rows = rows.reshape(len(pixels), -1)
    filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
