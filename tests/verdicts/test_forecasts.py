"""Forecasts of sequences of known course, and the alpha that a whole sequence may spend."""

from __future__ import annotations

from math import isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.verdicts.forecast import (
    LEAST,
    ForecastError,
    Scale,
    forecast,
    next_of,
    spent,
)
from pytest_mesa.verdicts.sequences import (
    JUMP,
    LEAPS_AT,
    PLANTS,
    RELEASES,
    SMOOTH,
    distances,
    first_alarm,
    planted,
)

SIMULATED = 120  # sequences a course; benchmarks/releases.py takes 1,000


def alarms(course: str, count: int = SIMULATED) -> list[int | None]:
    drawn = (planted(course, np.random.default_rng([i, 29])) for i in range(count))
    return [first_alarm([float(v) for v in values], Scale(), 0.05) for values in drawn]


def test_the_alarm_fires_at_the_leap() -> None:
    assert np.mean([at == LEAPS_AT for at in alarms(JUMP)]) >= 0.95


def test_whole_smooth_sequences_raise_an_alarm_no_more_often_than_alpha() -> None:
    """120 sequences at 5 %: more than 11 alarms would come once in a hundred runs."""
    assert sum(at is not None for at in alarms(SMOOTH)) <= 11


def test_a_forecaster_that_does_not_spread_alpha_is_caught_by_the_same_count() -> None:
    """Seven looks at one in five each: the check above can fail."""
    fired = 0
    for i in range(SIMULATED):
        values = [float(v) for v in planted(SMOOTH, np.random.default_rng([i, 29]))]
        fired += any(
            forecast(values[:k], Scale(), 0.2).distance(values[k]) > 1
            for k in range(LEAST, RELEASES)
        )
    assert fired > 11


@given(st.floats(0.001, 0.2))
def test_what_is_spent_never_exceeds_alpha(alpha: float) -> None:
    assert sum(spent(alpha, look) for look in range(1, 2000)) <= alpha
    assert spent(alpha, 1) > spent(alpha, 2)


@given(
    low=st.floats(-5, 5),
    width=st.floats(0.1, 10),
    shares=st.lists(st.floats(0, 1), min_size=LEAST, max_size=14),
    level=st.floats(1e-4, 0.2),
)
def test_intervals_stay_on_the_scale_and_distances_tell_inside_from_outside(
    low: float, width: float, shares: list[float], level: float
) -> None:
    scale = Scale(low, low + width)
    made = forecast([low + width * share for share in shares], scale, level)
    assert low - 1e-9 <= made.lower <= made.centre <= made.upper <= low + width + 1e-9
    for value in np.linspace(low, low + width, 9):
        inside = made.lower - 1e-9 <= value <= made.upper + 1e-9
        assert inside or made.distance(float(value)) > 1
        if made.distance(float(value)) <= 1:
            assert inside


@given(st.floats(0, 1))
def test_the_logit_line_leads_back(share: float) -> None:
    scale = Scale(-1, 1)
    assert isclose(scale.value(scale.line(2 * share - 1)), 2 * share - 1, abs_tol=1e-9)


def test_a_smaller_level_reaches_farther() -> None:
    values = [0.1, 0.13, 0.11, 0.15, 0.14, 0.16]
    near, far = forecast(values, Scale(), 0.1), forecast(values, Scale(), 0.01)
    assert far.lower <= near.lower and near.upper < far.upper
    assert next_of(values, Scale(), 0.05).level == spent(0.05, 2)


def test_too_few_or_impossible_values_are_refused() -> None:
    with pytest.raises(ForecastError, match="takes 5 releases; there are 4"):
        forecast([0.1] * 4, Scale(), 0.05)
    with pytest.raises(ForecastError, match="does not lie between 0 and 1"):
        forecast([0.1, 0.2, 1.5, 0.2, 0.1], Scale(), 0.05)


def test_every_course_has_its_distances() -> None:
    for course in PLANTS:
        values = [float(v) for v in planted(course, np.random.default_rng(1))]
        assert len(distances(values, Scale(), 0.05)) == RELEASES - LEAST
