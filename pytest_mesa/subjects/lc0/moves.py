"""lc0's 1858 moves: which index a move has, seen from the side that moves.

A move goes from square to square on a board where the mover sits at the bottom, so Black's are
mirrored. Castling is the king taking its own rook. A pawn that reaches the last rank becomes a
knight where no piece is named: the other three promotions have indices of their own.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.symmetry import IDENTITY, Symmetry

if TYPE_CHECKING:
    import chess

FILES = "abcdefgh"
_SQUARES = tuple(f"{file}{rank}" for rank in range(1, 9) for file in FILES)
_PIECES = "qrb"  # the promotions that are named, in the order of their indices
_COMPASS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))  # from north
_KNIGHT = ((1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1), (-2, 1), (-1, 2))

Vector = tuple[int, int, str]  # files and ranks that a move crosses, and its promotion


def reachable(first: int, last: int) -> bool:
    """Whether a queen or a knight moves there on an empty board."""
    files, ranks = abs(first % 8 - last % 8), abs(first // 8 - last // 8)
    straight = files == 0 or ranks == 0 or files == ranks
    return first != last and (straight or {files, ranks} == {1, 2})


def _all_moves() -> tuple[str, ...]:
    plain = [
        _SQUARES[first] + _SQUARES[last]
        for first in range(64)
        for last in range(64)
        if reachable(first, last)
    ]
    named = [
        f"{FILES[first]}7{FILES[last]}8{piece}"
        for first in range(8)
        for last in range(max(first - 1, 0), min(first + 2, 8))
        for piece in _PIECES
    ]
    return (*plain, *named)


MOVES = _all_moves()
INDICES = MappingProxyType({move: index for index, move in enumerate(MOVES)})


def _ends(move: str) -> tuple[int, int]:
    return (
        FILES.index(move[0]) + 8 * (int(move[1]) - 1),
        FILES.index(move[2]) + 8 * (int(move[3]) - 1),
    )


def _attention_slot(move: str) -> int:
    """Where the attention policy has a move: 64 × 64 pairs of squares, then promotions."""
    first, last = _ends(move)
    if len(move) == 4:
        return 64 * first + last
    return 64 * 64 + 24 * (first % 8) + 3 * (last % 8) + _PIECES.index(move[4])


def _planes() -> dict[Vector, int]:
    """The convolutional policy's planes: queen moves, knight moves, named promotions."""
    vectors: list[Vector] = [
        (far * files, far * ranks, "") for files, ranks in _COMPASS for far in range(1, 8)
    ]
    vectors += [(files, ranks, "") for files, ranks in _KNIGHT]
    vectors += [(files, 1, piece) for files in (-1, 0, 1) for piece in "rbq"]
    return {vector: plane for plane, vector in enumerate(vectors)}


def _convolution_slots() -> tuple[int, ...]:
    planes = _planes()
    slots = []
    for move in MOVES:
        first, last = _ends(move)
        vector = (last % 8 - first % 8, last // 8 - first // 8, move[4:])
        slots.append(64 * planes[vector] + first)
    return tuple(slots)


ATTENTION_SLOTS = tuple(_attention_slot(move) for move in MOVES)
CONVOLUTION_SLOTS = _convolution_slots()
CONVOLUTION_PLANES = len(_planes())


def square_index(square: int, turn: bool, symmetry: Symmetry = IDENTITY) -> int:
    """Where a net has a square of the board (0 = a1 … 63 = h8) when ``turn`` is to move."""
    return symmetry.square(square if turn else square ^ 56)


def board_square(index: int, turn: bool, symmetry: Symmetry = IDENTITY) -> int:
    """The square of the board behind a net's square: the inverse of `square_index`."""
    square = symmetry.inverse.square(index)
    return square if turn else square ^ 56


def move_index(board: chess.Board, move: chess.Move, symmetry: Symmetry = IDENTITY) -> int:
    """The index of a move of the side to move.

    Raises:
        SubjectError: no piece moves like that.
    """
    import chess

    last = move.to_square
    if board.is_castling(move):
        last = move.from_square | 7 if last > move.from_square else move.from_square & ~7
    piece = None if move.promotion == chess.KNIGHT else move.promotion
    name = (
        _SQUARES[square_index(move.from_square, board.turn, symmetry)]
        + _SQUARES[square_index(last, board.turn, symmetry)]
        + ("" if piece is None else chess.piece_symbol(piece))
    )
    if name not in INDICES:
        raise SubjectError(f"{move.uci()} is no move of a chess piece")
    return INDICES[name]


def index_move(board: chess.Board, index: int, symmetry: Symmetry = IDENTITY) -> chess.Move:
    """The move behind an index, in the notation of the board; it need not be legal.

    Raises:
        SubjectError: no such index.
    """
    import chess

    if not 0 <= index < len(MOVES):
        raise SubjectError(f"move index {index} is outside 0..{len(MOVES) - 1}")
    name = MOVES[index]
    first, last = (board_square(end, board.turn, symmetry) for end in _ends(name))
    own = board.occupied_co[board.turn] & (1 << first)
    promotion: int | None = None
    if len(name) == 5:
        promotion = chess.Piece.from_symbol(name[4]).piece_type
    elif own & board.pawns and last // 8 in (0, 7):
        promotion = chess.KNIGHT
    elif own & board.kings and board.clean_castling_rights() & (1 << last):
        last = first + 2 if last > first else first - 2
    return chess.Move(first, last, promotion)


def legal_indices(board: chess.Board, symmetry: Symmetry = IDENTITY) -> dict[chess.Move, int]:
    """Every legal move with its index."""
    return {move: move_index(board, move, symmetry) for move in board.legal_moves}
