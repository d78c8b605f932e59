"""Evidence in, verdict out: the gates in order, then the quantifier."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite

from pytest_mesa.registry.models import Competence, VerdictRule
from pytest_mesa.verdicts.assess import assess, assess_competence
from pytest_mesa.verdicts.bounds import Bounds
from pytest_mesa.verdicts.ebh import partial_conjunction
from pytest_mesa.verdicts.evidence import Evidence, EvidenceError, Interval, Measurement
from pytest_mesa.verdicts.readings import (
    ControlReading,
    Reading,
    Role,
    SubjectReading,
    control_gate,
)
from pytest_mesa.verdicts.reasons import Outcome, Reason
from pytest_mesa.verdicts.verdict import Verdict
from pytest_mesa.verdicts.wording import message


def decide(rule: VerdictRule, competence: Competence, evidence: Evidence) -> Verdict:
    """Decide one prediction.

    With probability at least 1 - alpha no conclusion is false, however often one looked:
    every subject's bounds hold at alpha / K. The quantifier asks that at least k of the K
    subjects lie in the predicted region (``every``: k = K, ``some``: k = 1), so the claim
    is upheld by k subjects there and refuted by K - k + 1 in the refuted region. Controls
    are read at alpha each: they can only withhold a conclusion.

    Raises:
        EvidenceError: evidence from which nothing can be decided.
    """
    controls = tuple(
        ControlReading(role, assess(measurement, rule, rule.alpha), measurement.must_withhold)
        for role, measurements in (
            (Role.MUST_DETECT, evidence.must_detect),
            (Role.MUST_NOT_DETECT, evidence.must_not_detect),
        )
        for measurement in measurements
    )
    total = len(evidence.subjects)
    subjects = tuple(
        _read_subject(measurement, rule, competence, rule.alpha / total)
        for measurement in evidence.subjects
    )
    needed = required(rule, total) if total else 0
    outcome, reason = _conclude(subjects, controls, needed)
    estimate, bounds = _ranked(subjects, rule, needed)
    return Verdict(
        outcome=outcome,
        reason=reason,
        message=message(rule, outcome, reason, subjects, controls, needed),
        rule=rule,
        estimate=estimate,
        bounds=bounds,
        n=min((s.reading.n for s in subjects if s.reading), default=0),
        decided_at=_decided_at(subjects, outcome, needed),
        e_value=_e_value(subjects, outcome, needed),
        subjects=subjects,
        controls=controls,
        detection_limit=_worst_limit(subjects),
        seeds=tuple(m.detail["seed"] for m in evidence.subjects if "seed" in m.detail),
    )


def required(rule: VerdictRule, total: int) -> int:
    """How many of ``total`` subjects must lie in the predicted region to uphold the claim.

    Raises:
        ValueError: a fraction outside (0, 1].
    """
    if rule.quantifier == "every":
        return total
    if rule.quantifier == "some":
        return 1
    fraction = rule.quantifier["fraction"]
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of subjects lies in (0, 1], not {fraction}")
    # 0.28 * 25 is a hair above 7 in floating point.
    return ceil(fraction * total - 1e-9)


def _read_subject(
    measurement: Measurement, rule: VerdictRule, competence: Competence, alpha: float
) -> SubjectReading:
    able = assess_competence(measurement, competence, rule.alpha)
    limit = measurement.detection_limit
    if limit is not None and not isfinite(limit):
        raise EvidenceError(f"{measurement.label}: the limit of detection is {limit}")
    # A net that cannot do the task may leave nothing to measure: that is no fault.
    measured = measurement.strata and all(
        isinstance(stratum, Interval) or stratum.scores for stratum in measurement.strata
    )
    reading = assess(measurement, rule, alpha) if able.ok or measured else None
    return SubjectReading(measurement.label, able, reading, limit)


def _conclude(
    subjects: Sequence[SubjectReading], controls: tuple[ControlReading, ...], needed: int
) -> tuple[Outcome, Reason | None]:
    """The gates in their order; subject-wise ones block only the subjects they concern."""
    if not subjects:
        return Outcome.INCONCLUSIVE, Reason.NO_SUBJECT
    if blocked := control_gate(controls):
        return Outcome.INCONCLUSIVE, blocked
    outcomes = [subject.outcome for subject in subjects]
    if outcomes.count(Outcome.PASS) >= needed:
        return Outcome.PASS, None
    if outcomes.count(Outcome.FAIL) >= len(subjects) - needed + 1:
        return Outcome.FAIL, None
    reasons = {subject.reason for subject in subjects}
    return Outcome.INCONCLUSIVE, next(reason for reason in Reason if reason in reasons)


def _votes(outcome: Outcome, total: int, needed: int) -> int:
    """How many subjects of this outcome the verdict takes."""
    return needed if outcome is Outcome.PASS else total - needed + 1


def _ranked(
    subjects: Sequence[SubjectReading], rule: VerdictRule, needed: int
) -> tuple[float | None, Bounds | None]:
    """The k-th least estimate and ends (greatest, where the prediction says ``above``).

    That is the quantity which the quantifier speaks of: at least k subjects lie below the
    edge exactly when the k-th least does. Where all intervals hold, the k-th least mean
    lies between the k-th least ends.
    """
    readings = [subject.reading for subject in subjects if subject.reading]
    if not readings:
        return None, None
    descending = rule.predicted.above is not None
    rank = min(needed, len(readings)) - 1

    def kth(values: list[float]) -> float:
        return sorted(values, reverse=descending)[rank]

    return kth([reading.estimate for reading in readings]), Bounds(
        kth([reading.bounds.lower for reading in readings]),
        kth([reading.bounds.upper for reading in readings]),
    )


def _decided_at(subjects: Sequence[SubjectReading], outcome: Outcome, needed: int) -> int | None:
    """Scores per subject at which enough subjects were decided."""
    if outcome is Outcome.INCONCLUSIVE:
        return None
    readings: list[Reading] = [s.reading for s in subjects if s.reading and s.outcome is outcome]
    decided = sorted(r.decided_at for r in readings if r.decided_at is not None)
    return decided[_votes(outcome, len(subjects), needed) - 1]


def _e_value(subjects: Sequence[SubjectReading], outcome: Outcome, needed: int) -> float:
    """Evidence for the conclusion that at least so many subjects lie in its region.

    Halved: of the e-values for the two conclusions the data picked one, and
    ``max(a, b) / 2 <= (a + b) / 2``.
    """
    if outcome is Outcome.INCONCLUSIVE:
        return 1.0
    readings = [subject.reading for subject in subjects]
    e_values = [
        0.0 if r is None else r.e_predicted if outcome is Outcome.PASS else r.e_refuted
        for r in readings
    ]
    return partial_conjunction(e_values, _votes(outcome, len(subjects), needed)) / 2


def _worst_limit(subjects: Sequence[SubjectReading]) -> float | None:
    limits = [subject.detection_limit for subject in subjects]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None
