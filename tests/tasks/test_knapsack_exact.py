"""Every table entry against brute force, and every algorithm's counterfactuals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knapsack_strategies import batches, best, brute_force

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack import exact
from pytest_mesa.tasks.knapsack.algorithms import algorithm
from pytest_mesa.tasks.knapsack.instances import Instances, draw

CAPACITIES, TOP = 15, 42
ALGORITHMS = ("prefix-dp", "suffix-recursion", "value-dp")


@given(batches())
def test_the_optimum_is_the_best_subset(instances: Instances) -> None:
    assert exact.optimum(instances).tolist() == best(instances)


@settings(max_examples=30, deadline=None)
@given(batches(items=st.integers(1, 4)))
def test_every_entry_of_the_weight_tables(instances: Instances) -> None:
    prefix = exact.prefix_rows(instances, CAPACITIES)
    suffix = exact.suffix_rows(instances, CAPACITIES)
    assert prefix.shape == suffix.shape == (instances.items + 1, len(instances), CAPACITIES + 1)
    for row in range(len(instances)):
        weights, values = instances.weights[row], instances.values[row]
        for stage in range(instances.items + 1):
            for capacity in range(0, CAPACITIES + 1, 3):
                first = brute_force(weights[:stage], values[:stage], capacity)
                rest = brute_force(weights[stage:], values[stage:], capacity)
                assert prefix[stage, row, capacity] == first
                assert suffix[stage, row, capacity] == rest


@settings(max_examples=50, deadline=None)
@given(batches(items=st.integers(1, 4), top=4))
def test_every_entry_of_the_value_table(instances: Instances) -> None:
    rows = exact.value_rows(instances, top=16)
    for row in range(len(instances)):
        for stage in range(instances.items + 1):
            weights, values = instances.weights[row, :stage], instances.values[row, :stage]
            least = {0: 0}
            for weight, value in zip(weights.tolist(), values.tolist(), strict=True):
                for reached, load in sorted(least.items(), reverse=True):
                    above = least.get(reached + value, exact.UNREACHABLE)
                    least[reached + value] = min(above, load + weight)
            reachable = np.minimum(rows[stage, row], exact.UNREACHABLE)
            assert reachable.tolist() == [least.get(v, exact.UNREACHABLE) for v in range(17)]


@pytest.mark.parametrize("name", ALGORITHMS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_continuing_from_a_swapped_state_solves_the_hybrid(name: str, data: st.DataObject) -> None:
    items = data.draw(st.integers(1, 5), label="items")
    fixed = st.just(items)
    base = data.draw(batches(items=fixed), label="base")
    source = data.draw(batches(items=fixed), label="source")
    count = min(len(base), len(source))
    base, source = base.take(np.arange(count)), source.take(np.arange(count))
    runs = algorithm(name, CAPACITIES, TOP)
    for stage in range(items + 1):
        hybrid = base.with_items(source, runs.columns(items, stage))
        swapped = runs.compose(runs.state(source, stage), base, stage)
        assert swapped.tolist() == exact.optimum(hybrid).tolist()
        own = runs.compose(runs.state(base, stage), base, stage)
        assert own.tolist() == exact.optimum(base).tolist()


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="'bellman'; there are prefix-dp, suffix-recursion"):
        algorithm("bellman", CAPACITIES, TOP)


@given(st.integers(0, 10_000), st.integers(1, exact.FEW), st.sampled_from([3, 40, 9000]))
def test_all_subsets_and_the_table_have_the_same_optimum(seed: int, items: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    weights, values = rng.integers(1, 12, (20, items)), rng.integers(1, top, (20, items))
    drawn = Instances(weights, values, rng.integers(0, 40, 20))
    rows = exact.prefix_rows(drawn, int(drawn.capacity.max()))
    table = exact.read_row(rows[-1], drawn.capacity)
    assert exact.best_subset(drawn).tolist() == table.tolist()


@pytest.mark.parametrize("items", [exact.FEW, exact.FEW + 1])
def test_the_optimum_is_the_tables_on_either_side_of_a_few_items(items: int) -> None:
    drawn = draw(KnapsackTask(kind="knapsack", items=items), 300, np.random.default_rng(0))
    rows = exact.prefix_rows(drawn, int(drawn.capacity.max()))
    assert (exact.optimum(drawn) == exact.read_row(rows[-1], drawn.capacity)).all()


def test_no_instances_have_no_optimum() -> None:
    none = draw(KnapsackTask(kind="knapsack"), 2, np.random.default_rng(0)).take(np.arange(0))
    assert exact.optimum(none).shape == (0,)
