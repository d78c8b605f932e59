"""Planted sequences of releases, as controls of forecasts: no nets, but a known course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme

PLANTED = ("planted-jump", "planted-smooth")  # named here too: planning takes no numpy


def sequence_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """The planted sequences that a reference names, one a seed.

    Raises:
        SubjectError: there is none of that name, or it is given options.
    """
    name = str(spec.ref).partition(":")[2]
    if name not in PLANTED:
        hint = did_you_mean(name, PLANTED) or f"there are {', '.join(PLANTED)}"
        raise SubjectError(f"no sequence of releases is called {name!r}; {hint}")
    if spec.options or spec.untrained:
        raise SubjectError("a planted sequence is neither untrained nor has it options")
    return tuple(
        Handle(
            f"sequence {name}" + (f" {seed}" if spec.seeds > 1 else ""),
            {"scheme": "sequence", "planted": name, "seed": seed},
        )
        for seed in range(spec.seeds)
    )


def no_net(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> NoReturn:
    """A sequence is no net.

    Raises:
        SubjectError: always.
    """
    raise SubjectError(f"{params['planted']!r} is a planted sequence, not a net to be loaded")


SEQUENCE = Scheme("sequence", sequence_handles, "pytest_mesa.subjects.sequences:no_net", "ladder")
