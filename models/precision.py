"""Which devices compute in half precision."""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself: CUDA, and processors with AVX-512 BF16 or AMX (1.6 times as
    fast; normals of the small networks move by less than 0.1 degrees).
    """
    if device.type != "cpu":
        return device.type == "cuda"
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
