"""What an experiment or task kind is, apart from those there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from pytest_mesa.registry.models import fault, repeated


@dataclass(frozen=True, slots=True)
class Kind:
    """An experiment or task kind: its name, its parameters' model, and where its code lives.

    ``gathers`` says that the models given on one command line are one subject to it, a ladder,
    and not one each.
    """

    name: str
    params: type[BaseModel]
    impl: str
    gathers: bool = False


def distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The tuple itself, where nothing in it stands twice."""
    if (index := repeated(value)) is not None:
        raise fault(f"{value[index]!r} is given twice", index)
    return value


def refuse_own_rival(algorithm: str, rivals: tuple[str, ...]) -> None:
    """An algorithm explains nothing beyond itself, so it can't be among its own rivals."""
    if algorithm in rivals:
        raise fault(
            f"'{algorithm}' is the algorithm itself, so it is no rival",
            *("rivals", rivals.index(algorithm)),
        )
