"""What an experiment hands to the decision: scores, in the order they were drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Combine = Literal["hull", "least", "greatest"]


@dataclass(frozen=True, slots=True)
class Stratum:
    """Exchangeable bounded scores of one part of a measurement (a state, an axis, a rival).

    ``low`` and ``high`` bound every score.
    """

    name: str
    scores: tuple[float, ...]
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One subject's (or control's) scores on the estimand, and on the task.

    ``combine`` says how strata make one estimate. ``hull``: the interval reaches from the
    least lower to the greatest upper bound, so that a conclusion holds in every stratum.
    ``least`` / ``greatest``: the smallest / largest stratum mean.
    ``rival_scores`` are the same estimand reached by a rival explanation, paired with the
    strata's draws; where a rival reaches what the algorithm reaches, it explains the effect.
    """

    label: str
    strata: tuple[Stratum, ...]
    combine: Combine = "hull"
    competence: tuple[float, ...] = ()
    rivals: tuple[Stratum, ...] = ()
    detection_limit: float | None = None
    weights_sha: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one verdict rests on."""

    subjects: tuple[Measurement, ...]
    must_detect: tuple[Measurement, ...]
    must_not_detect: tuple[Measurement, ...]
    exhibit: dict[str, Any] = field(default_factory=dict)
