"""Move indices both ways, mirrored for Black, castling and promotions; squares by symmetry."""

from __future__ import annotations

import chess
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lc0_reference import wandered

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.moves import (
    ATTENTION_SLOTS,
    CONVOLUTION_PLANES,
    CONVOLUTION_SLOTS,
    INDICES,
    MOVES,
    board_square,
    index_move,
    legal_indices,
    move_index,
    square_index,
)
from pytest_mesa.subjects.lc0.symmetry import Symmetry

SYMMETRIES = st.builds(Symmetry, st.booleans(), st.booleans(), st.booleans())
CASTLING = "r3k2r/8/8/8/8/8/8/R3K2R"


def test_every_move_has_one_index() -> None:
    assert len(MOVES) == len(set(MOVES)) == 1858
    assert all(INDICES[move] == index for index, move in enumerate(MOVES))
    for slots, size in ((ATTENTION_SLOTS, 64 * 64 + 192), (CONVOLUTION_SLOTS, 73 * 64)):
        assert len(set(slots)) == 1858
        assert max(slots) < size
    assert CONVOLUTION_PLANES == 73


def test_legal_moves_come_back_from_their_indices() -> None:
    for board in wandered(count=18, plies=10, seed=7):
        indices = legal_indices(board)
        assert len(set(indices.values())) == len(indices)
        for move, index in indices.items():
            assert index_move(board, index) == move


@pytest.mark.parametrize(
    ("fen", "move", "name"),
    [
        (chess.STARTING_FEN, "e2e4", "e2e4"),
        ("rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1", "e7e5", "e2e4"),
        (f"{CASTLING} w KQkq - 0 1", "e1g1", "e1h1"),
        (f"{CASTLING} w KQkq - 0 1", "e1c1", "e1a1"),
        (f"{CASTLING} b KQkq - 0 1", "e8g8", "e1h1"),
        (f"{CASTLING} b KQkq - 0 1", "e8c8", "e1a1"),
        ("4k3/8/8/8/8/8/8/R3K1R1 w Q - 0 1", "e1e2", "e1e2"),
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7a8n", "a7a8"),
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7a8q", "a7a8q"),
        ("4k3/8/8/8/8/8/7p/4K1R1 b - - 0 1", "h2g1r", "h7g8r"),
        ("4k3/8/8/8/8/8/7p/4K1R1 b - - 0 1", "h2g1n", "h7g8"),
    ],
)
def test_moves_by_name(fen: str, move: str, name: str) -> None:
    board = chess.Board(fen)
    assert MOVES[move_index(board, chess.Move.from_uci(move))] == name
    assert index_move(board, INDICES[name]) == chess.Move.from_uci(move)


def test_a_rook_takes_the_castling_kings_place_only_with_the_right_to_castle() -> None:
    board = chess.Board(f"{CASTLING} w kq - 0 1")
    assert index_move(board, INDICES["e1h1"]) == chess.Move.from_uci("e1h1")


def test_what_no_piece_does_is_refused() -> None:
    with pytest.raises(SubjectError, match="a1b4 is no move of a chess piece"):
        move_index(chess.Board(), chess.Move.from_uci("a1b4"))
    with pytest.raises(SubjectError, match=r"move index 1858 is outside 0\.\.1857"):
        index_move(chess.Board(), 1858)


@given(st.integers(0, 63), st.booleans(), SYMMETRIES)
def test_squares_come_back(square: int, turn: bool, symmetry: Symmetry) -> None:
    index = square_index(square, turn, symmetry)
    assert board_square(index, turn, symmetry) == square
    assert symmetry.bitboard(1 << square) == 1 << symmetry.square(square)


def test_black_sees_the_board_from_its_own_side() -> None:
    assert square_index(chess.E8, False) == chess.E1
    assert square_index(chess.E8, True) == chess.E8


@given(st.integers(0, (1 << 64) - 1), SYMMETRIES)
def test_symmetries_of_bitboards_are_undone(board: int, symmetry: Symmetry) -> None:
    assert symmetry.inverse.bitboard(symmetry.bitboard(board)) == board
