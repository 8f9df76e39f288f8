"""Cutting the matted dancer out of an image at another size, in one compiled loop: what `inputs` does with tensors."""

from __future__ import annotations

import numpy as np
from dancedepth.models.kernels import compiled
from jaxtyping import Float, Int, UInt8

CHANNELS = 4
BRIGHTEST = np.float32(255)


def cut_out(
    rgb: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
    top: int,
    left: int,
    size: tuple[int, int],
    cut_size: tuple[int, int],
) -> Float[np.ndarray, "4 n m"]:
    """A window of the image in another size (antialiased, bilinear): colours times alpha, and alpha, 0-1.

    Args:
        rgb, alpha: the image.
        top, left: corner of the window, which may reach beyond the image; it is black there.
        size: height and width of the window.
        cut_size: of the result.
    """
    cut = np.zeros((CHANNELS, *cut_size), np.float32)
    rows, columns = (_taps(length, count) for length, count in zip(size, cut_size, strict=True))
    _cut(np.ascontiguousarray(rgb), np.ascontiguousarray(alpha), top, left, *size, *rows, *columns, cut)
    return cut


def _taps(length: int, count: int) -> tuple[Int[np.ndarray, "c"], Float[np.ndarray, "c k"]]:
    """For each of `count` places along `length` pixels, the first that it takes from, and weights; a triangle's, as
    wide as the larger of both pixels.
    """
    scale = length / count
    reach = max(scale, 1.0)
    middle = (np.arange(count) + 0.5) * scale
    first = np.maximum((middle - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((middle + reach + 0.5).astype(np.int64), length)
    at = first[:, None] + np.arange(int((end - first).max()))
    weights = np.clip(1 - np.abs(at + 0.5 - middle[:, None]) / reach, 0, None) * (at < end[:, None])
    return first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@compiled
def _cut(
    rgb: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
    top: int,
    left: int,
    height: int,
    width: int,
    first_row: Int[np.ndarray, "n"],
    row_weights: Float[np.ndarray, "n k"],
    first_column: Int[np.ndarray, "m"],
    column_weights: Float[np.ndarray, "m j"],
    cut: Float[np.ndarray, "4 n m"],
) -> None:
    """Rows of the window are summed up before columns are: that runs along the memory."""
    line = np.zeros((CHANNELS, width), np.float32)
    low, high = max(left, 0), min(left + width, alpha.shape[1])
    for y in range(cut.shape[1]):
        line[:] = 0
        for k in range(row_weights.shape[1]):
            row = top + first_row[y] + k
            if row < 0 or row >= min(alpha.shape[0], top + height) or row_weights[y, k] == 0:
                continue
            _add(rgb[row, low:high], alpha[row, low:high], row_weights[y, k], line[:, low - left : high - left])
        for channel in range(CHANNELS):
            for x in range(cut.shape[2]):
                total = np.float32(0)
                for k in range(min(column_weights.shape[1], width - first_column[x])):
                    total += column_weights[x, k] * line[channel, first_column[x] + k]
                cut[channel, y, x] = total


@compiled
def _add(
    rgb: UInt8[np.ndarray, "w 3"], alpha: UInt8[np.ndarray, "w"], weight: np.float32, line: Float[np.ndarray, "4 w"]
) -> None:
    for x in range(len(alpha)):
        if alpha[x] > 0:
            share = weight * (np.float32(alpha[x]) / BRIGHTEST)
            for channel in range(3):
                line[channel, x] += share * (np.float32(rgb[x, channel]) / BRIGHTEST)
            line[3, x] += share
