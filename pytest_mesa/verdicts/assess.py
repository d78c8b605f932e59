"""One measurement against the rule: bounds per stratum, combined, and compared with rivals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

from pytest_mesa.registry.models import Competence, Region, VerdictRule
from pytest_mesa.verdicts.bounds import Bounds, Landing, edge, in_indifference_zone, landing
from pytest_mesa.verdicts.confidence import (
    ConfidenceSequence,
    Direction,
    Look,
    confidence_sequence,
    e_value,
    lower_bound,
)
from pytest_mesa.verdicts.ebh import partial_conjunction
from pytest_mesa.verdicts.evidence import (
    Combine,
    EvidenceError,
    Interval,
    Measurement,
    Stratum,
)
from pytest_mesa.verdicts.readings import CompetenceReading, Reading, StratumReading
from pytest_mesa.verdicts.reasons import Reason
from pytest_mesa.verdicts.rivals import compare, match_rivals


@dataclass(frozen=True, slots=True)
class _Combination:
    """How strata's lower ends, upper ends and means become the measurement's."""

    lower: Callable[[Iterable[float]], float]
    upper: Callable[[Iterable[float]], float]
    mean: Callable[[Iterable[float]], float]


_COMBINATIONS: dict[Combine, _Combination] = {
    "hull": _Combination(lower=min, upper=max, mean=fmean),
    "least": _Combination(lower=min, upper=min, mean=min),
    "greatest": _Combination(lower=max, upper=max, mean=max),
}


@dataclass(frozen=True, slots=True)
class _Step:
    """The combined bounds once ``n`` scores, over all strata, are known."""

    n: int
    bounds: Bounds


def assess(measurement: Measurement, rule: VerdictRule, alpha: float) -> Reading:
    """Read one measurement, at level ``alpha`` for all of its strata together.

    Each of S strata gets alpha / S. By the union bound every stratum's mean then lies within
    its own ends at every look, so the least (greatest) mean lies within the least (greatest)
    ends, and all means, with their average, within the hull.

    Raises:
        EvidenceError: no scores, scores that are not finite or out of range, strata of one
            name, or a rival that does not answer in every stratum.
    """
    _check(measurement)
    share = alpha / len(measurement.strata)
    sequences, strata = _read_strata(measurement, rule, share)
    path = list(_combined_path(sequences, measurement.combine))
    bounds = path[-1].bounds
    contradicted = any(sequence.contradicted_at for sequence in sequences)
    lands = Landing.NEITHER if contradicted else landing(bounds, rule)
    explained_by = _explained_by(strata, lands, _quorum(measurement, rule.refuted))
    if lands is Landing.NEITHER and not contradicted and measurement.combine == "hull":
        explained_by = _accounted_for(strata, rule)
    return Reading(
        label=measurement.label,
        estimate=_COMBINATIONS[measurement.combine].mean(r.estimate for r in strata),
        bounds=bounds,
        n=path[-1].n,
        landing=lands,
        decided_at=next((s.n for s in path if landing(s.bounds, rule) is lands), None)
        if lands is not Landing.NEITHER
        else None,
        strata=strata,
        e_predicted=partial_conjunction(
            [r.e_predicted for r in strata], _quorum(measurement, rule.predicted)
        ),
        e_refuted=partial_conjunction(
            [r.e_refuted for r in strata], _quorum(measurement, rule.refuted)
        ),
        explained_by=explained_by,
        blocked=(Reason.SCORES_DRIFT if contradicted else None)
        or (Reason.RIVAL_EXPLAINS if explained_by else None)
        or measurement.withheld
        or (
            _undecided(strata, bounds, path[-1].n, rule, measurement.budget or rule.budget)
            if lands is Landing.NEITHER
            else None
        ),
    )


def assess_competence(
    measurement: Measurement, competence: Competence, alpha: float
) -> CompetenceReading:
    """Read a subject's task scores: accuracy in [0, 1], bounded below at level ``alpha``.

    The level is not split over subjects. This is a gate that a subject must pass before
    its scores count, and an error here alone can produce no false conclusion about the
    estimand.

    Raises:
        EvidenceError: a task score that is not finite or not in [0, 1].
    """
    scores = measurement.competence
    with _blaming(measurement.label, "competence"):
        lower = lower_bound(scores, alpha)
    return CompetenceReading(
        estimate=fmean(scores) if scores else 0.0,
        lower=lower,
        n=len(scores),
        at_least=competence.at_least,
        unskilled=measurement.unskilled,
    )


def _check(measurement: Measurement) -> None:
    names = [stratum.name for stratum in measurement.strata]
    if not names:
        raise EvidenceError(f"{measurement.label}: no stratum was measured")
    if len(set(names)) < len(names):
        raise EvidenceError(f"{measurement.label}: two strata have one name")
    for stratum in measurement.strata:
        if isinstance(stratum, Stratum) and not stratum.scores:
            raise EvidenceError(f"{measurement.label}: stratum {stratum.name!r} has no scores")


@contextmanager
def _blaming(label: str, part: str) -> Iterator[None]:
    """Say whose scores were at fault."""
    try:
        yield
    except ValueError as error:
        raise EvidenceError(f"{label}, {part}: {error}") from error


def _read_strata(
    measurement: Measurement, rule: VerdictRule, alpha: float
) -> tuple[list[ConfidenceSequence], tuple[StratumReading, ...]]:
    rivals = match_rivals(measurement)
    sequences = []
    readings = []
    for stratum in measurement.strata:
        if isinstance(stratum, Interval):
            if rivals[stratum.name]:
                raise EvidenceError(f"{measurement.label}: an interval has no paired rivals")
            sequences.append(_given(stratum, alpha, measurement.label))
            readings.append(_read_interval(stratum, rule))
            continue
        with _blaming(measurement.label, f"stratum {stratum.name!r}"):
            sequence = confidence_sequence(stratum.scores, alpha, stratum.low, stratum.high)
            e_predicted = _e_inside(stratum, rule.predicted)
            e_refuted = _e_inside(stratum, rule.refuted)
        compared = []
        for rival in rivals[stratum.name]:
            with _blaming(measurement.label, f"rival {rival.name!r}"):
                compared.append(compare(stratum, rival, rule.refuted, alpha))
        sequences.append(sequence)
        readings.append(
            StratumReading(
                name=stratum.name,
                estimate=fmean(stratum.scores),
                bounds=sequence.final,
                n=len(stratum.scores),
                landing=landing(sequence.final, rule),
                e_predicted=e_predicted,
                e_refuted=min([e_refuted, *(rival.e_value for rival in compared)]),
                rivals=tuple(compared),
            )
        )
    return sequences, tuple(readings)


def _given(interval: Interval, alpha: float, label: str) -> ConfidenceSequence:
    """A single look, at the level that the experiment computed its bounds for."""
    if interval.level > alpha * (1 + 1e-9):
        raise EvidenceError(
            f"{label}, stratum {interval.name!r}: its bounds hold at level {interval.level:g}, "
            f"and the rule leaves it {alpha:g}"
        )
    bounds = Bounds(interval.lower, interval.upper)
    look = Look(interval.n, interval.estimate, bounds)
    return ConfidenceSequence(interval.lower, interval.upper, interval.level, (look,))


def _read_interval(interval: Interval, rule: VerdictRule) -> StratumReading:
    """The e-value is that of the test at the interval's level: 1 / level where it rejects.

    Where the quantity lies outside a region, the bounds lie inside it with probability
    ``level`` at most, so its mean is at most 1.
    """
    bounds = Bounds(interval.lower, interval.upper)
    return StratumReading(
        name=interval.name,
        estimate=interval.estimate,
        bounds=bounds,
        n=interval.n,
        landing=landing(bounds, rule),
        e_predicted=1 / interval.level
        if bounds.inside(rule.predicted) and not interval.refutes_only
        else 0.0,
        e_refuted=1 / interval.level if bounds.inside(rule.refuted) else 0.0,
    )


def _e_inside(stratum: Stratum, region: Region) -> float:
    direction: Direction = "below" if region.below is not None else "above"
    return e_value(stratum.scores, edge(region), direction, stratum.low, stratum.high)


def _combined_path(sequences: Sequence[ConfidenceSequence], combine: Combine) -> Iterator[_Step]:
    """The combined bounds look by look; a stratum that has run out keeps its last bounds."""
    ends = _COMBINATIONS[combine]
    for look in range(max(len(sequence.looks) for sequence in sequences)):
        now = [sequence.looks[min(look, len(sequence.looks) - 1)] for sequence in sequences]
        yield _Step(
            n=sum(look.n for look in now),
            bounds=Bounds(
                ends.lower(look.bounds.lower for look in now),
                ends.upper(look.bounds.upper for look in now),
            ),
        )


def _quorum(measurement: Measurement, region: Region) -> int:
    """How many strata must lie in the region for the measurement to lie there: one or all."""
    one_suffices = (
        region.below is not None if measurement.combine == "least" else region.above is not None
    )
    return 1 if measurement.combine != "hull" and one_suffices else len(measurement.strata)


def _explained_by(strata: Sequence[StratumReading], lands: Landing, quorum: int) -> tuple[str, ...]:
    """The rivals left unbeaten where too few strata detect beyond all of theirs."""
    if lands is not Landing.REFUTED:
        return ()
    carriers = [stratum for stratum in strata if stratum.landing is Landing.REFUTED]
    if sum(not stratum.unbeaten for stratum in carriers) >= quorum:
        return ()
    return tuple(name for stratum in carriers for name in stratum.unbeaten)


def _accounted_for(strata: Sequence[StratumReading], rule: VerdictRule) -> tuple[str, ...]:
    """The rivals that account for strata outside the predicted region, if they do for all.

    A rival accounts for a stratum where what goes beyond it is conclusively less than what
    separates the regions: net of that rival, the stratum can't be in the refuted region
    unless the rival alone is past the predicted one.
    """
    gap = abs(edge(rule.refuted) - edge(rule.predicted))
    names: list[str] = []
    for stratum in strata:
        if stratum.landing is Landing.PREDICTED:
            continue
        near = [rival.name for rival in stratum.rivals if not rival.beaten and rival.upper < gap]
        if not near:
            return ()
        names += near
    return tuple(names)


def _undecided(
    strata: Sequence[StratumReading], bounds: Bounds, n: int, rule: VerdictRule, budget: int
) -> Reason:
    """Why the combined bounds lie in no region, most telling first."""
    if {Landing.PREDICTED, Landing.REFUTED} <= {stratum.landing for stratum in strata}:
        return Reason.STRATA_DISAGREE
    if in_indifference_zone(bounds, rule):
        return Reason.INDIFFERENCE_ZONE
    return Reason.BUDGET_SPENT if n >= budget else Reason.INTERVAL_STRADDLES
