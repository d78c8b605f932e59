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
from pytest_mesa.verdicts.scaling.names import LEAST_SEEDS, PLANTS

FIRST, PER_SIZE = "first-seed", "seeds-per-size"
MOST_SEEDS = 1000


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
    if spec.untrained:
        raise SubjectError("a ladder is not untrained", at=("untrained",))
    if name in LADDERS:
        if spec.seeds > 1:
            raise SubjectError(
                f"the ladder {name!r} is one subject: say how many nets of each size it has by "
                f"options: {{{PER_SIZE}: {spec.seeds}}}"
            )
        start, count = _seeds(spec)
        return (
            Handle(
                f"ladder {name}",
                {"scheme": "ladder", "name": name, "first": start, "per-size": count},
            ),
        )
    if spec.options:
        raise SubjectError("a planted ladder has no options")
    return tuple(
        Handle(
            f"ladder {name}" + (f" {seed}" if spec.seeds > 1 else ""),
            {"scheme": "ladder", "planted": name, "seed": seed},
        )
        for seed in range(spec.seeds)
    )


def _seeds(spec: SubjectSpec) -> tuple[int, int]:
    """The first seed and the number of seeds of a ladder of nets."""
    asked = {FIRST: 0, PER_SIZE: LADDER_SEEDS, **spec.options}
    least = {FIRST: 0, PER_SIZE: LEAST_SEEDS}
    for option, value in asked.items():
        if option not in least:
            raise SubjectError(f"a ladder has no option {option!r}; it has {FIRST}, {PER_SIZE}")
        if type(value) is not int or not least[option] <= value <= MOST_SEEDS:
            raise SubjectError(
                f"options.{option}: expected a whole number from {least[option]} to {MOST_SEEDS}, "
                f"found {value!r}"
            )
    return int(asked[FIRST]), int(asked[PER_SIZE])


def nets(name: str, first: int, per_size: int) -> tuple[tuple[Handle, ...], ...]:
    """A ladder's nets as subjects of their own: rungs, smallest first, and the seeds of each."""
    return tuple(
        tuple(
            Handle(
                f"{recipe.name} seed {seed}", {"scheme": "recipe"}, (training_cell(recipe, seed),)
            )
            for seed in range(first, first + per_size)
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
