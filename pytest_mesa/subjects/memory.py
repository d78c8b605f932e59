"""Whether a model fits, said before it is loaded."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch

from pytest_mesa.subjects.errors import SubjectError

GIB = 2**30
WORKING_SHARE = 0.1  # of the weights: activations and a cache, which grow with the model
WORKING_LEAST = GIB // 2  # logits of one run, and what any process needs
HEADER_MOST = 2**28  # bytes of a safetensors header; the format itself allows 100 MB


def parameters_in(weights: Sequence[Path]) -> int:
    """How many numbers safetensors files hold, by their headers.

    Raises:
        SubjectError: a file that is no safetensors file, or is cut short.
    """
    return sum(map(_parameters, weights))


def _parameters(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(size - 8, HEADER_MOST):
            raise SubjectError(f"{path} is no safetensors file, or is cut short")
        text = file.read(length)
    try:
        tensors = {n: t for n, t in json.loads(text).items() if n != "__metadata__"}
        ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
        count = sum(int(prod(tensor["shape"])) for tensor in tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SubjectError(f"{path} is no safetensors file: its header is damaged") from error
    if size - 8 - length < max(ends, default=0):
        raise SubjectError(
            f"{path} is cut short: {size} bytes, where its header tells of {8 + length + max(ends)}"
        )
    return count


def needed(parameters: int, dtype: torch.dtype) -> int:
    """Bytes that a model takes: its weights, and what running it needs beside them."""
    weights = parameters * dtype.itemsize
    return weights + max(WORKING_LEAST, int(weights * WORKING_SHARE))


def available(device: torch.device) -> int | None:
    """Bytes that may be used, from MESA_MEMORY (GiB) or the device; None where unknown.

    Raises:
        SubjectError: MESA_MEMORY is no positive number.
    """
    if given := os.environ.get("MESA_MEMORY"):
        return budget(given)
    if device.type == "cuda":
        return sum(torch.cuda.mem_get_info(d)[0] for d in range(torch.cuda.device_count()))
    return _free_ram()


def budget(text: str) -> int:
    """A number of GiB in bytes.

    Raises:
        SubjectError: no positive number.
    """
    try:
        gib = float(text)
    except ValueError:
        gib = 0.0
    if not 0 < gib < float("inf"):
        raise SubjectError(f"a memory budget is a positive number of GiB, not {text!r}")
    return int(gib * GIB)


def check(name: str, need: int, device: torch.device) -> None:
    """Refuse what does not fit.

    Raises:
        SubjectError: with the estimate, the budget, and what to do.
    """
    free = available(device)
    if free is not None and need > free:
        raise SubjectError(
            f"{name} needs about {need / GIB:.2f} GiB and {free / GIB:.2f} GiB are free on "
            f"{device.type}: free some, take a machine with more, load it in fewer bits "
            "(--mesa-dtype bfloat16), or say with --mesa-memory that there is more"
        )


def _free_ram() -> int | None:
    free = [_proc_available(), _cgroup_left()]
    known = [bytes_ for bytes_ in free if bytes_ is not None]
    if known:
        return min(known)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _proc_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _cgroup_left() -> int | None:
    """What the container may still take; what it holds of file caches counts as free."""
    root = Path("/sys/fs/cgroup")
    try:
        limit = (root / "memory.max").read_text("ascii").strip()
        used = int((root / "memory.current").read_text("ascii"))
        stats = dict(
            line.split() for line in (root / "memory.stat").read_text("ascii").splitlines()
        )
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + int(stats.get("inactive_file", 0)))
