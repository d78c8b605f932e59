"""Ladders of one's own: a directory with one saved net a folder, ``--mesa-model ladder:DIR``.

Sizes are parameter counts, or whatever ``ladder.json`` says they are: checkpoints of one net are
a ladder of its training steps. Planning reads the headers of weights and no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.subjects.content import WEIGHTS
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.verdicts.scaling.names import LEAST_RUNGS, LEAST_SEEDS

INDEX = "ladder.json"
PARAMETERS = "parameters"
HEADER_BYTES = 2**24  # of a safetensors file; a ladder's nets need some kilobytes
FORM = '{"axis": "steps", "sizes": {"FOLDER": 1000, …}}'


@dataclass(frozen=True, slots=True)
class SavedLadder:
    """A directory's nets by size, smallest first: as many of each size."""

    folder: Path
    axis: str
    sizes: tuple[float, ...]
    rungs: tuple[tuple[Path, ...], ...]


def is_folder(name: str) -> bool:
    """Whether what follows ``ladder:`` is a path, and not one of the names that are known here."""
    return "/" in name or "\\" in name or name.startswith((".", "~")) or Path(name).is_dir()


def saved_ladder(name: str) -> SavedLadder:
    """The ladder in a directory.

    Raises:
        SubjectError: there is none, its index or a net can't be read, or it has too few sizes or
            unequal numbers of nets.
    """
    folder = Path.cwd() / Path(name).expanduser()
    if not folder.is_dir():
        raise SubjectError(f"cannot load ladder {name!r}: there is no directory {folder}")
    axis, sizes = _told(folder) if (folder / INDEX).exists() else (PARAMETERS, _counted(folder))
    by_size: dict[float, list[Path]] = {}
    for net, size in sizes.items():
        by_size.setdefault(size, []).append(folder / net)
    rungs = dict(sorted(by_size.items()))
    if len(rungs) < LEAST_RUNGS:
        raise SubjectError(
            f"the ladder in {folder} has {len(rungs)} sizes ({_listed(rungs)} {axis}); "
            f"{LEAST_RUNGS} are the least that tell a jump from growth"
        )
    per_size = {size: len(nets) for size, nets in rungs.items()}
    if len(set(per_size.values())) > 1 or min(per_size.values()) < LEAST_SEEDS:
        counts = ", ".join(f"{count} of {size:g}" for size, count in per_size.items())
        raise SubjectError(
            f"the ladder in {folder} has {counts} {axis}: it takes as many nets of each size, "
            f"from different seeds, and {LEAST_SEEDS} at least"
        )
    return SavedLadder(folder, axis, tuple(rungs), tuple(tuple(sorted(n)) for n in rungs.values()))


def _told(folder: Path) -> tuple[str, dict[str, float]]:
    """The axis and the sizes that the directory's index gives."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SubjectError(f"{path} can't be read ({error}); it reads {FORM}") from error
    told = index if isinstance(index, dict) else {}
    axis, sizes = told.get("axis"), told.get("sizes")
    if not isinstance(axis, str) or not axis.strip() or not isinstance(sizes, dict) or not sizes:
        raise SubjectError(f"{path}: expected {FORM}")
    nets = [each.name for each in folder.iterdir() if each.is_dir()]
    for net, size in sizes.items():
        if net not in nets:
            hint = did_you_mean(net, nets) or f"there are {', '.join(sorted(nets)) or 'none'}"
            raise SubjectError(f"{path}: there is no folder {net!r} beside it; {hint}")
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 1e30:
            raise SubjectError(f"{path}: the size of {net!r} is a number above 0, found {size!r}")
    return axis, {net: float(size) for net, size in sizes.items()}


def _counted(folder: Path) -> dict[str, float]:
    """Parameter counts of all nets in a directory, by their folders' names."""
    nets = sorted(path.parent for path in folder.glob("*/config.json"))
    return {net.name: float(_parameters(net)) for net in nets}


def _parameters(net: Path) -> int:
    files = sorted(net.glob(WEIGHTS))
    if not files:
        raise SubjectError(f"{net} holds no weights: there is no .safetensors file")
    return sum(_elements(_header(path)) for path in files)


def _elements(header: Mapping[str, Any]) -> int:
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _header(path: Path) -> dict[str, Any]:
    """A safetensors file's header: eight bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        _elements(header)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SubjectError(f"{path} is no safetensors file ({error})") from error
    return dict(header)


def _listed(rungs: Mapping[float, object]) -> str:
    return ", ".join(f"{size:g}" for size in rungs) or "none"
