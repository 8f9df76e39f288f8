"""What a stage has freed goes back to the system, so that the next one does not stand on top of it."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_heap_back() -> None:
    """Return freed memory that the C library keeps for itself.

    After the body fit of a long clip that is hundreds of megabytes: many small tensors freed between others that live.
    Only glibc has to be asked.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
