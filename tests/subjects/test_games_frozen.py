"""The frozen two-game decoders: their recipe made them, and they play as legally as recorded."""

from __future__ import annotations

import pytest

from pytest_mesa._paths import shipped
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.catalog import Frozen, first_difference, frozen
from pytest_mesa.subjects.games_legality import legal_rate
from pytest_mesa.subjects.games_recipes import TWO_GAMES, GamesRecipe
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import training_cell

NETS = [net for net in frozen() if isinstance(net.recipe, GamesRecipe)]
IDS = [net.name for net in NETS]
REPLAYED = 5  # of the fifty losses kept: seeds and recipes part at the first


def test_three_seeds_ship() -> None:
    assert [(net.recipe, net.seed) for net in NETS] == [(TWO_GAMES, seed) for seed in range(3)]
    assert not any(net.stale for net in NETS)
    size = sum(path.stat().st_size for net in NETS for path in net.folder.rglob("*.safetensors"))
    assert size <= 16e6


@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_its_recipe_still_makes_its_first_losses(net: Frozen) -> None:
    assert len(net.payload["losses"]) == 50
    assert first_difference(net, REPLAYED) is None


@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_it_plays_every_game_as_legally_as_recorded(net: Frozen) -> None:
    result = Store(shipped("fixtures") / "nowhere", (shipped("fixtures"),)).get(
        training_cell(net.recipe, net.seed)
    )
    assert result is not None and result.folder == net.folder
    subject = load({"scheme": "recipe"}, (result,))
    assert set(net.payload["legal"]) == {"chess", "go", "tic-tac-toe", "fifteen"}
    for source in TWO_GAMES.sources:
        recorded = net.payload["legal"][source.game]
        assert recorded >= 0.9
        rate = legal_rate(subject, source, games=15)
        # Fifteen games of thirty plies: positions of one game are no independent draws.
        assert rate.overall == pytest.approx(recorded, abs=0.06)


def test_skill_grows_along_the_ladder() -> None:
    (first,) = (net for net in NETS if net.seed == TWO_GAMES.ladder_seed)
    rungs = [*TWO_GAMES.rungs, TWO_GAMES.steps]
    assert len(rungs) >= 5
    ladder = {**first.payload["ladder"], str(TWO_GAMES.steps): first.payload["legal"]}
    for game in ("chess", "go"):
        rates = [ladder[str(step)][game] for step in rungs]
        assert rates[-1] > rates[0] + 0.15
        assert rates[-1] == max(rates)
    store = Store(shipped("fixtures") / "nowhere", (shipped("fixtures"),))
    result = store.get(training_cell(TWO_GAMES, first.seed))
    assert result is not None
    for step in TWO_GAMES.rungs:
        rung = load({"scheme": "recipe", "rung": step}, (result,))
        rate = legal_rate(rung, TWO_GAMES.sources[0], games=10)
        assert rate.overall == pytest.approx(ladder[str(step)]["chess"], abs=0.08)
