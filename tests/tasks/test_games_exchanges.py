"""Winnable pieces are those that a two-ply search says can be won, and nothing else."""

from __future__ import annotations

from itertools import islice

import chess
import pytest

from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.exchanges import PIECES, WORTH, marked, positions


def gain(board: chess.Board, square: int) -> int:
    """By plain enumeration of both plies."""
    best = -(10**6)
    for move in list(board.legal_moves):
        if move.to_square != square or not board.is_capture(move) or board.is_en_passant(move):
            continue
        taken = worth(board, move)
        board.push(move)
        replies = [worth(board, each) for each in board.legal_moves if board.is_capture(each)]
        board.pop()
        best = max(best, taken - max(replies, default=0))
    return best


def worth(board: chess.Board, move: chess.Move) -> int:
    piece = board.piece_type_at(move.to_square) or chess.PAWN
    return WORTH[piece] + (WORTH[move.promotion] - 1 if move.promotion else 0)


def names(fen: str) -> dict[str, bool]:
    found = marked(chess.Board(fen))
    return dict(zip(map(chess.square_name, found.squares), found.winnable, strict=True))


def test_a_hanging_piece_is_winnable_and_a_defended_one_is_not() -> None:
    assert names("4k3/8/8/3n4/8/8/8/3RK3 w - - 0 1") == {"d5": True}
    assert names("4k3/8/4p3/3n4/8/8/8/3RK3 w - - 0 1") == {"d5": False}


def test_a_defended_piece_is_winnable_by_a_cheaper_one() -> None:
    assert names("4k3/8/4p3/3r4/2P5/8/8/4K3 w - - 0 1") == {"d5": True}


def test_a_pinned_defender_defends_nothing() -> None:
    assert names("3k4/8/3b4/2n5/8/8/8/2RRK3 w - - 0 1")["c5"]
    assert not names("4k3/8/3b4/2n5/8/8/8/2RRK3 w - - 0 1")["c5"]


@pytest.mark.parametrize("phase", sorted(PIECES))
def test_marks_are_what_enumeration_finds(phase: str) -> None:
    low, high = PIECES[phase]
    found = list(islice(positions(phase, 3), 24))
    assert len({each.fen for each in found}) == len(found)
    for number, each in enumerate(found):
        board = chess.Board(each.fen)
        assert low <= len(board.piece_map()) <= high
        assert any(each.winnable) == (number % 2 == 0)
        for square, kind, winnable in zip(each.squares, each.kinds, each.winnable, strict=True):
            assert board.piece_type_at(square) == kind
            assert board.color_at(square) is (not board.turn)
            assert winnable == (gain(board, square) > 0)


def test_a_seed_gives_the_same_positions_and_another_gives_others() -> None:
    first, again, other = (list(islice(positions("early", seed), 6)) for seed in (1, 1, 2))
    assert first == again != other


def test_an_unknown_phase_is_told() -> None:
    with pytest.raises(GamesError, match="no phase is called 'middle'; there are early"):
        next(positions("middle", 0))
