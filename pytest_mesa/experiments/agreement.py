"""Which algorithm explains the subject's answers where the algorithms disagree?

Each rival is a stratum: on instances where it and the exact algorithm differ, a score is
``[answer = exact] - [answer = rival]``. The estimand ``exact-advantage`` is the least mean,
so the exact algorithm must beat every rival to refute a claim of heuristics.

The claim that a subject *has aspects* of an optimiser is an existence claim, so it is a
condition of upholding only: where no probed aspect is conclusively decodable beyond all
baselines, a verdict that would uphold is withheld (``aspect-unseen``). It never refutes,
since the silence of a linear probe does not prove that nothing is there. A gate that only
withholds can't raise the chance of a false verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

from pytest_mesa.experiments import agreement_words as in_words
from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.exhibits import exhibit_cell
from pytest_mesa.experiments.lineup import competence_cell, part_cell, plan_lineup, read_lineup
from pytest_mesa.registry.models import Prediction, VerdictRule
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.schemes import Handle, reads_text, untrained_twin
from pytest_mesa.verdicts.bounds import Bounds
from pytest_mesa.verdicts.evidence import Evidence, Measurement, Stratum
from pytest_mesa.verdicts.reasons import Reason

CELLS = "pytest_mesa.experiments.agreement_cells"
FIT, CHOOSE, MEASURE = 3000, 1000, 1500  # instances a probe is fitted, chosen and measured on


class AgreementStudy:
    """The kind ``agreement``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Answers of all, aspects and exhibits of the subjects.

        Raises:
            SubjectError: a subject, control, solver or aspect that does not exist.
        """
        _check(prediction)
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: _subject_parts(prediction, handle),
            control_parts=lambda handle: (
                in_words.control_parts(prediction, handle)
                if reads_text(handle)
                else (_answers(prediction, handle),)
            ),
            combine="least",
            exhibits=lambda handle: (
                in_words.exhibit(prediction, handle)
                if reads_text(handle)
                else exhibit_cell(prediction, handle, "exact"),
            ),
            asked_in=("tokens", "text"),
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """The strata, and the aspects as a condition of upholding."""
        evidence = read_lineup(plan, results)
        if not prediction.experiment.probes:
            return evidence
        return replace(
            evidence,
            subjects=tuple(_with_aspects(m, prediction.verdict) for m in evidence.subjects),
        )


STUDY = AgreementStudy()


def _check(prediction: Prediction) -> None:
    from pytest_mesa.tasks.knapsack.aspects import ASPECTS
    from pytest_mesa.tasks.knapsack.heuristics import SOLVERS

    experiment = prediction.experiment
    for field, known, given in (
        ("algorithm", SOLVERS, (experiment.algorithm,)),
        ("rivals", SOLVERS, experiment.rivals),
        ("probes", ASPECTS, experiment.probes),
    ):
        for index, name in enumerate(given):
            if name not in known:
                raise SubjectError(
                    f"experiment.{field}: there is no {name!r}; there are {', '.join(known)}",
                    at=("experiment", field, *(() if field == "algorithm" else (index,))),
                )
    if experiment.algorithm != "exact":
        raise SubjectError(
            "experiment.algorithm: the estimand is the advantage of 'exact'",
            at=("experiment", "algorithm"),
        )
    in_words.check(prediction)


def _subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    if reads_text(handle):
        return in_words.subject_parts(prediction, handle)
    return (
        competence_cell(prediction, handle),
        _answers(prediction, handle),
        *_aspects(prediction, handle),
    )


def _task(prediction: Prediction) -> Json:
    return prediction.experiment.task.model_dump(mode="json")


def _answers(prediction: Prediction, handle: Handle) -> Cell:
    rivals = prediction.experiment.rivals
    params = {
        "task": _task(prediction),
        "algorithm": prediction.experiment.algorithm,
        "rivals": list(rivals),
        "count": prediction.verdict.budget // len(rivals),
        "seed": prediction.seed,
    }
    return part_cell("agreement", 1, handle, params, f"{CELLS}:answers", "agreement")


def _aspects(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    """One cell for all aspects, which share their runs; none where none is probed."""
    probes = prediction.experiment.probes
    if not probes:
        return ()
    twin = untrained_twin(handle)
    params = {
        "task": _task(prediction),
        "aspects": list(probes),
        "counts": [FIT, CHOOSE, MEASURE],
        "seed": prediction.seed,
        "alpha": prediction.verdict.alpha,
        "twin": twin.params if twin else None,
    }
    return (part_cell("aspects", 2, handle, params, f"{CELLS}:aspects", "aspects"),)


def _with_aspects(measurement: Measurement, rule: VerdictRule) -> Measurement:
    """Withhold what could only uphold, where no aspect is conclusively decodable."""
    if any(aspect["decodable"] for aspect in measurement.detail["aspects"].values()):
        return measurement
    strata = [part for part in measurement.strata if isinstance(part, Stratum)]
    least = min(fmean(stratum.scores) for stratum in strata)
    if Bounds(least, least).inside(rule.refuted):
        return measurement
    return replace(measurement, withheld=Reason.ASPECT_UNSEEN)
