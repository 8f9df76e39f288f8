"""Loops over pixels and voxels that Numba compiles to machine code for the processor.

PyTorch takes a pass over memory for each operation; where dozens of them follow one another on every pixel, one loop
that does all of it at once is several times faster. Devices other than the processor are PyTorch's alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from dancedepth.models.weights import cache_folder

Loop = TypeVar("Loop", bound=Callable[..., object])

ROOM_BYTES = 32_000_000
"""The loops take some 2 MB; Numba would end the run if the disk were full."""


@cache
def has_numba() -> bool:
    """Training and synthesis do without."""
    return importlib.util.find_spec("numba") is not None


def compiled(loop: Loop) -> Loop:
    """The loop as machine code, compiled when first called with its types, outside Python's lock.

    What was compiled is kept in the cache folder (some seconds of work), unless that cannot be written or is full.
    """
    import numba

    folder = _kept_in()
    settings: Any = numba.config
    settings.CACHE_DIR = "" if folder is None else str(folder)
    made: Any = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"}, cache=folder is not None)(loop)
    return cast("Loop", made)


def _kept_in() -> Path | None:
    folder = cache_folder() / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(folder).free > ROOM_BYTES
    except OSError:
        return None
    return folder if room and os.access(folder, os.W_OK) else None
