"""Is the space of options cut down, layer by layer, and further by stronger players?

``depth``: how much less probability does a net leave on bad options at its last layer than at
its first, and over how many stages between are the cuts spread, each beyond untrained twins of
the same shape? The least of the two decides: narrowing takes that much is cut, and not all at
once. ``skill`` is in `narrowing_skill`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_mesa.experiments import narrowing_parts as parts
from pytest_mesa.experiments import narrowing_skill
from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import measurement_cell, plan_lineup, read_lineup
from pytest_mesa.experiments.narrowing_sharing import shared
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.plants import STRENGTH, with_narrowing
from pytest_mesa.subjects.schemes import handles, judged, reads_text
from pytest_mesa.verdicts.evidence import Evidence, Measurement

ESTIMANDS = {"depth": "narrowing-by-depth", "skill": "narrowing-by-skill"}


class NarrowingStudy:
    """The kind ``narrowing``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Readings of all and of their twins, competence and limit of detection of subjects.

        Raises:
            SubjectError: a subject or control that does not exist or plays none of the games,
                or a rule that is not the question's.
        """
        _check(prediction)
        return shared(_plan(prediction, released))

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """The measurements; without controls made of a model that can't play, which has none."""
        del prediction
        evidence = read_lineup(plan, results)
        return replace(
            evidence,
            must_detect=_measured(evidence.must_detect),
            must_not_detect=_measured(evidence.must_not_detect),
        )


STUDY = NarrowingStudy()


def _plan(prediction: Prediction, released: str | None) -> Plan:
    if prediction.experiment.question == "skill":
        return narrowing_skill.plan(prediction, released)
    chosen = judged(prediction.subjects, released)
    asked = [handle for spec in chosen for handle in handles(spec, released)]
    if any(map(reads_text, asked)):
        return _in_words(prediction, asked)
    return _in_own_terms(prediction, released)


def _measured(controls: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    return tuple(control for control in controls if control.strata)


def _check(prediction: Prediction) -> None:
    rule, question = prediction.verdict, prediction.experiment.question
    if rule.estimand != ESTIMANDS[question]:
        raise SubjectError(
            f"verdict.estimand: the question '{question}' measures '{ESTIMANDS[question]}', "
            f"not '{rule.estimand}'",
            at=("verdict", "estimand"),
        )
    if rule.predicted.above is None:
        raise SubjectError(
            "verdict.predicted: narrowing is claimed to be there, so give 'above' a number",
            at=("verdict", "predicted"),
        )
    if prediction.competence.metric != "legal-rate":
        raise SubjectError(
            "competence.metric: the experiment 'narrowing' measures 'legal-rate'",
            at=("competence", "metric"),
        )


def _in_own_terms(prediction: Prediction, released: str | None) -> Plan:
    """Chess nets on boards and nets that continue games in tokens."""
    return plan_lineup(
        prediction,
        released,
        subject_parts=lambda handle: (
            parts.competence(prediction, handle),
            parts.scores(prediction, handle),
            parts.limit(prediction, handle),
        ),
        control_parts=lambda handle: (
            parts.scores(prediction, handle, prediction.experiment.control),
        ),
        combine="least",
        asked_in=("tokens", "board"),
    )


def _in_words(prediction: Prediction, asked: list[Handle]) -> Plan:
    """A released model that reads text, beside the spec's controls with some made of itself.

    Where it can't play it is glanced at, and those controls are left out.
    """
    kept = tuple(each for each in prediction.subjects if not each.released)
    plain = _in_own_terms(prediction.model_copy(update={"subjects": kept}), None)
    able = {handle.label: parts.competence(prediction, handle) for handle in asked}

    def gathered(handle: Handle, label: str, *first: Cell) -> Cell:
        read = parts.scores(prediction, handle, able=able[label], glanced=bool(first))
        return measurement_cell(handle, (*first, read), "least")

    def made(plant: str | None) -> tuple[Cell, ...]:
        twins = {handle.label: parts.untrained(handle) for handle in asked}
        if plant:
            twins = {label: with_narrowing(h, plant, STRENGTH) for label, h in twins.items()}
        return tuple(gathered(twin, label) for label, twin in twins.items())

    return Plan(
        subjects=tuple(gathered(handle, handle.label, able[handle.label]) for handle in asked),
        must_detect=plain.must_detect + made(None) + made("at-once"),
        must_not_detect=plain.must_not_detect + made("stage-by-stage"),
    )
