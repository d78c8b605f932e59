"""The whole change along a ladder: its bounds hold, and next to nothing is told from noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.verdicts.scaling.change import TRIFLE, Change, whole_change
from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.planted import DECADES
from pytest_mesa.verdicts.scaling.reading import read_growth

SIMULATED = 400


def ladder(end: float, noise: float, seed: int, seeds: int = 5) -> Ladder:
    """Growth that is even from 0 to ``end``."""
    rng = np.random.default_rng([seed, 29])
    means = np.linspace(0, end, len(DECADES))[:, None]
    return Ladder(DECADES, means + noise * rng.standard_normal((len(DECADES), seeds)))


@pytest.mark.parametrize("end", [0.0, 0.04, -0.5, 1.0])
def test_the_bounds_hold_the_change_as_often_as_they_say(end: float) -> None:
    found = [whole_change(ladder(end, 0.05, i), 0.1) for i in range(SIMULATED)]
    held = np.mean([change.lower <= end <= change.upper for change in found])
    # Of 400 ladders at 0.9, a share below 0.86 comes about in one of 250 tries. The larger of
    # two spreads is taken, so that they may hold more often than they have to.
    assert held >= 0.86
    widths = [change.upper - change.lower for change in found]
    assert np.mean(widths) < 0.15, "bounds that hold by saying nothing"


@pytest.mark.parametrize(
    ("end", "noise", "expected"),
    [
        (0.0, 0.005, True),  # nothing, and well known
        (-0.02, 0.002, True),  # conclusively not nothing, and next to it
        (0.02, 0.002, True),
        (0.0, 0.1, False),  # too noisy to say: more seeds would
        (0.2, 0.005, False),
        (-0.2, 0.005, True),  # a fall is no growth
        (-0.2, 0.3, False),
    ],
)
def test_a_trifle_is_told_from_noise_and_from_growth(
    end: float, noise: float, expected: bool
) -> None:
    told = [whole_change(ladder(end, noise, i), 0.05).none for i in range(40)]
    assert np.mean([each is expected for each in told]) >= 0.95


def test_a_change_of_a_trifle_or_more_is_seldom_called_one() -> None:
    """The error that the level is of: what has grown by so much is said to have not."""
    called = [whole_change(ladder(TRIFLE, 0.02, i, 12), 0.1).none for i in range(SIMULATED)]
    assert np.mean(called) <= 0.05 + 0.03


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.1, 10))
def test_wider_bounds_are_never_more_sure(estimate: float, half: float, factor: float) -> None:
    narrow, wide = (
        Change(estimate, estimate - reach, estimate + reach, estimate + reach)
        for reach in (half, half * (1 + factor))
    )
    assert narrow.none or not wide.none


def test_what_rises_between_the_ends_has_grown() -> None:
    """Nets that arrive halfway and fall back are no ladder along which nothing grew."""
    rng = np.random.default_rng(4)
    arch = np.array([0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1])[:, None]
    change = whole_change(Ladder(DECADES, arch + 0.005 * rng.standard_normal((8, 5))), 0.05)
    assert abs(change.estimate) < TRIFLE < change.highest and not change.none


def test_a_reading_holds_the_change_and_parts_no_seeds_over_a_trifle() -> None:
    told = read_growth(ladder(0.8, 0.02, 0), 0.29, 0.05)
    change = told.to_json()["change"]
    assert change["bounds"][0] < change["estimate"] < change["bounds"][1]
    assert change["estimate"] == pytest.approx(0.8, abs=0.05)
    assert change["estimate"] < change["highest_rise"] < 0.95
    rng = np.random.default_rng(3)
    jumps = (rng.random((8, 12)) < np.linspace(0, 1, 8)[:, None]).astype(float)
    for size, parted in ((1.0, True), (0.01, False)):
        reading = read_growth(Ladder(DECADES, size * jumps), 0.29, 0.05)
        assert reading.breakthroughs.seen and reading.parted is parted
