"""Where the networks and the fusion compute."""

from __future__ import annotations

from dancedepth.pipeline.errors import UsageError


def choose_device(name: str) -> str:
    """`cpu` or `cuda`; `auto` is CUDA where there is a device.

    Raises:
        UsageError: CUDA was asked for and is not there.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here", "--device", "Use --device cpu, or auto")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name
