"""What goes wrong outside the program - disk, memory, permissions, libraries - said as one of its own errors."""

from __future__ import annotations

import errno

from dancedepth.models.errors import DanceDepthError

REASONS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose another --out"),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or choose another --out"),
    errno.EFBIG: ("the file is larger than is allowed here", "Raise the limit (ulimit -f), or choose another --out"),
    errno.EACCES: ("permission denied", "Check the permissions, or choose another --out"),
    errno.EPERM: ("this is not permitted", "Check the permissions, or choose another --out"),
    errno.EROFS: ("this is a read-only file system", "Choose another --out"),
    errno.EMFILE: ("too many files are open", "Raise the limit (ulimit -n)"),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter one"),
}
"""Operating system errors that a user meets, and what to do about them."""
NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "insufficient memory",
    "bad allocation",
    "bad_alloc",
    "failed to map segment",
)
"""How torch, CUDA, OpenCV, onnxruntime and the loader of libraries say it, in errors of all kinds."""


def explain(error: BaseException) -> DanceDepthError | None:
    """The error in the user's words; None if it is nothing that a user could mend."""
    if isinstance(error, DanceDepthError):
        return error
    if isinstance(error, MemoryError) or any(said in str(error).lower() for said in NO_MEMORY):
        return DanceDepthError("there is not enough memory", "", "Close other programs, or use a smaller video")
    if isinstance(error, ImportError) and not (error.name or "").startswith("dancedepth"):
        return DanceDepthError(f"a library cannot be loaded ({error})", "", "Install it, or run `make setup` again")
    if isinstance(error, OSError) and "cannot open shared object file" in str(error):
        return DanceDepthError(f"a system library is missing ({error})", "", "Install it, or run `make setup` again")
    if isinstance(error, OSError) and error.errno is not None:
        what, remedy = REASONS.get(error.errno, (error.strerror or "the system refused", ""))
        return DanceDepthError(what, error.filename or "", remedy)
    return None
