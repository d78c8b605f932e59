"""The measured ladders that ship in place of their nets: found, complete, and true of the nets."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.experiments.scaling_frozen import gathered
from pytest_mesa.registry.loader import load
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.compute import load as load_function
from pytest_mesa.runs.execute import pending
from pytest_mesa.runs.store import Store

SPECS = ("gradual-scaling", "behaviour-may-jump", "gradual-with-compute", "gradual-state")
# Nets that ship beside what all of their ladder measured.
KEPT = (
    ("gradual-scaling", "knapsack-fixed-steps-fine-10", 5),
    ("gradual-scaling", "knapsack-fixed-steps-fine-31", 5),
    ("behaviour-may-jump", "knapsack-scaled-steps-15", 17),
    ("gradual-with-compute", "knapsack-compute-optimal-12", 0),
    ("gradual-state", "knapsack-scaled-steps-15", 17),
    ("gradual-state", "compiled prefix-dp", 12),
)


@cache
def ladders(name: str) -> tuple[Cell, ...]:
    """The cells that gather a registered prediction's ladders."""
    return tuple(gathered(load(shipped("predictions") / f"{name}.yaml").prediction))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, (shipped("fixtures"),))


@pytest.mark.parametrize("name", SPECS)
def test_no_net_has_to_be_trained(name: str, store: Store) -> None:
    assert ladders(name)
    assert not pending(ladders(name), store)


@pytest.mark.parametrize("name", SPECS)
def test_every_net_stands_in_the_table(name: str, store: Store) -> None:
    for cell in ladders(name):
        table = _found(store, cell).payload["detail"]["ladder"]
        seeds = cell.params["seeds"]
        nets = seeds * len(table["decades"])
        cells = Counter(each.kind for each in cell.inputs)
        assert seeds >= 3 and set(cells.values()) == {nets}
        assert ("ladder-state" in cells) == ("interchange" in table["measures"])
        assert {len(row) for rows in table["measures"].values() for row in rows} == {seeds}
        assert _found(store, cell).payload["budget"] == nets


@pytest.mark.parametrize(("spec", "net", "seed"), KEPT)
def test_the_table_says_what_its_nets_measure(spec: str, net: str, seed: int, store: Store) -> None:
    name = f"{net} seed {seed}"
    cell = next(c for c in ladders(spec) if any(each.label.endswith(name) for each in c.inputs))
    table = _found(store, cell).payload["detail"]["ladder"]["measures"]
    nets = cell.params["seeds"] * len(next(iter(table.values())))
    for number, measuring in enumerate(cell.inputs):
        if not measuring.label.endswith(name):
            continue
        trained = tuple(_found(store, each) for each in measuring.inputs)
        found: Any = load_function(measuring.impl)(measuring.params, trained, Path())
        rung, column = divmod(number % nets, cell.params["seeds"])
        # Other CPUs sum in other orders: an answer on the edge may flip, and a probe's layer.
        for measure, value in found["measures"].items():
            assert value == pytest.approx(table[measure][rung][column], abs=0.01), measure


def _found(store: Store, cell: Cell) -> Result:
    result = store.get(cell)
    assert result is not None, f"{cell.label} ships no more"
    return result
