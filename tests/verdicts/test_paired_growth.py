"""How much sharper one measure is than another of the same nets, on ladders of known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.verdicts.scaling import paired
from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.names import THRESHOLD
from pytest_mesa.verdicts.scaling.paired import sharper_by
from pytest_mesa.verdicts.scaling.planted import DECADES, plant
from pytest_mesa.verdicts.scaling.window import Span, spans_within

if TYPE_CHECKING:
    from jaxtyping import Float

WINDOW, ALPHA = 0.29, 0.05
SIMULATED = 400
# 5 % in 400 where half of alpha is allowed on each side: by chance once in a thousand times.
TOO_OFTEN = 0.05
EVEN = np.linspace(0, 1, 8)
LATE = np.array([0, 0, 0.01, 0.03, 0.06, 0.12, 0.25, 1])
TIED = np.array([0, 0.1, 0.3, 0.3, 0.5, 0.5, 0.7, 1])


def largest(curve: Float[np.ndarray, " rung"]) -> float:
    return float(np.diff(curve).max() / (curve[-1] - curve[0]))


def pair(
    curves: tuple[Float[np.ndarray, " rung"], Float[np.ndarray, " rung"]],
    seeds: int,
    noise: Float[np.ndarray, " rung"],
    together: float,
    rng: np.random.Generator,
) -> tuple[Ladder, Ladder]:
    """Two measures whose noise goes together, seed by seed, by that correlation."""
    own, other = rng.standard_normal((2, 8, seeds))
    other = together * own + np.sqrt(1 - together**2) * other
    one, two = (
        Ladder(DECADES, curve[:, None] + noise[:, None] * each)
        for curve, each in zip(curves, (own, other), strict=True)
    )
    return one, two


def false_bounds(
    curves: tuple[Float[np.ndarray, " rung"], Float[np.ndarray, " rung"]],
    seeds: int,
    noise: Float[np.ndarray, " rung"],
    together: float,
) -> tuple[float, float]:
    """How often the lower and the upper bound contradict the truth."""
    rng = np.random.default_rng([seeds, int(100 * together) + 100])
    truth = largest(curves[0]) - largest(curves[1])
    found = [
        sharper_by(*pair(curves, seeds, noise, together, rng), WINDOW, ALPHA)
        for _ in range(SIMULATED)
    ]
    low = np.mean([lower > truth + 1e-9 for _, lower, _ in found])
    high = np.mean([upper < truth - 1e-9 for _, _, upper in found])
    return float(low), float(high)


@pytest.mark.parametrize("seeds", [3, 5, 24])
@pytest.mark.parametrize("together", [-0.9, 0.0, 0.9])
@pytest.mark.parametrize(
    "curves", [(LATE, EVEN), (EVEN, LATE), (LATE, LATE), (TIED, EVEN), (EVEN, EVEN)]
)
def test_bounds_hold_however_the_measures_go_together(
    curves: tuple[Float[np.ndarray, " rung"], Float[np.ndarray, " rung"]],
    seeds: int,
    together: float,
) -> None:
    """Noise of a few rungs too, which tells little about its own size."""
    noise = np.array([0.003] * 4 + [0.03] * 4)
    assert max(false_bounds(curves, seeds, noise, together)) < TOO_OFTEN


def test_a_stretch_chosen_on_the_seeds_that_measure_it_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rule that bounds whichever stretch looks largest: wrong where many are alike."""
    curves, noise = (EVEN, LATE), np.full(8, 0.05)

    def naive(
        one: Float[np.ndarray, "rung seed"],
        other: Float[np.ndarray, "rung seed"],
        _span: Span,
        spans: tuple[Span, ...],
        alpha: float,
    ) -> float:
        peeked = paired._chosen(one.mean(axis=1), spans)
        return least(one, other, peeked, spans, alpha)

    assert false_bounds(curves, 24, noise, 0.0)[0] < TOO_OFTEN
    least = paired._least_excess
    monkeypatch.setattr(paired, "_least_excess", naive)
    assert false_bounds(curves, 24, noise, 0.0)[0] > TOO_OFTEN


def test_the_other_measure_may_be_sharpest_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held against the other's share on one's own stretch alone, twins in mirror look unlike."""
    curves, noise = (LATE, 1 - LATE[::-1]), np.full(8, 0.01)
    assert max(false_bounds(curves, 12, noise, 0.0)) < TOO_OFTEN
    least = paired._least_excess
    monkeypatch.setattr(
        paired,
        "_least_excess",
        lambda one, other, span, _spans, alpha: least(one, other, span, (span,), alpha),
    )
    assert false_bounds(curves, 12, noise, 0.0)[0] > 0.4  # wherever noise is on its side


def test_planted_thresholds_are_sharper_and_twins_are_not() -> None:
    for seed in range(40):
        rng = np.random.default_rng([seed, 5])
        both = plant(THRESHOLD, ["sharp", "smooth"], "sharp", rng)
        sharp, smooth = (Ladder(DECADES, both[name]) for name in ("sharp", "smooth"))
        assert sharper_by(sharp, smooth, WINDOW, ALPHA)[1] > 0.35
        assert sharper_by(smooth, sharp, WINDOW, ALPHA)[2] < -0.35
        estimate, lower, upper = sharper_by(smooth, smooth, WINDOW, ALPHA)
        assert estimate == 0.0 and -0.25 < lower <= 0.0 <= upper < 0.25


def test_noise_that_both_share_costs_nothing() -> None:
    rng = np.random.default_rng(2)
    noise = np.full(8, 0.05)
    widths = {
        together: np.median(
            [
                upper - lower
                for _, lower, upper in (
                    sharper_by(*pair((LATE, LATE), 24, noise, together, rng), WINDOW, ALPHA)
                    for _ in range(30)
                )
            ]
        )
        for together in (0.0, 0.95)
    }
    assert widths[0.95] < 0.8 * widths[0.0]


@given(
    scale=st.floats(0.01, 100.0),
    shift=st.floats(-10, 10),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None)
def test_units_do_not_matter(scale: float, shift: float, seed: int) -> None:
    """A share of growth is the same in any unit."""
    one, other = pair((LATE, EVEN), 6, np.full(8, 0.01), 0.3, np.random.default_rng(seed))
    told = Ladder(DECADES, shift + scale * one.scores)
    found = sharper_by(told, other, WINDOW, ALPHA)
    assert np.allclose(found, sharper_by(one, other, WINDOW, ALPHA), atol=1e-6)


def test_the_estimate_is_the_difference_of_the_largest_shares() -> None:
    one, other = pair((LATE, TIED), 12, np.full(8, 1e-6), 0.0, np.random.default_rng(0))
    estimate, lower, upper = sharper_by(one, other, WINDOW, ALPHA)
    assert estimate == pytest.approx(largest(LATE) - largest(TIED), abs=1e-4)
    assert lower <= estimate <= upper


def test_without_growth_or_a_stretch_nothing_is_known() -> None:
    rng = np.random.default_rng(3)
    idle, grown = pair((np.zeros(8), EVEN), 12, np.full(8, 0.02), 0.0, rng)
    fallen = Ladder(DECADES, -grown.scores)
    for one, other in ((idle, grown), (grown, idle), (fallen, grown), (grown, fallen)):
        assert sharper_by(one, other, WINDOW, ALPHA)[1:] == (-1.0, 1.0)
    assert not spans_within(DECADES, 0.1)
    assert sharper_by(grown, grown, 0.1, ALPHA) == (0.0, -1.0, 1.0)
