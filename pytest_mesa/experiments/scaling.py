"""Does a measure grow along a ladder of sizes without a jump?

Each measure is a stratum. The estimand ``sharpest-window`` is the greatest share of a measure's
whole change, from the smallest size to the largest, that falls within one window of sizes;
its bounds are over training seeds, and allow for all that may happen between two rungs. Four
things can withhold a conclusion: seeds of one size that part, where a mean of nets that each
jump would look smooth; a measure that hardly changes at all, whose shares mean nothing; rungs
so far apart that a jump and growth look alike on them; and a smooth curve that predicts sizes
it has not seen as well as a step does.

With ``beside``, the estimand is ``sharper-by``: how much more of a measure's change falls
within the window than of the other's, on the same nets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from pytest_mesa.experiments import scaling_models
from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import part_cell, plan_lineup, read_lineup
from pytest_mesa.experiments.scaling_state import CELLS as STATE_CELLS
from pytest_mesa.experiments.scaling_state import state_cells
from pytest_mesa.registry.kinds_scaling import STATE
from pytest_mesa.registry.models import Prediction, VerdictRule
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects import knapsack_nets, ladders, model_ladders
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.recipes import LADDERS
from pytest_mesa.subjects.schemes import untrained_twin
from pytest_mesa.verdicts.bounds import Bounds, Landing, edge, in_indifference_zone, landing
from pytest_mesa.verdicts.evidence import Evidence, Interval, Measurement
from pytest_mesa.verdicts.reasons import Reason
from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.names import BIMODAL
from pytest_mesa.verdicts.scaling.paired import sharper_by
from pytest_mesa.verdicts.scaling.reading import GrowthReading, read_growth, widest_seen
from pytest_mesa.verdicts.scaling.window import SLACK

CELLS = "pytest_mesa.experiments.scaling_cells"
BESIDE, ALONE = "sharper-by", "sharpest-window"


class ScalingStudy:
    """The kind ``scaling``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """One cell a net, gathered by ladder; planted ladders take one cell each.

        Raises:
            SubjectError: a subject or control that is no ladder, or another estimand.
        """
        _check(prediction, released)

        def parts(handle: Handle) -> tuple[Cell, ...]:
            return (_ladder(prediction, handle),)

        return plan_lineup(prediction, released, parts, parts, combine="hull", asked_in=("ladder",))

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Bounds of each measure's sharpness, and what may withhold a conclusion."""
        evidence = read_lineup(plan, results)
        alpha = prediction.verdict.alpha

        def read(measurements: tuple[Measurement, ...], level: float) -> tuple[Measurement, ...]:
            return tuple(_judged(prediction, each, level) for each in measurements)

        return Evidence(
            read(evidence.subjects, alpha / max(len(evidence.subjects), 1)),
            read(evidence.must_detect, alpha),
            read(evidence.must_not_detect, alpha),
        )


STUDY = ScalingStudy()


def _check(prediction: Prediction, released: str | None) -> None:
    estimand = BESIDE if prediction.experiment.beside else ALONE
    if prediction.verdict.estimand != estimand:
        beside = "with" if prediction.experiment.beside else "without"
        raise SubjectError(
            f"verdict.estimand: {beside} 'beside' this experiment measures '{estimand}', "
            f"not '{prediction.verdict.estimand}'",
            at=("verdict", "estimand"),
        )
    if (prediction.verdict.predicted.above is not None) != bool(prediction.experiment.beside):
        side = "above" if prediction.experiment.beside else "below"
        raise SubjectError(
            f"verdict.predicted: a claim on '{estimand}' predicts '{side}' a number",
            at=("verdict", "predicted"),
        )
    if released is not None and not released.startswith("ladder:"):
        raise UnsuitedError(
            f"the experiment 'scaling' follows nets of many sizes, and {released} is one model; "
            f"{model_ladders.TAKES}: name --mesa-model once for each, or name a ladder, "
            f"{', '.join(f'ladder:{name}' for name in LADDERS)}, or ladder:DIR of a directory "
            "with one saved net a folder"
        )


def _ladder(prediction: Prediction, handle: Handle) -> Cell:
    experiment = prediction.experiment
    if "planted" in handle.params:
        params = {
            "planted": handle.params["planted"],
            "measures": list(experiment.followed),
            "sharp": experiment.measures[0],
            "seed": [prediction.seed, handle.params["seed"]],
        }
        impl = f"{CELLS}:planted"
        return Cell("planted-ladder", 1, params, impl, label=f"plant · {handle.label}")
    if model_ladders.is_of_models(handle):
        return _model_ladder(prediction, handle)
    rungs = ladders.nets(handle)
    nets = [net for rung in rungs for net in rung]
    states = state_cells(prediction, handle, nets)
    if ladders.is_compiled(handle):
        if experiment.followed != (STATE,):
            raise SubjectError(
                f"{handle.label} is of nets that are known by '{STATE}' alone: follow nothing "
                "else, or leave that ladder out"
            )
        measured: tuple[Cell, ...] = ()
    else:
        measured = tuple(_net(prediction, handle, net) for net in nets)
    sizes = handle.params.get("sizes")
    return Cell(
        kind="ladder",
        version=2,
        params={"seeds": len(rungs[0])} | ({"sizes": sizes} if sizes else {}),
        impl=f"{STATE_CELLS if states else CELLS}:{'gather' if measured else 'gather_states'}",
        inputs=(*measured, *states),
        label=f"gather · {handle.label}",
    )


