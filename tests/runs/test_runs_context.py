"""What a cell knows of this run alone: it reaches the code and leaves the key as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_mesa._explained import CellError
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.runs.compute import Failure, compute
from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store

HERE = "test_runs_context"


def where(params: Mapping[str, Any], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """Its own context, among its parameters."""
    return {"place": params["place"], "what": params["what"]}


def reach(_params: Mapping[str, Any], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The context of its first input."""
    return dict(inputs[0].context)


def explain(_params: Mapping[str, Any], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """A failure that needs no traceback."""
    raise CellError("the disk of the lab is upside down: turn it over")


def located(place: str) -> Cell:
    return Cell("where", 1, {"what": "weights"}, f"{HERE}:where", context={"place": place})


def reader(place: str, name: str = "reader") -> Cell:
    return Cell("reach", 1, {"name": name}, f"{HERE}:reach", inputs=(located(place),))


@pytest.mark.parametrize("workers", [0, 1])
def test_context_reaches_the_code_and_what_builds_on_it(tmp_path: Path, workers: int) -> None:
    with LocalExecutor(Store(tmp_path), workers) as executor:
        first = executor.run([located("/old"), reader("/old")])
        assert [outcome.payload for outcome in first.values()] == [
            {"place": "/old", "what": "weights"},
            {"place": "/old"},
        ]
        # The weights have moved: what is stored is found, what is new reads the new place.
        later = executor.run([located("/new"), reader("/new", "another")])
        assert [outcome.payload for outcome in later.values()] == [
            {"place": "/old", "what": "weights"},
            {"place": "/new"},
        ]


def test_context_is_no_part_of_what_a_cell_is() -> None:
    assert located("/old").key == located("/new").key
    assert located("/old") == located("/new")
    assert reader("/old").key == reader("/new").key
    assert Result("k", 1, Path("a"), {"place": "x"}) == Result("k", 2, Path("b"))


def test_context_cannot_shadow_a_parameter() -> None:
    with pytest.raises(ValueError, match="what: parameter and context alike"):
        Cell("where", 1, {"what": "weights"}, f"{HERE}:where", context={"what": "else"})


def test_a_failure_that_explains_itself_brings_no_traceback(tmp_path: Path) -> None:
    outcome = compute(Cell("explain", 1, {}, f"{HERE}:explain"), Store(tmp_path))
    assert isinstance(outcome, Failure)
    assert outcome.message == "the disk of the lab is upside down: turn it over"
    assert outcome.traceback == ""
