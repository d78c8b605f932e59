"""The bounds against slow, independent computations and against their laws."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.verdicts.confidence import (
    confidence_sequence,
    e_value,
    look_sizes,
    lower_bound,
)

unit = st.floats(0, 1, allow_subnormal=False)
score_lists = st.lists(st.one_of(unit, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60)
alphas = st.floats(1e-4, 0.5)


def capital(scores: list[float], m: float) -> float:
    """K(m) by plain products, its mixture integrated by quadrature of another family.

    Gauss-Legendre in the angle θ, where γ = sin²θ has a flat density.
    """
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for node, weight in zip(nodes, weights, strict=True):
        share = math.sin((node + 1) * math.pi / 4) ** 2
        wealth = 1.0
        for score in scores:
            wealth *= 1 - share + share * score / m
        total += weight / 2 * wealth
    return total


@given(score_lists.filter(lambda s: len(s) <= 40), st.floats(0.02, 1))
@settings(max_examples=50, deadline=None)
def test_the_e_value_is_the_integral_over_jeffreys_prior(scores: list[float], m: float) -> None:
    # Up to 47 scores the quadrature in the package is exact, so nothing but rounding differs.
    assert e_value(scores, m, "above") == pytest.approx(capital(scores, m), rel=1e-6)
    mirrored = capital([1 - score for score in scores], m)
    assert e_value(scores, 1 - m, "below") == pytest.approx(mirrored, rel=1e-6)


@given(score_lists, alphas)
@settings(max_examples=50, deadline=None)
def test_the_bounds_are_what_a_scan_of_all_candidates_leaves(
    scores: list[float], alpha: float
) -> None:
    grid = np.linspace(0.001, 0.999, 200)
    sequence = confidence_sequence(scores, alpha, batch=7)
    alive = np.ones(len(grid), dtype=bool)
    contradicted = False
    for look in sequence.looks:
        known = scores[: look.n]
        out = [
            max(e_value(known, m, "above"), e_value(known, m, "below")) >= 2 / alpha for m in grid
        ]
        alive &= ~np.array(out)
        contradicted |= sequence.contradicted_at == look.n
        if contradicted:
            assert look.bounds.lower == 0
            assert look.bounds.upper == 1
            continue
        inside = (grid >= look.bounds.lower) & (grid <= look.bounds.upper)
        near_an_end = (
            np.minimum(abs(grid - look.bounds.lower), abs(grid - look.bounds.upper)) < 1e-6
        )
        assert (near_an_end | (inside == alive)).all()
    if contradicted:
        assert not alive.any()


@given(score_lists, alphas)
@settings(deadline=None)
def test_bounds_are_nested_over_time(scores: list[float], alpha: float) -> None:
    sequence = confidence_sequence(scores, alpha, batch=5)
    looks = [
        look
        for look in sequence.looks
        if sequence.contradicted_at is None or look.n < sequence.contradicted_at
    ]
    for earlier, later in pairwise(looks):
        assert earlier.bounds.lower <= later.bounds.lower
        assert later.bounds.upper <= earlier.bounds.upper


@given(score_lists, alphas, st.floats(1.01, 20))
@settings(deadline=None)
def test_a_smaller_alpha_gives_wider_bounds(
    scores: list[float], alpha: float, factor: float
) -> None:
    wide = confidence_sequence(scores, alpha / factor)
    narrow = confidence_sequence(scores, alpha)
    if narrow.contradicted_at is None:
        assert wide.final.lower <= narrow.final.lower + 1e-9
        assert narrow.final.upper <= wide.final.upper + 1e-9


@given(score_lists, alphas)
@settings(deadline=None)
def test_a_single_look_contains_the_mean(scores: list[float], alpha: float) -> None:
    (look,) = confidence_sequence(scores, alpha, batch=1000).looks
    assert look.mean == pytest.approx(sum(scores) / len(scores))
    assert look.bounds.lower <= look.mean + 1e-12
    assert look.mean <= look.bounds.upper + 1e-12


@given(score_lists, alphas, st.floats(-50, 50), st.floats(0.1, 50))
@settings(deadline=None)
def test_bounds_follow_a_change_of_unit(
    scores: list[float], alpha: float, shift: float, scale: float
) -> None:
    plain = confidence_sequence(scores, alpha, batch=9)
    moved = confidence_sequence(
        [min(max(shift + scale * s, shift), shift + scale) for s in scores],
        alpha,
        shift,
        shift + scale,
        batch=9,
    )
    assert (plain.contradicted_at is None) == (moved.contradicted_at is None)
    for a, b in zip(plain.looks, moved.looks, strict=True):
        assert b.bounds.lower == pytest.approx(shift + scale * a.bounds.lower, abs=1e-4 * scale)
        assert b.bounds.upper == pytest.approx(shift + scale * a.bounds.upper, abs=1e-4 * scale)


@given(score_lists, alphas)
@settings(deadline=None)
def test_swapping_success_and_failure_mirrors_the_bounds(scores: list[float], alpha: float) -> None:
    plain = confidence_sequence(scores, alpha, batch=11)
    swapped = confidence_sequence([1 - s for s in scores], alpha, batch=11)
    for a, b in zip(plain.looks, swapped.looks, strict=True):
        assert b.bounds.lower == pytest.approx(1 - a.bounds.upper, abs=1e-5)
        assert b.bounds.upper == pytest.approx(1 - a.bounds.lower, abs=1e-5)


@given(score_lists, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_e_value_ignores_the_order_of_scores(scores: list[float], random) -> None:
    shuffled = random.sample(scores, len(scores))
    assert e_value(scores, 0.4, "above") == pytest.approx(e_value(shuffled, 0.4, "above"))


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 5000])
def test_all_zeros_all_ones_and_a_constant(n: int) -> None:
    zeros = confidence_sequence([0.0] * n, 0.05).final
    ones = confidence_sequence([1.0] * n, 0.05).final
    constant = confidence_sequence([0.3] * n, 0.05).final
    assert zeros.lower == 0
    assert ones.upper == 1
    assert ones.lower == pytest.approx(1 - zeros.upper, abs=1e-6)
    # No bound can beat one score's worth: a mean of u gives n zeros with chance (1 - u)^n.
    assert zeros.upper > 1 - 0.025 ** (1 / n)
    assert constant.lower <= 0.3 <= constant.upper
    if n == 5000:
        assert zeros.upper < 0.0015
        assert constant.upper - constant.lower < 0.002


def test_no_scores_leave_the_whole_range() -> None:
    empty = confidence_sequence([], 0.05, -1, 3)
    assert empty.looks == ()
    assert (empty.final.lower, empty.final.upper) == (-1, 3)
    assert lower_bound([], 0.05, -1, 3) == -1
    assert e_value([], 0.5, "above") == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_scores_out_of_range_are_refused(bad: float) -> None:
    for function in (
        lambda s: confidence_sequence(s, 0.05),
        lambda s: lower_bound(s, 0.05),
        lambda s: e_value(s, 0.5, "above"),
    ):
        with pytest.raises(ValueError, match=r"score 2 is .*outside its range"):
            function([0.0, 1.0, bad, 0.5])


def test_rounding_in_a_mean_is_no_fault() -> None:
    assert confidence_sequence([1 + 2**-52, -(2**-60)], 0.05).final.upper <= 1


@pytest.mark.parametrize(
    ("alpha", "low", "high", "batch"),
    [(0, 0, 1, 1), (1, 0, 1, 1), (0.05, 1, 1, 1), (0.05, 0, math.nan, 1), (0.05, 0, 1, 0)],
)
def test_senseless_settings_are_refused(alpha: float, low: float, high: float, batch: int) -> None:
    with pytest.raises(ValueError, match=r"alpha|range|batch"):
        confidence_sequence([0.5], alpha, low, high, batch)


def test_a_table_of_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="flat"):
        confidence_sequence([[0.5, 0.5]], 0.05)  # type: ignore[list-item]


def test_scores_that_change_level_contradict_every_mean() -> None:
    sequence = confidence_sequence([0.0] * 500 + [1.0] * 500, 0.05)
    assert sequence.contradicted_at == 600
    assert (sequence.final.lower, sequence.final.upper) == (0, 1)


def test_looks_fall_after_each_batch_and_at_the_end() -> None:
    assert look_sizes(250, 100) == [100, 200, 250]
    assert look_sizes(200, 100) == [100, 200]
    assert look_sizes(0, 100) == []


def normal_mixture_radius(n: int, alpha: float, rho: float) -> float:
    """Robbins' time-uniform bound for 1/2-sub-Gaussian scores."""
    v = n / 4
    return math.sqrt((v + rho) * math.log((v + rho) / (rho * alpha**2))) / n


