"""Error rates computed exactly, over every path that the scores can take."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy import ndarray

from pytest_mesa.verdicts.confidence import confidence_sequence, e_value

N = 60


def ever(reject: Callable[[int, int], bool], p: float) -> float:
    """P(some look rejects) for Bernoulli(p), by a walk over (looks, successes)."""
    alive = np.array([1.0])
    rejected = 0.0
    for t in range(1, N + 1):
        grown = np.zeros(t + 1)
        grown[:-1] += alive * (1 - p)
        grown[1:] += alive * p
        for s in range(t + 1):
            if grown[s] and reject(t, s):
                rejected += grown[s]
                grown[s] = 0.0
        alive = grown
    return rejected


def paths(t: int, s: int) -> list[float]:
    return [1.0] * s + [0.0] * (t - s)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_sequence_ever_excludes_the_truth_with_chance_at_most_alpha(
    p: float, alpha: float
) -> None:
    def excluded(t: int, s: int) -> bool:
        known = paths(t, s)
        return max(e_value(known, p, "above"), e_value(known, p, "below")) >= 2 / alpha

    rate = ever(excluded, p)
    assert rate <= alpha
    # Not by never rejecting: a bound that wide would be worth nothing.
    assert rate >= alpha / 20


def test_the_exact_walk_catches_peeking_at_a_normal_interval() -> None:
    def excluded(t: int, s: int) -> bool:
        mean = s / t
        sd = math.sqrt(mean * (1 - mean))
        return t >= 10 and abs(mean - 0.5) > 1.96 * sd / math.sqrt(t)

    assert ever(excluded, 0.5) > 0.15


def test_a_sequence_with_the_mean_put_wrong_is_caught() -> None:
    """The walk must notice capital that bets on the wrong candidate by a little."""

    def excluded(t: int, s: int) -> bool:
        known = paths(t, s)
        return max(e_value(known, 0.42, "above"), e_value(known, 0.58, "below")) >= 2 / 0.05

    assert ever(excluded, 0.5) > 0.05


@pytest.mark.parametrize("path_seed", range(5))
def test_bounds_exclude_exactly_what_the_capital_excluded(path_seed: int) -> None:
    rng = np.random.default_rng(path_seed)
    draws = list((rng.random(N) < 0.3).astype(float))
    looks = confidence_sequence(draws, 0.05, batch=1).looks
    for candidate in (0.05, 0.12, 0.3, 0.48, 0.66):
        worst = 0.0
        for look in looks:
            known = draws[: look.n]
            worst = max(
                worst, e_value(known, candidate, "above"), e_value(known, candidate, "below")
            )
            inside = look.bounds.lower <= candidate <= look.bounds.upper
            assert inside == (worst < 40)


def binomial(n: int, p: float) -> ndarray:
    return np.array([math.comb(n, s) * p**s * (1 - p) ** (n - s) for s in range(n + 1)])


@pytest.mark.parametrize("direction", ["above", "below"])
@pytest.mark.parametrize("n", [1, 5, 60])
def test_the_e_value_has_mean_at_most_one_under_every_null(direction: str, n: int) -> None:
    threshold = 0.3
    means = [0.0, 0.1, 0.29, 0.3] if direction == "above" else [0.3, 0.31, 0.7, 1.0]
    for p in means:
        e = np.array([e_value(paths(n, s), threshold, direction) for s in range(n + 1)])
        expected = float(binomial(n, p) @ e)
        assert expected <= 1 + 1e-9
        if p == threshold:
            assert expected == pytest.approx(1)  # nothing is given away at the border


def test_the_running_maximum_is_no_e_value() -> None:
    """Why `e_value` reports the capital at the end: the maximum has mean above 1."""
    mean = np.zeros(1)
    # state: successes × running maximum, kept as a dict, since the maximum takes few values
    states = {(0, 1.0): 1.0}
    for t in range(1, 16):
        grown: dict[tuple[int, float], float] = {}
        for (s, top), mass in states.items():
            for step, chance in ((1, 0.3), (0, 0.7)):
                now = e_value(paths(t, s + step), 0.3, "above")
                key = (s + step, round(max(top, now), 9))
                grown[key] = grown.get(key, 0.0) + mass * chance
        states = grown
    mean = sum(top * mass for (_, top), mass in states.items())
    assert mean > 1.2


def test_evidence_grows_without_bound_where_the_claim_is_true() -> None:
    assert e_value(paths(200, 20), 0.3, "below") > 1e6
    assert e_value(paths(200, 20), 0.3, "above") < 1
    assert e_value([1.0] * 5000, 0.25, "above") == pytest.approx(1e300)


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 1.0, 1.5])
def test_thresholds_at_and_beyond_the_range(threshold: float) -> None:
    above = e_value([0.0, 0.5, 1.0], threshold, "above")
    below = e_value([0.0, 0.5, 1.0], threshold, "below")
    if threshold <= 0:
        assert above > 1e6  # a score above the least possible mean refutes it at once
        assert below <= 1  # every mean is at least that: the null is certain
    else:
        assert above <= 1
        assert below > 1e6
