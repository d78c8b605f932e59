"""Growth along ladders of known truth: steps, smooth curves, and seeds that each jump."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.verdicts.evidence import EvidenceError
from pytest_mesa.verdicts.scaling.breakthroughs import breakthroughs
from pytest_mesa.verdicts.scaling.forms import STEP, held_out
from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.names import BIMODAL, SMOOTH
from pytest_mesa.verdicts.scaling.names import STEP as PLANTED_STEP
from pytest_mesa.verdicts.scaling.planted import DECADES, plant
from pytest_mesa.verdicts.scaling.reading import widest_seen
from pytest_mesa.verdicts.scaling.transition import transition
from pytest_mesa.verdicts.scaling.window import (
    sharpest_window,
    spans_around,
    spans_within,
)

if TYPE_CHECKING:
    from jaxtyping import Float

WINDOW = 0.29
SIMULATED = 40  # ladders a shape; benchmarks/ladders.py takes 200


def planted(curve: str, seed: int) -> Ladder:
    rng = np.random.default_rng([seed, 17])
    return Ladder(DECADES, plant(curve, ["score"], "score", rng)["score"])


def logistic(place: float, width: float, noise: float = 0.0, seed: int = 0) -> Ladder:
    share = 1 / (1 + np.exp(-(DECADES - place) * 2 * np.log(3.0) / width))
    deviations = noise * np.random.default_rng(seed).standard_normal((len(DECADES), 5))
    return Ladder(DECADES, share[:, None] + deviations)


def true_share(place: float, width: float, window: float) -> float:
    """The greatest share of the ladder's change that a logistic has in one window."""

    def curve(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.asarray(1 / (1 + np.exp(-(x - place) * 2 * np.log(3.0) / width)))

    starts = np.linspace(DECADES[0], DECADES[-1] - window, 4000)
    ends = curve(DECADES[[0, -1]])
    return float((curve(starts + window) - curve(starts)).max() / (ends[1] - ends[0]))


def test_planted_steps_are_shown_and_smooth_growth_is_not() -> None:
    steps = [sharpest_window(planted(PLANTED_STEP, i), WINDOW, 0.05) for i in range(SIMULATED)]
    smooth = [sharpest_window(planted(SMOOTH, i), WINDOW, 0.05) for i in range(SIMULATED)]
    assert np.mean([window.lower > 0.8 for window in steps]) >= 0.95
    assert np.mean([window.upper < 0.6 for window in smooth]) >= 0.95


def test_seeds_that_jump_one_by_one_are_told_from_seeds_that_go_together() -> None:
    assert np.mean([breakthroughs(planted(BIMODAL, i)).seen for i in range(SIMULATED)]) >= 0.95
    for curve in (PLANTED_STEP, SMOOTH):
        assert not any(breakthroughs(planted(curve, i)).seen for i in range(SIMULATED))


def test_wide_noise_is_no_breakthrough() -> None:
    """Nets that scatter around their mean lie between the ends, not at them."""
    noisy = [breakthroughs(logistic(4.1, 1.0, 0.2, seed)) for seed in range(SIMULATED)]
    assert np.mean([each.split > 0.1 for each in noisy]) > 0.5
    assert np.mean([each.seen for each in noisy]) <= 0.1


def test_a_step_predicts_unseen_sizes_of_a_step_and_no_others() -> None:
    assert all(held_out(planted(PLANTED_STEP, i), WINDOW, WINDOW).step_wins for i in range(8))
    assert not any(held_out(planted(SMOOTH, i), WINDOW, WINDOW).step_wins for i in range(8))
    scores = held_out(planted(PLANTED_STEP, 0), WINDOW, WINDOW).scores
    assert set(scores) == {STEP, "straight", "power", "logistic", "smooth-break"}


@settings(deadline=None, max_examples=60)
@given(
    place=st.floats(float(DECADES[1]), float(DECADES[-2])),
    width=st.floats(0.02, 1.5),
)
def test_without_noise_the_truth_lies_between_what_is_shown_and_what_is_hidden(
    place: float, width: float
) -> None:
    ladder = logistic(place, width)
    window = sharpest_window(ladder, WINDOW, 0.05)
    truth = true_share(place, width, WINDOW)
    # Rungs are a hair nearer to each other than the window is wide.
    assert window.shown - 1e-6 <= truth <= window.hidden + 1e-6
    assert window.lower - 1e-9 <= window.share <= window.upper + 1e-9


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2, 0.3])
def test_a_narrow_transition_at_a_rung_is_never_called_gradual(width: float) -> None:
    """Half of it falls on either side of the rung, so that no two neighbours show it."""
    for seed in range(SIMULATED):
        window = sharpest_window(logistic(float(DECADES[3]), width, 0.02, seed), WINDOW, 0.05)
        assert window.shown < 0.6
        assert window.upper > 0.6


