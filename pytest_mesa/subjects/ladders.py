"""Ladders: one architecture in several sizes, several seeds each, as one subject.

A planted ladder holds no nets: its scores are drawn from a known curve, so that what the
experiment makes of a step, of smooth growth and of seeds that break through one by one is
known before it is asked about nets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from pytest_mesa.registry.errors import did_you_mean
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme
from pytest_mesa.subjects.knapsack_nets import net_handles
from pytest_mesa.subjects.model_ladders import is_listed, model_ladder
from pytest_mesa.subjects.recipes import ALONG, LADDER_SEEDS, LADDERS, TASK, training_cell
from pytest_mesa.subjects.saved_ladders import PARAMETERS, is_folder, saved_ladder
from pytest_mesa.verdicts.scaling.names import LEAST_SEEDS, PLANTS

COMPILED_ROWS = "compiled-rows"
# Exact without the table, and by it. Their sizes stand for none: all of them are as large.
IDLE, ROWS = "brute-force", "prefix-dp"
COMPILED_SIZES = tuple(round(1e3 * 10 ** (rung * 0.286)) for rung in range(8))
FIRST, PER_SIZE = "first-seed", "seeds-per-size"
MOST_SEEDS = 1000


def ladder_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """The ladder that a reference names, as one subject.

    Raises:
        SubjectError: there is no such ladder, or it is given options or seeds that it has not.
    """
    name = str(spec.ref).partition(":")[2]
    if spec.untrained:
        raise SubjectError("a ladder is not untrained", at=("untrained",))
    if is_listed(str(spec.ref)):
        return (model_ladder(spec),)
    known = (*LADDERS, *PLANTS, COMPILED_ROWS)
    if name not in known and is_folder(name):
        return (_saved_handle(name, spec),)
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise SubjectError(f"no ladder is called {name!r}; {hint}, or a directory of saved nets")
    if name in LADDERS:
        if spec.seeds > 1:
            raise SubjectError(
                f"the ladder {name!r} is one subject: say how many nets of each size it has by "
                f"options: {{{PER_SIZE}: {spec.seeds}}}"
            )
        start, count = _seeds(spec)
        params: dict[str, Json] = {"name": name, "first": start, "per-size": count}
        axis, sizes = ALONG.get(name, (PARAMETERS, ()))
        if sizes:
            params["sizes"] = list(sizes)
        return (Handle(f"ladder {name}{_along(axis)}", {"scheme": "ladder", **params}),)
    if spec.options:
        raise SubjectError(f"{spec.ref} has no options")
    if name == COMPILED_ROWS:
        return (_compiled_handle(spec),)
    return tuple(
        Handle(
            f"ladder {name}" + (f" {seed}" if spec.seeds > 1 else ""),
            {"scheme": "ladder", "planted": name, "seed": seed},
        )
        for seed in range(spec.seeds)
    )


def _compiled_handle(spec: SubjectSpec) -> Handle:
    """Nets of known mind: below the middle no table drives their answers, above it one does."""
    if spec.seeds > 1:
        raise SubjectError(f"{spec.ref} has {LEAST_SEEDS} nets of each size, and no seeds")
    return Handle(
        f"ladder {COMPILED_ROWS}",
        {
            "scheme": "ladder",
            "programs": [IDLE] * (len(COMPILED_SIZES) // 2) + [ROWS] * (len(COMPILED_SIZES) // 2),
            "sizes": list(COMPILED_SIZES),
            "per-size": LEAST_SEEDS,
        },
    )


def _saved_handle(name: str, spec: SubjectSpec) -> Handle:
    """A directory's nets as one subject; each is known by the hash of its files."""
    if spec.seeds > 1 or spec.options:
        raise SubjectError(f"{spec.ref}: saved nets take neither seeds nor options")
    found = saved_ladder(name)
    sizes = None if found.axis == PARAMETERS else list(found.sizes)
    return Handle(
        f"ladder {found.folder.name}{_along(found.axis)}",
        {
            "scheme": "ladder",
            "saved": [[str(net) for net in rung] for rung in found.rungs],
            "sizes": sizes,
            "per-size": len(found.rungs[0]),
        },
    )


def _along(axis: str) -> str:
    return "" if axis == PARAMETERS else f" by {axis}"


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


def nets(ladder: Handle) -> tuple[tuple[Handle, ...], ...]:
    """A ladder's nets as subjects of their own: rungs, smallest first, and the seeds of each."""
    told = ladder.params
    if "saved" in told:
        return tuple(tuple(_saved(folder) for folder in rung) for rung in told["saved"])
    if "programs" in told:
        return _compiled(told["programs"], told["per-size"])
    seeds = range(told["first"], told["first"] + told["per-size"])
    return tuple(
        tuple(
            Handle(
                f"{recipe.name} seed {seed}", {"scheme": "recipe"}, (training_cell(recipe, seed),)
            )
            for seed in seeds
        )
        for recipe in LADDERS[told["name"]]
    )


def _compiled(programs: Sequence[str], seeds: int) -> tuple[tuple[Handle, ...], ...]:
    """Compiled nets, each behind a rotation of its own."""
    return tuple(
        tuple(
            Handle(
                f"compiled {program} seed {seed}",
                {"scheme": "compiled", "name": program, "seed": seed},
            )
            for seed in range(rung * seeds, (rung + 1) * seeds)
        )
        for rung, program in enumerate(programs)
    )


def _saved(folder: str) -> Handle:
    (net,) = net_handles(SubjectSpec(ref=f"knapsack:{folder}"))
    return net


def is_compiled(ladder: Handle) -> bool:
    """Whether a ladder's nets are written down, so that all that is known of them is a state."""
    return "programs" in ladder.params


def task(ladder: Handle) -> KnapsackTask:
    """What a ladder's nets were trained on; saved ones are asked what the decoder is."""
    return LADDERS[ladder.params["name"]][0].task if "name" in ladder.params else TASK


def no_net(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> NoReturn:
    """A ladder is no net.

    Raises:
        SubjectError: always.
    """
    name = params.get("name") or params.get("planted") or "of saved nets"
    raise SubjectError(f"the ladder {name!r} is many nets, not one that could be loaded")


LADDER = Scheme("ladder", ladder_handles, "pytest_mesa.subjects.ladders:no_net", "ladder")
