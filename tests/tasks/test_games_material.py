"""The plain search sees what a search of its depth must, within its nodes; matches are called."""

from __future__ import annotations

from collections.abc import Sequence

import chess
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.matches import Game, Rules, openings, play
from pytest_mesa.tasks.games.material import MATE, MaterialSearch, material

RULES = Rules(plies=60, ahead=500, held=4, won=200)


def search(nodes: int, seed: int = 0) -> MaterialSearch:
    return MaterialSearch(nodes, np.random.default_rng(seed))


def walked(seed: int, plies: int) -> chess.Board:
    """A position of a random game that is not over."""
    rng, board = np.random.default_rng(seed), chess.Board()
    for _ in range(plies):
        moves = list(board.legal_moves)
        board.push(moves[rng.integers(len(moves))])
        if board.is_game_over():
            board.pop()
            break
    return board


def plain(board: chess.Board, depth: int) -> int:
    """Material by full enumeration, the last plies' captures followed, without any cut.

    A stalemate is seen where all moves are looked at; among captures it is as quiet as any.
    """
    if board.is_checkmate():
        return -MATE
    moves = list(board.legal_moves)
    if not moves:
        return 0 if depth > 0 else material(board)
    worths = [] if depth > 0 or board.is_check() else [material(board)]
    if depth <= 0 and not board.is_check():
        moves = list(board.generate_legal_captures())
    for move in moves:
        board.push(move)
        worths.append(-plain(board, depth - 1))
        board.pop()
    return max(worths)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(120, 200))
@example(2081, 139)  # a stalemate among captures
def test_cuts_change_no_value(seed: int, plies: int) -> None:
    board = walked(seed, plies)
    if len(board.piece_map()) > 14:
        return
    wide = search(10**7)
    wide._left = 10**7
    board.clear_stack()
    found = wide._worth(board, 1, -MATE, MATE)
    assert found == pytest.approx(plain(board, 1), abs=40)  # mates are told apart by depth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(2, 200))
def test_a_budget_is_kept_and_the_board_too(seed: int, plies: int, nodes: int) -> None:
    board = walked(seed, plies)
    before, made = board.fen(), 0
    push = chess.Board.push

    class Counted(chess.Board):
        def push(self, move: chess.Move) -> None:
            nonlocal made
            made += 1
            push(self, move)

    counted = Counted(board.fen())
    move = search(nodes).best(counted)
    assert move in board.legal_moves
    assert made <= nodes
    assert counted.fen() == before


@pytest.mark.parametrize(
    ("fen", "best"),
    [
        ("6k1/5ppp/8/8/8/8/8/R3K3 w Q - 0 1", "a1a8"),  # mate in one
        ("k7/8/8/3q4/4P3/8/8/K7 w - - 0 1", "e4d5"),  # a queen for nothing
        ("3q3k/8/8/8/3r4/8/3Q4/3R3K w - - 0 1", "d2d4"),  # a rook, though the queen falls for hers
    ],
)
def test_it_finds_what_a_few_plies_show(fen: str, best: str) -> None:
    assert search(2000).best(chess.Board(fen)).uci() == best


def test_a_defended_pawn_is_left_alone() -> None:
    board = chess.Board("k7/8/2p5/3p4/8/8/3Q4/K7 w - - 0 1")
    assert search(500).best(board).uci() != "d2d5"


def test_no_move_is_found_where_the_game_is_over() -> None:
    with pytest.raises(ValueError, match="no legal move"):
        search(10).best(chess.Board("k7/1Q6/1K6/8/8/8/8/8 b - - 0 1"))


def test_more_nodes_play_better() -> None:
    many, few = search(400, 1), search(12, 2)
    found = play(
        lambda boards: [many.best(b) for b in boards],
        lambda boards: [few.best(b) for b in boards],
        openings(6, 50, 1),
        RULES,
    )
    assert float(np.mean(found.scores)) > 0.6


def test_material_is_the_movers_lead() -> None:
    board = chess.Board("k7/8/8/8/8/8/8/KQ6 w - - 0 1")
    assert material(board) == 900
    board.turn = chess.BLACK
    assert material(board) == -900


def test_openings_are_even_and_distinct_and_follow_the_seed() -> None:
    one = openings(30, 50, 3)
    assert len({board.fen() for board in one}) == 30
    assert [b.fen() for b in one] == [b.fen() for b in openings(30, 50, 3)]
    assert [b.fen() for b in one] != [b.fen() for b in openings(30, 50, 4)]
    judged = {p.fen: p for p in sets.unfiltered()}
    for board in one:
        position = judged[board.fen()]
        assert abs(position.scores[position.best]) <= 50


def ended(fen: str, moves: Sequence[str], first: bool, rules: Rules = RULES) -> Game:
    game = Game(chess.Board(fen), first, rules)
    for move in moves:
        assert game.result is None
        game.push(chess.Move.from_uci(move))
    return game


MATED = "6k1/5ppp/8/8/8/8/8/R3K3 w Q - 0 1"
EVEN = "r3k3/p7/8/8/8/8/P7/R3K3 w - - 0 1"
ROOK_UP = "4k3/p7/8/8/8/8/P7/R3K3 w - - 0 1"
WAIT = ["a1b1", "e8d8", "b1a1", "d8e8"]


@pytest.mark.parametrize(("first", "result"), [(True, 1.0), (False, 0.0)])
def test_a_mate_goes_to_whoever_gave_it(first: bool, result: float) -> None:
    game = ended(MATED, ["a1a8"], first)
    assert (game.result, game.ended) == (result, "mate")


@pytest.mark.parametrize(("first", "result"), [(True, 1.0), (False, 0.0)])
def test_a_lead_that_is_held_wins(first: bool, result: float) -> None:
    game = ended(ROOK_UP, WAIT, first)
    assert (game.result, game.ended) == (result, "far ahead")


def test_a_lead_that_is_lost_again_counts_anew() -> None:
    game = ended("4k3/p7/8/8/8/8/P7/R3K2r b - - 0 1", ["h1h2"], True)
    assert game._led == 0
    game = ended(ROOK_UP, WAIT[:3], True)
    assert game._led == 3


@pytest.mark.parametrize(
    ("fen", "result"), [(EVEN, 0.5), (ROOK_UP, 1.0), ("4k3/p7/8/8/8/8/PP6/4K3 w - - 0 1", 0.5)]
)
def test_at_the_end_two_pawns_decide(fen: str, result: float) -> None:
    moves = ["a1b1"] if "R" in fen else ["e1d1"]
    game = ended(fen, moves, True, Rules(1, 10_000, 4, 200))
    assert (game.result, game.ended) == (result, "called")


def test_a_repeated_position_is_drawn() -> None:
    rules = Rules(60, 10_000, 4, 200)
    game = ended(
        EVEN, ["e1f1", "e8f8", "f1e1", "f8e8", "e1f1", "e8f8", "f1e1", "f8e8"], True, rules
    )
    assert (game.result, game.ended) == (0.5, "drawn by rule")


def test_a_pair_of_like_players_shares_the_points() -> None:
    def first_by_name(boards: Sequence[chess.Board]) -> list[chess.Move]:
        return [min(board.legal_moves, key=lambda move: move.uci()) for board in boards]

    found = play(first_by_name, first_by_name, openings(8, 50, 5), RULES)
    assert found.scores == (0.5,) * 8
    assert sum(found.ended.values()) == 16
