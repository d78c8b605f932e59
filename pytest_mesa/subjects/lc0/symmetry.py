"""The symmetries of the board by which some nets see alike positions as one.

Formats with canonicalization turn a position without castling rights so that the mover's king
stands on files e to h; without pawns also on ranks 1 to 4, below or on the diagonal from h1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def _reverse_each_byte(board: int) -> int:
    """The bitboard with files reversed."""
    board = (board >> 1) & 0x5555555555555555 | (board & 0x5555555555555555) << 1
    board = (board >> 2) & 0x3333333333333333 | (board & 0x3333333333333333) << 2
    return (board >> 4) & 0x0F0F0F0F0F0F0F0F | (board & 0x0F0F0F0F0F0F0F0F) << 4


def flip_ranks(board: int) -> int:
    """The bitboard with ranks reversed: what the other side sees."""
    return int.from_bytes(board.to_bytes(8, "little"), "big")


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Files reversed, then ranks reversed, then the board mirrored at the diagonal h1–a8."""

    files: bool = False
    ranks: bool = False
    diagonal: bool = False

    @property
    def inverse(self) -> Symmetry:
        """What undoes this: the diagonal trades files for ranks."""
        if self.diagonal:
            return Symmetry(self.ranks, self.files, True)
        return self

    def square(self, square: int) -> int:
        """Where a square (0 = a1 … 63 = h8) goes."""
        file, rank = square % 8, square // 8
        if self.files:
            file = 7 - file
        if self.ranks:
            rank = 7 - rank
        if self.diagonal:
            file, rank = 7 - rank, 7 - file
        return file + 8 * rank

    def bitboard(self, board: int) -> int:
        """Where the squares of a bitboard go."""
        if self.files:
            board = _reverse_each_byte(board)
        if self.ranks:
            board = flip_ranks(board)
        return _mirrored(board) if self.diagonal else board


IDENTITY = Symmetry()
_DIAGONAL = Symmetry(diagonal=True)
_LEFT_HALF = 0x0F0F0F0F0F0F0F0F
_UPPER_HALF = 0xFFFFFFFF00000000
# Of the lower right quarter, for the king:
_ABOVE_DIAGONAL = 0xE0C08000
_ON_DIAGONAL = 0x10204080


def _mirrored(board: int) -> int:
    out = 0
    while board:
        lowest = board & -board
        out |= 1 << _DIAGONAL.square(lowest.bit_length() - 1)
        board ^= lowest
    return out


def canonical(king: int, pawns: int, castling: int, tie_breakers: Sequence[int]) -> Symmetry:
    """The symmetry that a position is turned by.

    Bitboards, as the side to move sees them: its king, all pawns, rooks that may castle, and
    the boards whose smaller value decides where the king is on the diagonal.
    """
    if castling:
        return IDENTITY
    files = bool(king & _LEFT_HALF)
    if pawns:
        return Symmetry(files)
    turned = Symmetry(files, bool(Symmetry(files).bitboard(king) & _UPPER_HALF))
    mirrored = Symmetry(turned.files, turned.ranks, True)
    corner = turned.bitboard(king)
    if corner & _ABOVE_DIAGONAL:
        return mirrored
    if corner & _ON_DIAGONAL:
        for board in tie_breakers:
            plain, other = turned.bitboard(board), mirrored.bitboard(board)
            if plain != other:
                return turned if plain < other else mirrored
    return turned
