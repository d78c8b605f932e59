"""One interface to four games: held to python-chess, to known positions and to each other."""

from __future__ import annotations

import importlib
import subprocess
import sys

import chess
import numpy as np
import pytest
from games_strategies import lines_of_play, names
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mesa.tasks.games import extra, notation
from pytest_mesa.tasks.games.errors import ExtraError, MoveError, PositionError
from pytest_mesa.tasks.games.fifteen import CELL_OF, NUMBER_OF
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.rules import game

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_chess_agrees_with_python_chess(data: st.DataObject) -> None:
    moves = data.draw(lines_of_play(Name.CHESS))
    board = chess.Board()
    for move in moves:
        board.push_uci(move)
    state = game("chess").after(moves)
    assert state.player == (None if state.terminal else int(not board.turn))
    if not state.terminal:
        assert set(state.legal) == {move.uci() for move in board.legal_moves}
        assert str(state).split()[0] == board.board_fen()


@pytest.mark.parametrize(
    "fen",
    [
        "r3k2r/p6p/8/8/8/8/P6P/R3K2R w KQkq - 0 1",  # castling, both ways
        "8/P6k/8/8/8/8/6Kp/8 b - - 0 1",  # promotion
        "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",  # en passant
    ],
)
def test_special_moves_are_those_of_python_chess(fen: str) -> None:
    legal = {move.uci() for move in chess.Board(fen).legal_moves}
    assert set(game("chess").position(fen).legal) == legal


def test_returns_are_first_player_first() -> None:
    fool = game("chess").after(["f2f3", "e7e5", "g2g4", "d8h4"])
    assert fool.terminal and fool.returns == (-1.0, 1.0) and fool.player is None
    row = game("tic-tac-toe").after(["a3", "a1", "b3", "b1", "c3"])
    assert row.terminal and row.returns == (1.0, -1.0)
    passed = game("go").after(["e5", "pass", "pass"])
    assert passed.terminal and passed.returns == (1.0, -1.0)
    assert game("go").after(["pass", "pass"]).returns == (-1.0, 1.0), "white has the komi"


@given(st.data(), names)
@settings(max_examples=40, deadline=None)
def test_applying_a_move_leaves_the_state_as_it_was(data: st.DataObject, name: Name) -> None:
    moves = data.draw(lines_of_play(name))
    state = game(name).after(moves)
    before = (str(state), state.legal)
    if state.legal:
        after = state.apply(data.draw(st.sampled_from(state.legal)))
        assert str(after) != before[0]
    assert (str(state), state.spiel.history()[len(moves) :]) == (before[0], [])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_fifteen_game_is_tic_tac_toe(data: st.DataObject) -> None:
    moves = data.draw(lines_of_play(Name.FIFTEEN))
    fifteen = game("fifteen").after(moves)
    cells = [notation.text(Name.TIC_TAC_TOE, CELL_OF[int(move)]) for move in moves]
    twin = game("tic-tac-toe").after(cells)
    assert fifteen.returns == twin.returns
    codes = {notation.code(Name.TIC_TAC_TOE, cell) for cell in twin.legal}
    assert {CELL_OF[int(number)] for number in fifteen.legal} == codes
    for player in range(2):
        mine = [int(move) for move in moves[player::2]]
        sums = any(
            a + b + c == 15
            for i, a in enumerate(mine)
            for j, b in enumerate(mine[:i])
            for c in mine[:j]
        )
        assert sums == (fifteen.returns[player] == 1.0)


def test_the_square_is_magic() -> None:
    square = NUMBER_OF.reshape(3, 3)
    sums = [*square.sum(0), *square.sum(1), np.trace(square), np.trace(square[::-1])]
    assert set(sums) == {15}


@given(st.data(), names)
@settings(max_examples=40, deadline=None)
def test_numbers_of_moves_come_back_as_text(data: st.DataObject, name: Name) -> None:
    state = game(name).after(data.draw(lines_of_play(name)))
    for move in state.legal:
        assert notation.text(name, notation.code(name, move)) == move


def test_illegal_moves_are_named_with_their_place() -> None:
    with pytest.raises(MoveError, match=r"move 3: e4e6 is not legal in .*: 30 moves are legal"):
        game("chess").after(["e2e4", "e7e6", "e4e6"])
    with pytest.raises(MoveError, match=r"move 1: 'Nf3' is no move of chess; give from-square"):
        game("chess").after(["Nf3"])
    with pytest.raises(MoveError, match="there is no column i"):
        game("go").after(["i5"])
    with pytest.raises(MoveError, match="e5 is not legal"):
        game("go").after(["e5", "e5"])
    with pytest.raises(MoveError, match="the game is over"):
        game("tic-tac-toe").after(["a3", "a1", "b3", "b1", "c3", "c1"])


@pytest.mark.parametrize(
    ("fen", "complaint"),
    [
        ("", "is no FEN"),
        ("hello", "is no FEN: expected 8 rows"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBN2x w KQkq - 0 1", "is no FEN"),
        ("8/8/8/8/8/8/8/8 w - - 0 1", "no white king"),
        ("k7/8/8/8/8/8/8/R3K3 w - - 0 1", "opposite check"),
        ("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQ1BNR w KQkq - 0 1", "no white king"),
        ("Pk6/8/8/8/8/8/8/K7 w - - 0 1", "pawns on backrank"),
    ],
)
def test_impossible_positions_say_what_is_wrong(fen: str, complaint: str) -> None:
    with pytest.raises(PositionError, match=complaint):
        game("chess").position(fen)


def test_only_chess_has_a_fen() -> None:
    assert game("chess").position(START).legal == game("chess").initial().legal
    with pytest.raises(PositionError, match="go has no FEN"):
        game("go").position(START)


@pytest.mark.parametrize("library", [extra.chess, extra.pyspiel, extra.minimax])
def test_a_missing_library_names_the_extra(
    library: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, *rest: object) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ExtraError, match=r"pip install 'pytest-mesa\[games\]'"):
        library()  # type: ignore[operator]


def test_the_room_imports_without_the_extra_and_without_torch() -> None:
    modules = "archive chess_text making prompts rules search sets tokens variants"
    code = "\n".join(
        [
            "import sys",
            "for name in ('chess', 'pyspiel', 'open_spiel', 'torch'): sys.modules[name] = None",
            *(f"import pytest_mesa.tasks.games.{module}" for module in modules.split()),
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)
