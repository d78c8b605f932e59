"""The frozen nets that ship: their recipes made them, and they solve what they claim to."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.catalog import Frozen, first_difference, frozen
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import Recipe, training_cell
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import draw

# The nets of games have tests of their own.
NETS = [net for net in frozen() if isinstance(net.recipe, Recipe)]


def test_nets_ship() -> None:
    assert any(net.recipe.name == "knapsack-decoder" for net in NETS), shipped("fixtures")


@pytest.mark.parametrize("net", NETS, ids=[net.name for net in NETS])
def test_its_recipe_still_makes_its_first_losses(net: Frozen) -> None:
    assert not net.stale
    assert len(net.payload["losses"]) == 50
    assert first_difference(net) is None


@pytest.mark.parametrize("net", NETS, ids=[net.name for net in NETS])
def test_it_is_found_by_its_cell_and_as_accurate_as_recorded(net: Frozen) -> None:
    store = Store(shipped("fixtures") / "nowhere", (shipped("fixtures"),))
    result = store.get(training_cell(net.recipe, net.seed))
    assert result is not None and result.folder == net.folder
    fresh = draw(net.recipe.task, 2000, np.random.default_rng([net.seed, 1]))
    answers = load({"scheme": "recipe"}, (result,)).answers(fresh)
    accuracy = float((answers == SOLVERS[net.recipe.target](fresh)).mean())
    # Three standard errors of a share this high in 2,000.
    assert accuracy == pytest.approx(net.payload["accuracy"], abs=0.015)