def _model_ladder(prediction: Prediction, handle: Handle) -> Cell:
    """Released models have no known sizes yet, so whoever gathers them orders them."""
    if model_ladders.reads_text(handle):
        return scaling_models.model_ladder(prediction, handle)
    nets = list(model_ladders.models(handle))
    measured = [_net(prediction, handle, net) for net in nets]
    states = state_cells(prediction, handle, nets)
    parts = list(zip(measured, states, strict=True)) if states else [(one,) for one in measured]
    return scaling_models.gathering(prediction, handle, parts)


def _net(prediction: Prediction, ladder: Handle, net: Handle) -> Cell:
    twin = untrained_twin(net) or knapsack_nets.untrained_twin(net)
    params = {
        "twin": twin.params,
        "task": ladders.task(ladder).model_dump(mode="json"),
        "paper": prediction.experiment.paper,
        "shown": prediction.competence.budget // ladder.params["per-size"],
        "seed": prediction.seed,
        "draw": scaling_models.own_draw(net),
    }
    return part_cell("ladder-net", 2, net, params, f"{CELLS}:net", "ladder")


def _judged(prediction: Prediction, measurement: Measurement, level: float) -> Measurement:
    """A ladder's table as evidence: an interval a measure, and what withholds a conclusion."""
    experiment, rule = prediction.experiment, prediction.verdict
    table = measurement.detail["ladder"]

    def ladder(name: str) -> Ladder:
        return Ladder(np.array(table["decades"]), np.array(table["measures"][name]))

    share = level / len(experiment.measures)
    followed = experiment.followed
    growth = {name: read_growth(ladder(name), experiment.window, share) for name in followed}
    strata = []
    for name in experiment.measures:
        if experiment.beside:
            beside = ladder(experiment.beside)
            bounds = sharper_by(ladder(name), beside, experiment.window, share)
        else:
            window = growth[name].window
            bounds = window.share, window.lower, window.upper
        strata.append(Interval(name, *bounds, level=share, n=ladder(name).scores.size))
    if experiment.beside:
        # Seeds that break through one by one are no smooth measure to be sharper than.
        parted = growth[experiment.beside].parted
        withheld = Reason.BREAKTHROUGHS if parted else _ungrown(growth.values())
        if ladder(experiment.beside).spacing > experiment.window * (1 + SLACK):
            # What happens between rungs that are further apart is nobody's share.
            withheld = withheld or Reason.LADDER_TOO_COARSE
        limit = None
    else:
        withheld = _withheld(list(growth.values()), rule)
        limit = _limit([ladder(name) for name in followed], experiment.window, share, rule)
    return replace(
        measurement,
        strata=tuple(strata),
        withheld=withheld,
        must_withhold=Reason.BREAKTHROUGHS if BIMODAL in measurement.label else None,
        detection_limit=limit,
        detail=measurement.detail | {"growth": {n: g.to_json() for n, g in growth.items()}},
    )


def _withheld(readings: list[GrowthReading], rule: VerdictRule) -> Reason | None:
    """Why a ladder's growth must not be judged by its means, or cannot be at its spacing."""
    if any(growth.parted for growth in readings):
        return Reason.BREAKTHROUGHS
    if ungrown := _ungrown(readings):
        return ungrown
    for growth in readings:
        window = growth.window
        if Bounds(window.lower, window.upper).inside(rule.refuted):
            if not growth.held_out.step_wins:
                return Reason.LADDER_TOO_COARSE
        elif window.spaced and _is_open(Bounds(*sorted((window.shown, window.hidden))), rule):
            return Reason.LADDER_TOO_COARSE
    return None


def _ungrown(readings: Iterable[GrowthReading]) -> Reason | None:
    """Why shares of a measure's change mean nothing, however many seeds there are."""
    return Reason.NO_GROWTH if any(growth.change.none for growth in readings) else None


def _is_open(without_noise: Bounds, rule: VerdictRule) -> bool:
    """Whether more seeds could not decide, since what rungs leave open crosses an edge."""
    return landing(without_noise, rule) is Landing.NEITHER and not in_indifference_zone(
        without_noise, rule
    )


def _limit(followed: list[Ladder], window: float, share: float, rule: VerdictRule) -> float | None:
    """The width of transition that every measure would have shown as a jump, in decades."""
    widths = [widest_seen(ladder, window, share, edge(rule.refuted)) for ladder in followed]
    known = [width for width in widths if width is not None]
    return min(known) if len(known) == len(widths) else None
