"""Cells: pure pieces of work, named by the hash of everything that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pytest_mesa.registry.canonical import Json as Json
from pytest_mesa.registry.canonical import canonical as canonical


@dataclass(frozen=True)
class Cell:
    """One piece of work: ``impl`` (``module:function``) applied to parameters and inputs.

    ``version`` belongs to the code's meaning: raise it when the same parameters must give
    another result. The key hashes kind, version, parameters and the inputs' keys; ``impl``
    and ``label`` are not part of it, so that moving code recomputes nothing.

    ``context`` is what this run knows and the result does not depend on, such as where the
    weights lie that a parameter names by hash. The code gets it with its parameters, and the
    code of every cell that this one is an input of gets it on the input's `Result`.
    """

    kind: str
    version: int
    params: Mapping[str, Json]
    impl: str
    inputs: tuple[Cell, ...] = ()
    label: str = field(default="", compare=False)
    context: Mapping[str, Json] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if hashed := self.params.keys() & self.context.keys():
            raise ValueError(f"{', '.join(sorted(hashed))}: parameter and context alike")

    @cached_property
    def key(self) -> str:
        """Hex SHA-256 of what the result depends on."""
        body = {
            "kind": self.kind,
            "version": self.version,
            "params": dict(self.params),
            "inputs": [cell.key for cell in self.inputs],
        }
        return hashlib.sha256(canonical(body)).hexdigest()

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and other.key == self.key


@dataclass(frozen=True, slots=True)
class Result:
    """A finished cell: its JSON payload, and the folder of its files.

    The key says what it is, so results with one key are equal. ``context`` is that of the cell
    in this run; it is not stored.
    """

    key: str
    payload: Json = field(compare=False)
    folder: Path = field(compare=False)
    context: Mapping[str, Json] = field(default_factory=dict, compare=False)

    def file(self, name: str) -> Path:
        """The path of one of the result's files."""
        return self.folder / name


# A cell's code: parameters, the inputs' results in order, an empty folder for files → payload.
CellFunction = Callable[[Mapping[str, Json], tuple[Result, ...], Path], Json]
