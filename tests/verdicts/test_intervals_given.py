"""Bounds that an experiment brings itself: taken as they are, at their own level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence_builders import COMPETENCE, evidence, measurement, rule

from pytest_mesa.verdicts.assess import assess
from pytest_mesa.verdicts.bounds import Landing
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import EvidenceError, Interval, Stratum
from pytest_mesa.verdicts.reasons import Outcome, Reason


def given(lower: float, upper: float, level: float = 0.05, name: str = "width") -> Interval:
    return Interval(name, (lower + upper) / 2, lower, upper, level, 40)


@pytest.mark.parametrize(
    ("ends", "landing"),
    [
        ((0.1, 0.2), Landing.PREDICTED),
        ((0.6, 0.9), Landing.REFUTED),
        ((0.2, 0.6), Landing.NEITHER),
        ((0.1, 0.25), Landing.NEITHER),  # the edge itself is outside
    ],
)
def test_bounds_decide_and_the_e_value_is_that_of_their_level(
    ends: tuple[float, float], landing: Landing
) -> None:
    reading = assess(replace(measurement(), strata=(given(*ends),)), rule(), 0.05)
    assert reading.landing is landing
    assert (reading.bounds.lower, reading.bounds.upper) == ends
    assert reading.n == 40
    assert reading.e_predicted == (20.0 if landing is Landing.PREDICTED else 0.0)
    assert reading.e_refuted == (20.0 if landing is Landing.REFUTED else 0.0)


def test_intervals_and_scores_stand_side_by_side() -> None:
    scored = measurement(means=0.05, n=1000)
    both = replace(scored, strata=(*scored.strata, given(0.6, 0.9, 0.025)))
    assert assess(both, rule(), 0.05).blocked is Reason.STRATA_DISAGREE
    greatest = assess(replace(both, combine="greatest"), rule(), 0.05)
    assert greatest.landing is Landing.REFUTED
    assert (greatest.bounds.lower, greatest.bounds.upper) == (0.6, 0.9)


def test_a_level_beyond_what_the_rule_leaves_is_refused() -> None:
    """Two subjects share alpha, so bounds at all of it would break the promise."""
    one = replace(measurement(), strata=(given(0.1, 0.2, 0.05),))
    assert decide(rule(), COMPETENCE, evidence(one)).outcome is Outcome.PASS
    with pytest.raises(EvidenceError, match=r"leaves it 0\.025"):
        decide(rule(), COMPETENCE, evidence(one, replace(one, label="seed 1")))


def test_an_interval_takes_no_paired_rivals() -> None:
    data = replace(
        measurement(), strata=(given(0.6, 0.9),), rivals=(Stratum("r/width", (0.1, 0.2)),)
    )
    with pytest.raises(EvidenceError, match="paired"):
        assess(data, rule(), 0.05)


@pytest.mark.parametrize(
    ("lower", "estimate", "upper", "level"),
    [(0.2, 0.1, 0.3, 0.05), (0.1, 0.2, 0.3, 0.0), (0.1, float("nan"), 0.3, 0.05), (0, 1, 9, 1.0)],
)
def test_no_interval(lower: float, estimate: float, upper: float, level: float) -> None:
    with pytest.raises(EvidenceError):
        Interval("width", estimate, lower, upper, level, 10)


def test_the_e_value_of_a_true_null_has_mean_at_most_one() -> None:
    """Normal intervals of a mean that sits on the edge: they land beyond it too rarely to count."""
    rng = np.random.default_rng(5)
    centres = 0.5 + 0.1 * rng.standard_normal(20_000)
    half = 0.1 * 1.959964
    data = measurement()
    values = [
        assess(replace(data, strata=(given(c - half, c + half),)), rule(), 0.05).e_refuted
        for c in centres[:4000]
    ]
    assert np.mean(values) < 1.0
