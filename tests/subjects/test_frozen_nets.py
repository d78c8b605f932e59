"""The frozen nets that ship: their recipes made them, and they solve what they claim to."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.catalog import Frozen, first_difference, frozen
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import LADDER_SEEDS, LADDERS, Recipe, training_cell
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import draw

FROZEN = frozen()
SIZES = [recipe.name for ladder in LADDERS.values() for recipe in ladder]
# The nets of games have tests of their own; of a ladder's, one a size, whose seeds take turns.
NETS = [
    net
    for net in FROZEN
    if isinstance(net.recipe, Recipe)
    and (net.recipe.name not in SIZES or net.seed == SIZES.index(net.recipe.name) % LADDER_SEEDS)
]


def test_nets_ship() -> None:
    assert any(net.recipe.name == "knapsack-decoder" for net in NETS), shipped("fixtures")


@pytest.mark.parametrize("net", NETS, ids=[net.name for net in NETS])
def test_its_recipe_still_makes_its_first_losses(net: Frozen) -> None:
    assert not net.stale
    assert len(net.payload["losses"]) == 50
    # A ladder's nets differ by their recipes' sizes alone, which the first steps tell.
    assert first_difference(net, 5 if net.recipe.name in SIZES else None) is None


@pytest.mark.parametrize("net", NETS, ids=[net.name for net in NETS])
def test_it_is_found_by_its_cell_and_as_accurate_as_recorded(net: Frozen) -> None:
    store = Store(shipped("fixtures") / "nowhere", (shipped("fixtures"),))
    result = store.get(training_cell(net.recipe, net.seed))
    assert result is not None and result.folder == net.folder
    fresh = draw(net.recipe.task, 2000, np.random.default_rng([net.seed, 1]))
    answers = load({"scheme": "recipe"}, (result,)).answers(fresh)
    accuracy = float((answers == SOLVERS[net.recipe.target](fresh)).mean())
    recorded = net.payload["accuracy"]
    # Three standard errors of the difference of two shares, in 2,000 here and in 4,000 then.
    error = 3 * sqrt(recorded * (1 - recorded) * (1 / 2000 + 1 / 4000))
    assert accuracy == pytest.approx(recorded, abs=max(error, 0.005))


@pytest.mark.parametrize("ladder", ["knapsack-fixed-steps", "knapsack-scaled-steps"])
def test_every_net_of_a_ladder_ships(ladder: str) -> None:
    keys = {net.key for net in FROZEN}
    missing = [
        f"{recipe.name} seed {seed}"
        for recipe in LADDERS[ladder]
        for seed in range(LADDER_SEEDS)
        if training_cell(recipe, seed).key not in keys
    ]
    assert not missing
