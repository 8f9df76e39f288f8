"""How the cores are shared: frames side by side, and each operation on its frame in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch

MOST_WORKERS = 8
"""Frames that are worked on at once; each holds its full-size maps, some 100 MB at 1080x1920."""


@contextmanager
def one_thread_an_operation() -> Iterator[int]:
    """Within, torch and OpenCV compute each operation in the thread that asks for it.

    Operations on one frame are too small to share: two threads took 1.3 to 5 times one's processor time.

    Returns:
        How many threads an operation had before, at most `MOST_WORKERS`: so many frames may be worked on at once.
    """
    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield min(before, MOST_WORKERS)
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv)
