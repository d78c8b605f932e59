"""What an experiment hands to the decision: scores, in the order they were drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean
from typing import Any, Literal

from pytest_mesa.verdicts.reasons import Reason

Combine = Literal["hull", "least", "greatest"]


class EvidenceError(ValueError):
    """Evidence from which nothing can be decided: scores missing, not finite or out of range.

    A run that raises it is an error, never a verdict.
    """


@dataclass(frozen=True, slots=True)
class Stratum:
    """Exchangeable bounded scores of one part of a measurement (a state, an axis, a rival).

    ``low`` and ``high`` bound every score.
    """

    name: str
    scores: tuple[float, ...]
    low: float = 0.0
    high: float = 1.0

    @property
    def estimate(self) -> float:
        """The mean of the scores."""
        return fmean(self.scores)


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity whose bounds the experiment computed itself, from all of its data at once.

    For what is no mean of scores: a transition's width, a rating. ``level`` is the chance, at
    most, that the quantity lies outside the bounds; it must not exceed what the rule leaves
    for this stratum. ``n`` counts the observations behind it. ``refutes_only`` says that the
    level bounds the chance of a false refutation alone, so that bounds in the predicted region
    are no evidence that could be counted.

    Raises:
        EvidenceError: bounds in the wrong order or not finite, or a level outside (0, 1).
    """

    name: str
    estimate: float
    lower: float
    upper: float
    level: float
    n: int
    refutes_only: bool = False

    def __post_init__(self) -> None:
        if not (isfinite(self.lower) and isfinite(self.upper) and isfinite(self.estimate)):
            raise EvidenceError(f"{self.name}: an estimate or bound is not finite")
        if not self.lower <= self.estimate <= self.upper:
            raise EvidenceError(f"{self.name}: the estimate does not lie within its bounds")
        if not 0 < self.level < 1:
            raise EvidenceError(f"{self.name}: a level lies between 0 and 1, not {self.level}")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One subject's (or control's) scores on the estimand, and on the task.

    ``combine`` says how strata make one estimate. ``hull``: the interval reaches from the
    least lower to the greatest upper bound, so that a conclusion holds in every stratum.
    ``least`` / ``greatest``: the smallest / largest stratum mean.
    ``rivals`` are the same estimand reached by rival explanations, each named
    ``<rival>/<stratum>`` and drawn on that stratum's draws, in the same order; where a rival
    reaches what the algorithm reaches, it explains the effect. Every rival answers in every
    stratum. ``withheld`` is set where the experiment itself found that it cannot answer.
    ``must_withhold`` is of a control whose known truth is that the experiment must withhold a
    conclusion, for this reason.
    ``budget`` is what the spec registers for this kind of subject, where it is not the rule's.
    ``unskilled`` is what the best constant answer scores at the task, where that is known.
    """

    label: str
    strata: tuple[Stratum | Interval, ...]
    combine: Combine = "hull"
    competence: tuple[float, ...] = ()
    unskilled: float | None = None
    budget: int | None = None
    rivals: tuple[Stratum, ...] = ()
    detection_limit: float | None = None
    withheld: Reason | None = None
    must_withhold: Reason | None = None
    weights_sha: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one verdict rests on. ``remark`` is added to what the verdict says."""

    subjects: tuple[Measurement, ...]
    must_detect: tuple[Measurement, ...]
    must_not_detect: tuple[Measurement, ...]
    exhibit: dict[str, Any] = field(default_factory=dict)
    remark: str = ""
