"""The positions of a game as lc0 compares them, latest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import chess

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
NEVER_REPEATED = 4  # plies since a capture or pawn move below which nothing can have recurred


@dataclass(frozen=True, slots=True)
class Position:
    """One position. Two are the same where all but the clock is.

    ``pieces``: bitboards of White's pawns, knights, bishops, rooks, queens, king, then Black's.
    ``castling``: the rooks that may castle. ``en_passant``: the square behind a pawn that has
    just made a double step and that an enemy pawn stands ready to take, pinned or not.
    """

    pieces: tuple[int, ...]
    turn: bool
    castling: int
    en_passant: int | None
    clock: int

    @property
    def identity(self) -> tuple[tuple[int, ...], bool, int, int | None]:
        """What a repetition repeats."""
        return self.pieces, self.turn, self.castling, self.en_passant


def _position(board: chess.Board) -> Position:
    import chess

    kinds = (board.pawns, board.knights, board.bishops, board.rooks, board.queens, board.kings)
    own = [board.occupied_co[color] for color in (chess.WHITE, chess.BLACK)]
    behind = board.ep_square
    if behind is not None and board.move_stack:  # in a FEN it stands as given
        takers = chess.BB_PAWN_ATTACKS[not board.turn][behind]
        if not takers & board.pawns & board.occupied_co[board.turn]:
            behind = None
    return Position(
        pieces=tuple(kind & color for color in own for kind in kinds),
        turn=board.turn,
        castling=board.clean_castling_rights(),
        en_passant=behind,
        clock=board.halfmove_clock,
    )


def positions(board: chess.Board, wanted: int) -> list[Position]:
    """A game's positions, latest first: ``wanted`` and whatever they may repeat."""
    walk = board.copy()
    found = [_position(walk)]
    while walk.move_stack:
        if len(found) >= wanted and found[-1].clock == 0:
            break  # nothing before this can recur after it
        walk.pop()
        found.append(_position(walk))
    return found


def repeats(found: Sequence[Position], index: int) -> bool:
    """Whether the position at ``index`` has stood on the board before."""
    latest = found[index]
    if latest.clock < NEVER_REPEATED:
        return False
    for earlier in found[index + NEVER_REPEATED :: 2]:
        if earlier.identity == latest.identity:
            return True
        if earlier.clock < 2:
            break
    return False


def is_start(position: Position) -> bool:
    """Whether this is the position that games of chess start from."""
    return position.identity == _start().identity


@cache
def _start() -> Position:
    import chess

    return _position(chess.Board(START))
