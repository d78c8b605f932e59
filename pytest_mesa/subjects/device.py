"""Where a model runs, and in which numbers."""

from __future__ import annotations

from typing import Literal

import torch

from pytest_mesa.subjects.errors import SubjectError

# exact: float32, for what patches, differentiates or compares runs. fast: half as many bits
# where the hardware computes in them, for what only reads a plain run.
Precision = Literal["exact", "fast"]


def choose_device(asked: str = "") -> torch.device:
    """The asked device, else CUDA, Apple's MPS, the CPU, whichever is there first.

    Raises:
        SubjectError: there is no device of that name, or not here.
    """
    if asked:
        return _asked(asked)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_dtype(device: torch.device, precision: Precision, asked: str = "") -> torch.dtype:
    """The asked number format, or the one that the precision allows and the device is good at."""
    if asked:
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(asked, torch.float16)
    if precision == "fast" and _computes_bfloat16(device):
        return torch.bfloat16
    return torch.float32


def _asked(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SubjectError(f"no device is called {name!r}; there are cpu, cuda, mps") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        names = [kind for kind in ("cuda", "mps", "cpu") if there[kind]]
        raise SubjectError(f"device {name!r} is not there; this machine has {', '.join(names)}")
    return device


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # Private, since torch has no public name for it; without it float32 is merely slower.
        known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(known and known())
    return False
