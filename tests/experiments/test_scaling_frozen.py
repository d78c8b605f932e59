"""The measured ladders that ship in place of their nets: found, complete, and true of the nets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.experiments import scaling_cells
from pytest_mesa.experiments.scaling_frozen import gathered
from pytest_mesa.registry.loader import load
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.execute import pending
from pytest_mesa.runs.store import Store

SPECS = ("gradual-scaling", "behaviour-may-jump")
# Nets of the fresh seeds that ship beside what all of them measured.
KEPT = (("knapsack-fixed-steps-fine-10", 5), ("knapsack-fixed-steps-fine-31", 5))


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
        result = store.get(cell)
        assert result is not None
        table = result.payload["detail"]["ladder"]
        seeds = cell.params["seeds"]
        assert seeds >= 12 and len(cell.inputs) == seeds * len(table["decades"])
        assert {len(row) for rows in table["measures"].values() for row in rows} == {seeds}
        assert result.payload["budget"] == len(cell.inputs)


@pytest.mark.parametrize(("net", "seed"), KEPT)
def test_the_table_says_what_its_nets_measure(net: str, seed: int, store: Store) -> None:
    (fixed, _) = ladders("gradual-scaling")
    place = next(
        number
        for number, cell in enumerate(fixed.inputs)
        if cell.label.endswith(f"{net} seed {seed}")
    )
    measuring = fixed.inputs[place]
    trained = tuple(_found(store, cell) for cell in measuring.inputs)
    found: Any = scaling_cells.net(measuring.params, trained, Path())
    table = _found(store, fixed).payload["detail"]["ladder"]["measures"]
    rung, column = divmod(place, fixed.params["seeds"])
    # Other CPUs sum in other orders: an answer on the edge may flip, and a probe's layer.
    for name, value in found["measures"].items():
        assert value == pytest.approx(table[name][rung][column], abs=0.01), name


def _found(store: Store, cell: Cell) -> Result:
    result = store.get(cell)
    assert result is not None, f"{cell.label} ships no more"
    return result
