"""Clean search finds what is there to be found, in every game."""

from __future__ import annotations

import pytest
from games_strategies import lines_of_play
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.fifteen import CELL_OF
from pytest_mesa.tasks.games.notation import Name, text
from pytest_mesa.tasks.games.playing import SmallPlay, open_cells, value_of
from pytest_mesa.tasks.games.rules import game
from pytest_mesa.tasks.games.search import alpha_beta, material, tree_search

BACK_RANK = "6k1/5ppp/8/8/8/8/5PPP/3R2K1 w - - 0 1"


def test_alpha_beta_mates() -> None:
    found = alpha_beta(game("chess").position(BACK_RANK), 2)
    assert (found.move, found.worth) == ("d1d8", 1.0)
    mirrored = game("chess").position("3r2k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1")
    assert alpha_beta(mirrored, 2).move == "d8d1", "black maximises as white does"


def test_alpha_beta_counts_pieces_where_it_stops() -> None:
    hanging = game("chess").position("4k3/6pp/8/3q4/8/2N5/6PP/4K3 w - - 0 1")
    found = alpha_beta(hanging, 1)
    assert found.move == "c3d5"
    after = hanging.apply("c3d5")
    assert found.worth == pytest.approx(material(after))
    assert material(hanging) < 0 < material(after)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_alpha_beta_is_exact_at_tic_tac_toe(data: st.DataObject) -> None:
    moves = data.draw(lines_of_play(Name.FIFTEEN).filter(lambda line: len(line) > 2))
    state = game("fifteen").after(moves)
    if state.terminal:
        return
    assert alpha_beta(state, 9).worth == value_of(tuple(CELL_OF[int(move)] for move in moves))


def test_tic_tac_toe_is_a_draw() -> None:
    assert alpha_beta(game("tic-tac-toe").initial(), 9).worth == 0.0
    assert value_of(()) == 0


@pytest.mark.parametrize("name", list(Name))
def test_tree_search_plays_every_game(name: Name) -> None:
    state = game(name).initial()
    found = tree_search(state, 50, seed=1)
    assert found.move in state.legal
    assert -1 <= found.worth <= 1
    assert tree_search(state, 50, seed=1) == found


def test_tree_search_proves_a_win() -> None:
    assert tree_search(game("chess").position(BACK_RANK), 400, seed=0).move == "d1d8"
    winning = game("fifteen").after(["2", "9", "7", "1"])
    assert tree_search(winning, 200, seed=0).move == "6"
    assert tree_search(winning, 200, seed=0).worth == 1.0


def test_what_can_not_be_searched_is_named() -> None:
    over = game("tic-tac-toe").after(["a3", "a1", "b3", "b1", "c3"])
    for search in (lambda: alpha_beta(over, 3), lambda: tree_search(over, 10, seed=0)):
        with pytest.raises(GamesError, match="the game is over"):
            search()
    with pytest.raises(GamesError, match="a depth of at least 1, not 0"):
        alpha_beta(game("go").initial(), 0)
    with pytest.raises(GamesError, match="go has no pieces to count"):
        material(game("go").initial())


def test_games_of_the_small_players_follow_the_rules() -> None:
    played = list(SmallPlay(games=150).make())
    assert played == list(SmallPlay(games=150).make())
    assert len(set(played)) > 100
    for cells in played:
        assert open_cells(cells) == []
        state = game("tic-tac-toe").after([text(Name.TIC_TAC_TOE, cell) for cell in cells])
        assert state.terminal


def test_skill_shows_in_the_small_games() -> None:
    """Where both play perfectly nobody wins; among all players many games are won."""
    decided = sum(
        game("tic-tac-toe").after([text(Name.TIC_TAC_TOE, c) for c in cells]).returns != (0.0, 0.0)
        for cells in SmallPlay(games=200, seed=9).make()
    )
    assert 60 <= decided <= 180
