"""Readings of one net in which this and that is planted, made one cell: the net is run once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.narrowing_parts import CELLS, READING
from pytest_mesa.runs.cells import Cell


def shared(plan: Plan) -> Plan:
    """The plan with such readings taken out of one cell for each net."""
    alike: dict[Cell, list[Cell]] = {}
    for cell in _below(plan.cells, set()):
        if cell.kind == READING:
            alike.setdefault(_unplanted(cell), []).append(cell)
    made: dict[Cell, Cell] = {}

    def remade(cell: Cell) -> Cell:
        if cell not in made:
            group = alike[_unplanted(cell)] if cell.kind == READING else []
            made[cell] = (
                _one_of(group, cell)
                if len(group) > 1
                else replace(cell, inputs=tuple(map(remade, cell.inputs)))
            )
        return made[cell]

    def role(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(map(remade, cells))

    return Plan(
        role(plan.subjects),
        role(plan.must_detect),
        role(plan.must_not_detect),
        role(plan.exhibits),
    )


def _below(cells: Iterable[Cell], seen: set[Cell]) -> Iterator[Cell]:
    """Cells and all that they need, each once."""
    for cell in cells:
        if cell not in seen:
            seen.add(cell)
            yield cell
            yield from _below(cell.inputs, seen)


def _unplanted(cell: Cell) -> Cell:
    return replace(cell, params={**cell.params, "plant": None})


def _one_of(group: list[Cell], cell: Cell) -> Cell:
    params = {name: value for name, value in cell.params.items() if name != "plant"}
    plants = [each.params["plant"] for each in group]
    net = group[0].label.partition(" · ")[2]
    several = replace(
        group[0],
        kind="narrowing-readings",
        params={**params, "plants": plants},
        impl=f"{CELLS}:readings",
        label=f"by depth, {len(plants)} ways planted · {net.partition(' with ')[0]}",
    )
    return Cell(
        kind="narrowing-one-reading",
        version=1,
        params={"place": group.index(cell)},
        impl=f"{CELLS}:one_of",
        inputs=(several,),
        label=cell.label,
    )
