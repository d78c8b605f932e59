"""Draws keep to their ranges and their seed; pairs keep to their filters."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack.algorithms import algorithm
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, concatenate, draw
from pytest_mesa.tasks.knapsack.pairs import SINGLE_ITEM, PairsError, draw_pairs

TASK = KnapsackTask(kind="knapsack")
RIVALS = ("greedy-ratio", "lp-rounded", SINGLE_ITEM)


def test_draws_fill_their_ranges_and_stay_inside() -> None:
    task = KnapsackTask(kind="knapsack", items=4, weights=(2, 6), values=(3, 7), capacity=(4, 9))
    drawn = draw(task, 4000, np.random.default_rng(1))
    assert drawn.weights.shape == (4000, 4)
    for got, (low, high) in (
        (drawn.weights, task.weights),
        (drawn.values, task.values),
        (drawn.capacity, task.capacity),
    ):
        counts = np.bincount(got.ravel())
        assert np.flatnonzero(counts).tolist() == list(range(low, high + 1))
        expected = got.size / (high - low + 1)
        assert np.abs(counts[low:] - expected).max() < 6 * np.sqrt(expected)


def test_strongly_correlated_values_stay_beside_their_weights() -> None:
    task = KnapsackTask(kind="knapsack", correlation="strong")
    drawn = draw(task, 2000, np.random.default_rng(1))
    assert np.abs(drawn.values - drawn.weights).max() == 1
    assert np.corrcoef(drawn.weights.ravel(), drawn.values.ravel())[0, 1] > 0.8
    plain = draw(TASK, 2000, np.random.default_rng(1))
    assert abs(np.corrcoef(plain.weights.ravel(), plain.values.ravel())[0, 1]) < 0.05


def test_draws_follow_their_generator_alone() -> None:
    np.random.seed(0)  # the global state is what must not matter
    first = draw(TASK, 50, np.random.default_rng(5))
    np.random.seed(1)
    again = draw(TASK, 50, np.random.default_rng(5))
    other = draw(TASK, 50, np.random.default_rng(6))
    assert (first.weights == again.weights).all()
    assert (first.weights != other.weights).any()


def test_taking_joining_and_swapping_columns() -> None:
    drawn = draw(TASK, 6, np.random.default_rng(0))
    halves = concatenate([drawn.take(np.arange(3)), drawn.take(np.arange(3, 6))])
    assert (halves.weights == drawn.weights).all() and (halves.capacity == drawn.capacity).all()
    donor = draw(TASK, 6, np.random.default_rng(1))
    mixed = drawn.with_items(donor, (0, 3))
    assert (mixed.weights[:, [0, 3]] == donor.weights[:, [0, 3]]).all()
    assert (mixed.values[:, [1, 2, 4]] == drawn.values[:, [1, 2, 4]]).all()
    assert (mixed.capacity == drawn.capacity).all()
    before = drawn.weights.copy()
    mixed.weights[:] = 0
    assert (drawn.weights == before).all()


@pytest.mark.parametrize("name", ["prefix-dp", "suffix-recursion"])
@pytest.mark.parametrize("stage", [2, 3])
def test_pairs_set_the_algorithm_apart(name: str, stage: int) -> None:
    runs = algorithm(name, 10, 25)
    pairs = draw_pairs(TASK, runs, stage, RIVALS, 200, np.random.default_rng(2))
    assert len(pairs) == len(pairs.base) == len(pairs.state) == 200
    wanted = pairs.counterfactual
    columns = runs.columns(TASK.items, stage)
    assert (wanted == optimum(pairs.hybrid)).all()
    assert (wanted == runs.compose(runs.state(pairs.source, stage), pairs.base, stage)).all()
    assert (wanted != optimum(pairs.base)).all()
    assert (wanted != optimum(pairs.source)).all()
    for rival in RIVALS[:2]:
        assert (wanted != SOLVERS[rival](pairs.hybrid)).all()
    for column in columns:
        assert (wanted != optimum(pairs.base.with_items(pairs.source, [column]))).all()


def test_rivals_that_leave_no_pair_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mesa.tasks.knapsack.pairs.PATIENCE", 2)
    task = TASK.model_copy(update={"items": 2, "weights": (1, 1), "capacity": (3, 3)})
    runs = algorithm("prefix-dp", 3, 10)
    with pytest.raises(PairsError, match="stage 1: only 0 of 5 pairs set prefix-dp apart from"):
        draw_pairs(task, runs, 1, (SINGLE_ITEM,), 5, np.random.default_rng(0))


def test_an_instance_counts_its_items() -> None:
    assert Instances(np.ones((2, 3)), np.ones((2, 3)), np.ones(2)).items == 3
