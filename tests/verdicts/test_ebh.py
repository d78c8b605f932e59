"""Evidence combined over parts and over a registry."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.verdicts.ebh import e_bh, partial_conjunction

e_lists = st.lists(st.floats(0, 1e6), min_size=1, max_size=6)


@given(e_lists)
def test_all_is_the_minimum_and_any_is_the_mean(e: list[float]) -> None:
    assert partial_conjunction(e, len(e)) == min(e)
    assert partial_conjunction(e, 1) == pytest.approx(sum(e) / len(e))


@given(e_lists, st.data())
def test_a_partial_conjunction_never_beats_the_mean_over_any_true_nulls(
    e: list[float], data: st.DataObject
) -> None:
    """That mean is an e-value, so whatever stays below it is one, too."""
    k = data.draw(st.integers(1, len(e)))
    combined = partial_conjunction(e, k)
    for size in range(len(e) - k + 1, len(e) + 1):
        for true_nulls in itertools.combinations(e, size):
            assert combined <= sum(true_nulls) / size * (1 + 1e-9)


def test_capped_e_values_do_not_overflow() -> None:
    assert math.isfinite(partial_conjunction([1.7e308] * 5, 1))


@pytest.mark.parametrize("k", [0, 3, -1])
def test_no_more_statements_than_there_are(k: int) -> None:
    with pytest.raises(ValueError, match="statements"):
        partial_conjunction([1.0, 2.0], k)


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e4), max_size=7), st.floats(0.01, 0.5))
def test_survivors_are_the_largest_self_consistent_set(
    e_values: dict[str, float], alpha: float
) -> None:
    """By definition: the largest set all of whose e-values reach n / (alpha × its size)."""
    n = len(e_values)
    best: frozenset[str] = frozenset()
    for size in range(n, 0, -1):
        reach = frozenset(name for name, e in e_values.items() if e * size * alpha >= n)
        if len(reach) >= size:
            best = reach
            break
    assert e_bh(e_values, alpha) == best


def test_examples() -> None:
    assert e_bh({}, 0.05) == frozenset()
    assert e_bh({"a": 20.0}, 0.05) == {"a"}
    assert e_bh({"a": 19.0}, 0.05) == frozenset()
    # A lone strong claim must pay for the registry around it.
    assert e_bh({"a": 39.0, "b": 1.0}, 0.05) == frozenset()
    assert e_bh({"a": 40.0, "b": 1.0}, 0.05) == {"a"}
    # Two claims lend each other strength.
    assert e_bh({"a": 20.0, "b": 20.0}, 0.05) == {"a", "b"}


@pytest.mark.parametrize("alpha", [0, 1, -0.1, math.nan])
def test_senseless_alpha(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        e_bh({"a": 1.0}, alpha)


@pytest.mark.parametrize("bad", [-1.0, math.nan])
def test_senseless_e_values(bad: float) -> None:
    with pytest.raises(ValueError, match=r"knapsack: .* is no e-value"):
        e_bh({"knapsack": bad}, 0.05)


def test_false_discoveries_stay_below_alpha_under_dependence() -> None:
    rng = np.random.default_rng(0)
    alpha, nulls, rounds = 0.2, 8, 4000
    shares = []
    for _ in range(rounds):
        # One shared bet of mean 1 drives all nulls: the worst dependence.
        shared = 40.0 if rng.random() < 1 / 40 else 0.0
        e = {f"null {i}": shared for i in range(nulls)} | {"true 1": 1e3, "true 2": 50.0}
        survivors = e_bh(e, alpha)
        shares.append(sum("null" in s for s in survivors) / max(len(survivors), 1))
    assert np.mean(shares) <= alpha
