"""Heuristics: their order, what they promise, and where they part from the optimum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from knapsack_strategies import batches

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack import heuristics
from pytest_mesa.tasks.knapsack.aspects import ASPECTS
from pytest_mesa.tasks.knapsack.contrasts import ContrastError, draw_disagreeing
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances

TASK = KnapsackTask(kind="knapsack")
FEASIBLE = ("greedy-ratio", "greedy-value", "greedy-weight", "greedy-repair")


def one(items: list[tuple[int, int]], capacity: int) -> Instances:
    """One knapsack of (weight, value) items."""
    weights, values = zip(*items, strict=True)
    return Instances(np.array([weights]), np.array([values]), np.array([capacity]))


@given(batches())
def test_feasible_answers_exact_answer_and_bound_in_that_order(instances: Instances) -> None:
    exact, bound = optimum(instances), heuristics.lp_bound(instances)
    for name in FEASIBLE:
        assert (SOLVERS[name](instances) <= exact).all(), name
    assert (exact <= bound + 1e-9).all()
    assert (heuristics.lp_rounded(instances) >= exact).all()
    assert (heuristics.lp_rounded(instances) <= bound + 1e-9).all()


@given(batches())
def test_repair_only_improves_on_greedy(instances: Instances) -> None:
    repaired = heuristics.greedy_repair(instances)
    assert (repaired >= heuristics.greedy_ratio(instances)).all()


@given(batches())
def test_the_bound_is_within_one_item_of_greedy(instances: Instances) -> None:
    """Dantzig 1957: the relaxation exceeds the greedy prefix by less than the critical item."""
    gap = heuristics.lp_bound(instances) - heuristics.greedy_ratio(instances)
    assert (gap <= instances.values.max(1) + 1e-9).all()


def test_each_heuristic_on_an_instance_worked_by_hand() -> None:
    instance = one([(2, 5), (5, 5), (3, 5), (4, 4)], 7)
    answers = {name: int(solve(instance)[0]) for name, solve in SOLVERS.items()}
    # Ratios 2.5, 1, 1.67, 1. By ratio: 2/5 and 3/5, then nothing fits in 2; the bound adds 2/5 of
    # the next item. By value the first two fill the sack. No better pair exists.
    assert answers == {
        "exact": 10,
        "greedy-ratio": 10,
        "greedy-value": 10,
        "greedy-weight": 10,
        "lp-rounded": 12,
        "greedy-repair": 10,
    }
    trap = one([(1, 2), (3, 4), (3, 4), (6, 7)], 6)
    assert [int(SOLVERS[n](trap)[0]) for n in ("exact", "greedy-ratio", "greedy-repair")] == [
        8,
        6,
        8,
    ]
    assert int(heuristics.greedy_value(trap)[0]) == 7


def test_equal_keys_keep_their_order() -> None:
    assert heuristics.order_by(np.array([[1.0, 2.0, 2.0, 1.0]])).tolist() == [[1, 2, 0, 3]]
    twins = one([(2, 4), (1, 2), (3, 6)], 3)  # equal ratios: which is first decides
    assert int(heuristics.greedy_ratio(twins)[0]) == 6


@pytest.mark.parametrize("rival", ["greedy-ratio", "greedy-repair", "lp-rounded"])
def test_drawn_contrasts_are_contrasts_and_repeat(rival: str) -> None:
    def drawn() -> Instances:
        return draw_disagreeing(TASK, ("exact", rival), 300, np.random.default_rng(3))

    instances = drawn()
    assert len(instances) == 300
    assert (optimum(instances) != SOLVERS[rival](instances)).all()
    assert (instances.capacity == drawn().capacity).all()


def test_solvers_that_never_part_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mesa.tasks.knapsack.contrasts.PATIENCE", 2)
    tiny = TASK.model_copy(update={"items": 2, "weights": (1, 1), "capacity": (3, 3)})
    with pytest.raises(ContrastError, match="exact differs from greedy-ratio on only 0 of"):
        draw_disagreeing(tiny, ("exact", "greedy-ratio"), 1, np.random.default_rng(0))


def test_aspects_on_an_instance_worked_by_hand() -> None:
    instance = one([(2, 5), (5, 5), (3, 5), (4, 4)], 7)
    got = {name: aspect(instance)[0].tolist() for name, aspect in ASPECTS.items()}
    assert got["lp-bound"] == [12.0]
    assert got["greedy-answer"] == [10.0]
    assert got["ratio-order"] == [2.5, 5 / 3, 1.0, 1.0]
    assert got["best-item"] == [2.0, 5.0]
    assert got["critical-ratio"] == [1.0]
    assert got["other-capacities"] == [0.0, 5.0, 5.0, 5.0, 10.0, 10.0, 10.0]
    roomy = one([(1, 2), (2, 2)], 15)
    assert ASPECTS["critical-ratio"](roomy).tolist() == [[0.0]]


@given(batches())
def test_aspects_do_not_depend_on_the_order_of_items(instances: Instances) -> None:
    turned = Instances(instances.weights[:, ::-1], instances.values[:, ::-1], instances.capacity)
    for name, aspect in ASPECTS.items():
        if name not in ("best-item", "greedy-answer"):  # there, order breaks ties
            assert np.allclose(aspect(turned), aspect(instances)), name
