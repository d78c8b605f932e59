"""What a line-up's subject is before it is loaded, and where subjects come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Cell

Reads = Literal["tokens", "text", "listing", "board", "ladder"]


@dataclass(frozen=True, slots=True)
class Handle:
    """One subject: its label, its part of a cell's parameters, and the cells it needs."""

    label: str
    params: dict[str, Any]
    inputs: tuple[Cell, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheme:
    """A source of subjects.

    ``loader`` names the function (``module:function``) that maps a handle's parameters and
    its inputs' results to a subject; it is imported only where a cell runs. ``reads`` says what
    its subjects are asked in: a task's own tokens, any text, listings of chess boards, boards.
    """

    name: str
    handles: Callable[[SubjectSpec], tuple[Handle, ...]]
    loader: str
    reads: Reads = "tokens"
