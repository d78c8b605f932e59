"""Does a rival explanation reach what the algorithm reaches?

A score in the refuted region shows an effect, not its cause. The effect is the algorithm's
only where its scores go beyond every rival's by a conclusive margin, stratum by stratum: a
lead in one stratum says nothing about another.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mesa.registry.models import Region
from pytest_mesa.verdicts.confidence import e_value, lower_bound, rescale
from pytest_mesa.verdicts.evidence import EvidenceError, Measurement, Stratum
from pytest_mesa.verdicts.readings import RivalReading

_HALVINGS = 40


def match_rivals(measurement: Measurement) -> Mapping[str, tuple[Stratum, ...]]:
    """The rivals' scores by the stratum that they answer in.

    A rival stratum is named ``<rival>/<stratum>``; either part may hold slashes, so the
    longest stratum name that fits decides.

    Raises:
        EvidenceError: a name that fits no stratum, comes twice, or is missing in a stratum.
    """
    names = {stratum.name for stratum in measurement.strata}
    table: dict[str, dict[str, Stratum]] = {name: {} for name in names}
    for scores in measurement.rivals:
        fits = [name for name in names if scores.name.endswith(f"/{name}")]
        if not fits:
            raise EvidenceError(
                f"{measurement.label}: rival {scores.name!r} names no stratum: expected "
                f"<rival>/<stratum> with one of {', '.join(sorted(names))}"
            )
        stratum = max(fits, key=len)
        rival = scores.name.removesuffix(f"/{stratum}")
        if rival in table[stratum]:
            raise EvidenceError(f"{measurement.label}: rival {scores.name!r} comes twice")
        table[stratum][rival] = scores
    everyone = {rival for answers in table.values() for rival in answers}
    for stratum, answers in table.items():
        if missing := sorted(everyone - answers.keys()):
            raise EvidenceError(
                f"{measurement.label}: rival {missing[0]!r} has no scores in stratum {stratum!r}; "
                "every rival answers in every stratum"
            )
    return {name: tuple(answers.values()) for name, answers in table.items()}


def compare(stratum: Stratum, rival: Stratum, refuted: Region, alpha: float) -> RivalReading:
    """How far the stratum goes beyond the rival, in the direction of ``refuted``.

    Scores of equal length are taken as paired draws and their differences bounded; else the
    two means are bounded apart, at alpha / 2 each. The null that a rival reaches as far is
    one of several that a detection must reject, all of them, so alpha is not split over
    rivals (an intersection-union test).

    Raises:
        ValueError: scores missing, not finite or out of range.
    """
    if not rival.scores:
        raise ValueError("no scores")
    rescale(rival.scores, rival.low, rival.high)
    if refuted.below is not None:
        stratum, rival = _mirror(stratum), _mirror(rival)
    mean = sum(stratum.scores) / len(stratum.scores)
    rival_mean = sum(rival.scores) / len(rival.scores)
    paired = len(stratum.scores) == len(rival.scores)
    if paired:
        low, high = stratum.low - rival.high, stratum.high - rival.low
        margins = [ours - theirs for ours, theirs in zip(stratum.scores, rival.scores, strict=True)]
        lower = lower_bound(margins, alpha, low, high)
        upper = -lower_bound([-margin for margin in margins], alpha, -high, -low)
        e = e_value(margins, 0.0, "above", low, high)
    else:
        mirrored = _mirror(rival)
        lower = lower_bound(stratum.scores, alpha / 2, stratum.low, stratum.high) + lower_bound(
            mirrored.scores, alpha / 2, mirrored.low, mirrored.high
        )
        upper = -(
            lower_bound(_mirror(stratum).scores, alpha / 2, -stratum.high, -stratum.low)
            + lower_bound(rival.scores, alpha / 2, rival.low, rival.high)
        )
        e = _unpaired_e_value(stratum, rival)
    return RivalReading(
        name=rival.name,
        estimate=rival_mean if refuted.below is None else -rival_mean,
        margin=mean - rival_mean,
        lower=lower,
        upper=upper,
        paired=paired,
        e_value=e,
    )


def _mirror(stratum: Stratum) -> Stratum:
    return Stratum(
        stratum.name, tuple(-score for score in stratum.scores), -stratum.high, -stratum.low
    )


def _unpaired_e_value(stratum: Stratum, rival: Stratum) -> float:
    """Against ``mean(stratum) <= mean(rival)``, without a word on their dependence.

    Under the null some c has mean(stratum) <= c <= mean(rival), so that both
    E(stratum above c) and E(rival below c) are e-values, and so is their average. The first
    falls in c and the second rises: half of the larger is, for any c, at least half of either
    side of their crossing, whichever is less.
    """
    low, high = min(stratum.low, rival.low), max(stratum.high, rival.high)

    def sides(c: float) -> tuple[float, float]:
        return (
            e_value(stratum.scores, c, "above", stratum.low, stratum.high),
            e_value(rival.scores, c, "below", rival.low, rival.high),
        )

    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        falling, rising = sides(middle)
        low, high = (middle, high) if falling > rising else (low, middle)
    # For c <= low the falling side is at least its value at high >= low; for c >= high the
    # rising side is at least its value at high; in between both hold with these two.
    return min(sides(high)[0], sides(low)[1]) / 2
