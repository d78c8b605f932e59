"""Ladders: one architecture in several sizes, several seeds each, as one subject.

A planted ladder holds no nets: its scores are drawn from a known curve, so that what the
experiment makes of a step, of smooth growth and of seeds that break through one by one is
known before it is asked about nets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme
from pytest_mesa.subjects.recipes import LADDER_SEEDS, LADDERS, training_cell
from pytest_mesa.verdicts.scaling.names import PLANTS


def ladder_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """The ladder that a reference names, as one subject.

    Raises:
        SubjectError: there is no such ladder, or it is given options or seeds.
    """
    name = str(spec.ref).partition(":")[2]
    known = (*LADDERS, *PLANTS)
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise SubjectError(f"no ladder is called {name!r}; {hint}")
    if spec.options or spec.untrained:
        raise SubjectError("a ladder is neither untrained nor has it options")
    if name in LADDERS and spec.seeds > 1:
        raise SubjectError(f"the ladder {name!r} has {LADDER_SEEDS} seeds of its own at each size")
    params = {"scheme": "ladder", "planted" if name in PLANTS else "name": name}
    if name in LADDERS:
        return (Handle(f"ladder {name}", params),)
    return tuple(
        Handle(f"ladder {name}" + (f" {seed}" if spec.seeds > 1 else ""), {**params, "seed": seed})
        for seed in range(spec.seeds)
    )


def nets(name: str) -> tuple[tuple[Handle, ...], ...]:
    """A ladder's nets as subjects of their own: rungs, smallest first, and the seeds of each."""
    return tuple(
        tuple(
            Handle(
                f"{recipe.name} seed {seed}", {"scheme": "recipe"}, (training_cell(recipe, seed),)
            )
            for seed in range(LADDER_SEEDS)
        )
        for recipe in LADDERS[name]
    )


def no_net(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> NoReturn:
    """A ladder is no net.

    Raises:
        SubjectError: always.
    """
    name = params.get("name") or params.get("planted")
    raise SubjectError(f"the ladder {name!r} is many nets, not one that could be loaded")


LADDER = Scheme("ladder", ladder_handles, "pytest_mesa.subjects.ladders:no_net", "ladder")
