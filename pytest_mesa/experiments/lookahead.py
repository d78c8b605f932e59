"""Do squares of later moves drive a chess player's choice, beyond squares that are like them?

Two questions. ``aspects``: is there any effect of the third ply's square? The greatest stratum
decides, and refuted means that no distance to mate shows one. ``search``: do third and
fifth ply both matter, does the fifth come at later layers, and by the same operation? The least
of the four decides, so refuted means all of them. Source: Jenner et al. 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import plan_lineup, read_lineup
from pytest_mesa.experiments.lookahead_plan import control_parts, subject_parts
from pytest_mesa.experiments.lookahead_told import check_words
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.verdicts.evidence import Evidence, Measurement
from pytest_mesa.verdicts.reasons import Reason


class LookAheadStudy:
    """The kind ``look-ahead``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Effects of all, competence and limit of detection of the subjects.

        Raises:
            SubjectError: a subject or control that does not exist or reads no boards, or an
                estimand that is not the question's.
        """
        _check(prediction)
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: subject_parts(prediction, handle),
            control_parts=lambda handle: control_parts(prediction, handle),
            combine="greatest" if prediction.experiment.question == "aspects" else "least",
            asked_in=("board",) if prediction.experiment.words is None else ("text", "listing"),
            # Chess nets that read listings are controls in words, whatever the subjects are.
            own_controls=False,
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Measurements, withheld where one kind of position contradicts a refutation."""
        evidence = read_lineup(plan, results)
        if prediction.experiment.question == "search":
            return evidence
        edge = prediction.verdict.predicted.above or 0.0  # `_check` has seen that there is one
        subjects = (_beyond_static(_at_every_distance(m, edge), edge) for m in evidence.subjects)
        return replace(evidence, subjects=tuple(subjects))


def _beyond_static(measurement: Measurement, edge: float) -> Measurement:
    """Upholding takes that static features alone do not rank the squares as the effects do."""
    rival = measurement.detail.get("static_rival", {})
    beaten = "bounds" in rival and rival["bounds"][0] > 0
    upholds = any(stratum.estimate > edge for stratum in measurement.strata)
    if upholds and not beaten:
        return replace(measurement, withheld=Reason.BASELINE_EXPLAINS)
    return measurement


def _at_every_distance(measurement: Measurement, edge: float) -> Measurement:
    """Refuting takes that no distance to mate has an effect, and not merely the average."""
    kinds = measurement.detail["look_ahead"]["kinds"].values()
    shown = any(kind["bounds"][0] > edge for kind in kinds)
    average = all(stratum.estimate < edge for stratum in measurement.strata)
    return (
        replace(measurement, withheld=Reason.STRATA_DISAGREE) if shown and average else measurement
    )


STUDY = LookAheadStudy()
ESTIMANDS = {"aspects": "future-square-superiority", "search": "search-likeness"}


def _check(prediction: Prediction) -> None:
    question, estimand = prediction.experiment.question, prediction.verdict.estimand
    if estimand != ESTIMANDS[question]:
        raise SubjectError(
            f"verdict.estimand: the question '{question}' measures '{ESTIMANDS[question]}', "
            f"not '{estimand}'",
            at=("verdict", "estimand"),
        )
    rule = prediction.verdict
    if (rule.predicted.above is not None) != (question == "aspects"):
        side = "above" if question == "aspects" else "below"
        raise SubjectError(
            f"verdict.predicted: the question '{question}' predicts '{side}' a number",
            at=("verdict", "predicted"),
        )
    check_words(prediction)