def test_bounds_hold_as_often_as_they_say_also_where_spreads_differ() -> None:
    """Every other rung's seeds scatter five times as widely."""
    truth = true_share(4.1, 0.4, WINDOW)
    share = 1 / (1 + np.exp(-(DECADES - 4.1) * 2 * np.log(3.0) / 0.4))
    spread = np.where(np.arange(len(DECADES)) % 2, 0.05, 0.01)
    missed = 0
    for seed in range(300):
        deviations = np.random.default_rng([seed, 3]).standard_normal((len(DECADES), 5))
        ladder = Ladder(DECADES, share[:, None] + spread[:, None] * deviations)
        window = sharpest_window(ladder, WINDOW, 0.05)
        missed += not window.lower <= truth <= window.upper
    assert missed <= 15


def test_the_upper_bound_needs_no_more_than_its_own_half_of_the_level() -> None:
    """Where one span holds far more than the others, only its bound can be too low."""
    share = np.array([0.0, 0.02, 0.04, 0.3, 0.6, 0.9, 0.95, 1.0])
    hidden, alpha, draws = 0.6, 0.2, 600
    low = high = 0
    rng = np.random.default_rng(5)
    for _ in range(draws):
        scores = share[:, None] + 0.1 * rng.standard_normal((len(DECADES), 5))
        window = sharpest_window(Ladder(DECADES, scores), WINDOW, alpha)
        high += window.upper < hidden
        low += window.lower > 0.3  # the largest share that neighbours show
    error = 3 * (alpha / 2 * (1 - alpha / 2) / draws) ** 0.5
    assert high / draws <= alpha / 2 + error
    assert low / draws <= alpha / 2 + error
    assert high + low > 0, "bounds that never miss would be wider than they say"


def test_flat_ladders_say_nothing() -> None:
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal((len(DECADES), 5))
        window = sharpest_window(Ladder(DECADES, noise), WINDOW, 0.05)
        assert window.grown or (window.lower, window.upper) == (0.0, 1.0)
        assert not breakthroughs(Ladder(DECADES, noise)).seen
    flat = Ladder(DECADES, np.ones((len(DECADES), 5)))
    assert not sharpest_window(flat, WINDOW, 0.05).grown
    assert not breakthroughs(flat).seen


def test_a_measure_that_falls_has_not_grown() -> None:
    ladder = planted(PLANTED_STEP, 3)
    fallen = Ladder(DECADES, -ladder.scores)
    down = sharpest_window(fallen, WINDOW, 0.05)
    assert not down.grown and (down.lower, down.upper) == (0.0, 1.0)
    assert transition(fallen, 0.05).width == pytest.approx(transition(ladder, 0.05).width)


def test_spans_fit_within_the_window_or_enclose_every_one() -> None:
    even = np.linspace(0.0, 2.0, 8)
    gap = float(even[1])
    assert spans_within(even, gap) == tuple((i, i + 1) for i in range(7))
    assert spans_around(even, gap) == tuple((i, i + 2) for i in range(6))
    # Coarser than the window: nothing can be shown, and little is enclosed.
    assert spans_within(even, gap / 2) == ()
    assert spans_around(even, gap / 2)[0] == (0, 2)


def test_a_coarse_ladder_shows_no_step() -> None:
    step = Ladder(DECADES, np.repeat((DECADES > 4.0)[:, None] * 1.0, 5, axis=1))
    window = sharpest_window(step, WINDOW / 2, 0.05)
    assert (window.lower, window.upper) == (0.0, 1.0)


def test_a_transition_is_bounded_by_the_rungs_around_it() -> None:
    for seed in range(20):
        step = transition(planted(PLANTED_STEP, seed), 0.05)
        assert step.lower == 0.0 and step.upper <= 2 * WINDOW
        wide = transition(logistic(4.1, 1.0, 0.01, seed), 0.05)
        assert wide.lower <= 1.0 <= wide.upper
        assert wide.lower > 0.2


def test_what_would_have_been_seen_shrinks_with_noise() -> None:
    quiet = widest_seen(logistic(4.1, 1.0, 0.005), WINDOW, 0.05, 0.8)
    loud = widest_seen(logistic(4.1, 1.0, 0.03), WINDOW, 0.05, 0.8)
    assert quiet is not None and loud is not None and loud < quiet < WINDOW
    assert widest_seen(logistic(4.1, 1.0, 0.3), WINDOW, 0.05, 0.8) is None


def test_what_is_no_ladder_is_refused() -> None:
    scores = np.zeros((8, 5))
    with pytest.raises(EvidenceError, match="ascend"):
        Ladder(DECADES[::-1], scores)
    with pytest.raises(EvidenceError, match="6 sizes of 3 seeds at least; this one has 5 of 5"):
        Ladder(DECADES[:5], scores[:5])
    with pytest.raises(EvidenceError, match="finite"):
        Ladder(DECADES, np.full((8, 5), np.nan))
