"""Do stronger players prune more and settle sooner? A ladder of skill, rung against rung.

A ladder is one training run: the nets that its recipe keeps on the way, and the finished one.
Each pair of rungs is compared on the same positions, so what is shown is order, without a scale.
"""

from __future__ import annotations

from pytest_mesa.experiments import narrowing_parts as parts
from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import plan_lineup
from pytest_mesa.registry.kinds_narrowing import Narrowing
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.games_recipes import FAMILY
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.plants import GAIN, LADDERS, unplanted, with_narrowing

CELLS = "pytest_mesa.experiments.narrowing_skill_cells"
FEWEST = 3  # rungs: with two, one comparison decides all


def plan(prediction: Prediction, released: str | None) -> Plan:
    """Readings of every rung of every ladder.

    Raises:
        UnsuitedError: a released model, which is no ladder.
        SubjectError: a subject or control that is none.
    """
    if released and any(each.released for each in prediction.subjects):
        raise UnsuitedError(
            f"{released} is one model, and the question 'skill' compares the rungs of a ladder: "
            "train a recipe that keeps nets on the way"
        )
    spec: Narrowing = prediction.experiment
    return plan_lineup(
        prediction,
        released,
        subject_parts=lambda handle: (
            parts.competence(prediction, handle),
            _scores(prediction, handle, prediction.verdict.budget),
            _limit(prediction, handle),
        ),
        control_parts=lambda handle: (_scores(prediction, handle, spec.control),),
        combine="hull",
        asked_in=("tokens",),
    )


def rungs(handle: Handle) -> list[Handle]:
    """The nets of a ladder, weakest first.

    Of an untrained recipe they are so many untrained nets; with a plant, one such net in which
    as much more is ruled out from rung to rung, or as much at each.

    Raises:
        SubjectError: a net whose training kept none on the way.
    """
    bare, plant = unplanted(handle)
    recipe = bare.params.get("untrained") or next((dict(c.params) for c in bare.inputs), {})
    kept = recipe.get("rungs", ()) if recipe.get("family") == FAMILY else ()
    count = len(kept) + 1
    if count < FEWEST or "rung" in bare.params:
        raise SubjectError(f"{handle.label} is no ladder: its training kept no nets on the way")
    if plant is not None:
        return _planted(bare, dict(plant), count)
    if "untrained" in bare.params:
        return [parts.untrained(bare, seed) for seed in range(count)]
    if recipe["seed"] != recipe["ladder_seed"]:
        raise SubjectError(
            f"{handle.label} is no ladder: nets on the way are kept of seed "
            f"{recipe['ladder_seed']} alone"
        )
    steps = [
        Handle(f"{bare.label}, step {step}", {**bare.params, "rung": step}, bare.inputs)
        for step in kept
    ]
    return [*steps, bare]


def _planted(bare: Handle, plant: dict[str, object], count: int) -> list[Handle]:
    name, most = plant["name"], float(str(plant["strength"]))
    if name not in LADDERS:
        raise SubjectError(
            f"{name!r} is planted in single nets; in ladders there are {', '.join(LADDERS)}"
        )
    shares = [(rung + 1) / count if name == "growing" else 1.0 for rung in range(count)]
    return [
        with_narrowing(bare, "stage-by-stage", most * share, rung, GAIN)
        for rung, share in enumerate(shares)
    ]


def _scores(prediction: Prediction, handle: Handle, count: int) -> Cell:
    """All rungs, compared."""
    spec: Narrowing = prediction.experiment
    return Cell(
        kind="narrowing-by-skill",
        version=1,
        params={"judged": list(spec.judged)},
        impl=f"{CELLS}:scores",
        inputs=tuple(parts.reading(prediction, rung, count) for rung in rungs(handle)),
        label=f"rungs compared · {handle.label}",
    )


def _limit(prediction: Prediction, handle: Handle) -> Cell:
    """Ladders of an untrained net in which more is ruled out from rung to rung."""
    net, control = parts.untrained(handle), prediction.experiment.control
    return parts.limit_of(
        prediction,
        handle,
        lambda strength: _scores(prediction, with_narrowing(net, "growing", strength), control),
    )