@pytest.mark.parametrize("mean", [0.02, 0.15, 0.5, 0.9])
def test_width_against_hoeffding_and_the_fixed_sample_limit(mean: float) -> None:
    rng = np.random.default_rng(5)
    n = 2000
    for draw, sd in (
        (lambda: (rng.random(n) < mean).astype(float), math.sqrt(mean * (1 - mean))),
        (lambda: rng.beta(20 * mean, 20 * (1 - mean), n), math.sqrt(mean * (1 - mean) / 21)),
    ):
        widths = []
        for _ in range(20):
            bounds = confidence_sequence(draw(), 0.05).final
            widths.append(bounds.upper - bounds.lower)
        fixed = 2 * 1.96 * sd / math.sqrt(n)
        assert fixed < np.mean(widths) < 2.1 * fixed
        if sd < 0.4:
            assert np.mean(widths) < 2 * normal_mixture_radius(n, 0.05, rho=60)


def test_width_shrinks_with_the_root_of_n() -> None:
    rng = np.random.default_rng(6)
    draws = (rng.random(16_000) < 0.3).astype(float)
    looks = {look.n: look.bounds for look in confidence_sequence(draws, 0.05).looks}
    ratio = (looks[1000].upper - looks[1000].lower) / (looks[16_000].upper - looks[16_000].lower)
    assert 3 < ratio < 5


def test_five_thousand_scores_are_fast() -> None:
    draws = np.random.default_rng(7).beta(2, 5, 5000)
    fastest = math.inf
    for _ in range(3):
        start = time.process_time()
        confidence_sequence(draws, 0.05)
        fastest = min(fastest, time.process_time() - start)
    assert fastest < 0.3


def test_the_same_scores_give_the_same_bounds() -> None:
    draws = np.random.default_rng(8).random(700)
    assert confidence_sequence(draws, 0.05) == confidence_sequence(list(draws), 0.05)
