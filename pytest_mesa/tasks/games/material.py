"""A clean, cheap chess player: alpha-beta over material, deeper and deeper, up to so many nodes.

What every textbook has and nothing else: negamax with alpha-beta, captures first, captures
searched on until the position is quiet, and pieces counted. A node is a move made on the board,
so that a budget of nodes is the same work on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_mesa.tasks.games import extra

if TYPE_CHECKING:
    import chess
    import numpy as np

WORTH = (0, 100, 300, 300, 500, 900, 0)  # centipawns by python-chess's piece types
MATE = 100_000
DEEPEST = 32  # plies: only forced lines come near


class _Spent(Exception):  # noqa: N818  (it ends a search as planned)
    """The budget of nodes is used up."""


def material(board: chess.Board) -> int:
    """The lead of the side to move, in centipawns."""
    mine, theirs = board.occupied_co[board.turn], board.occupied_co[not board.turn]
    kinds = (board.pawns, board.knights, board.bishops, board.rooks, board.queens)
    return sum(
        worth * ((kind & mine).bit_count() - (kind & theirs).bit_count())
        for worth, kind in zip(WORTH[1:6], kinds, strict=True)
    )


@dataclass(eq=False)
class MaterialSearch:
    """Looks as deep as ``nodes`` moves made on the board allow; ties fall to ``rng``.

    Raises:
        ExtraError: python-chess isn't installed.
    """

    nodes: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        extra.chess()
        self._left = 0

    def best(self, board: chess.Board) -> chess.Move:
        """The move that it would play; the board is left as it was.

        Raises:
            ValueError: the game is over.
        """
        moves = list(board.legal_moves)
        if not moves:
            raise ValueError(f"{board.fen()} has no legal move")
        moves = [moves[index] for index in self.rng.permutation(len(moves))]
        moves.sort(key=lambda move: -_gain(board, move))
        self._left, plies = self.nodes, len(board.move_stack)
        for depth in range(1, DEEPEST):
            try:
                moves, decided = self._root(board, moves, depth)
            except _Spent:
                while len(board.move_stack) > plies:
                    board.pop()
                break
            if decided or len(moves) == 1:
                break
        return moves[0]

    def _root(
        self, board: chess.Board, moves: list[chess.Move], depth: int
    ) -> tuple[list[chess.Move], bool]:
        """All moves with the best one first, and whether it mates or is mated anyway."""
        top, best = -MATE - 1, moves[0]
        for move in moves:
            score = -self._after(board, move, depth, -MATE, -top)
            if score > top:
                top, best = score, move
        return [best, *(move for move in moves if move != best)], abs(top) > MATE - DEEPEST

    def _after(self, board: chess.Board, move: chess.Move, depth: int, low: int, high: int) -> int:
        if self._left <= 0:
            raise _Spent
        self._left -= 1
        board.push(move)
        score = self._worth(board, depth - 1, low, high)
        board.pop()
        return score

    def _worth(self, board: chess.Board, depth: int, low: int, high: int) -> int:
        """What a position is worth to the side to move; exact between ``low`` and ``high``."""
        if depth <= 0 and not board.is_check():
            return self._quiet(board, low, high)
        if board.halfmove_clock >= 8 and board.is_repetition(2):
            return 0
        moves = sorted(board.legal_moves, key=lambda move: -_gain(board, move))
        if not moves:
            # Sooner mates are better: the deeper the search still is, the sooner.
            return -MATE + DEEPEST - max(depth, 0) - 1 if board.is_check() else 0
        for move in moves:
            low = max(low, -self._after(board, move, depth, -high, -low))
            if low >= high:
                break
        return low

    def _quiet(self, board: chess.Board, low: int, high: int) -> int:
        """The same where only captures are made, and none has to be."""
        low = max(low, material(board))
        if low >= high:
            return low
        captures = sorted(board.generate_legal_captures(), key=lambda move: -_gain(board, move))
        for move in captures:
            low = max(low, -self._after(board, move, 0, -high, -low))
            if low >= high:
                break
        return low


def _gain(board: chess.Board, move: chess.Move) -> int:
    """What a move takes, and a little less for what it takes it with."""
    taken = board.piece_type_at(move.to_square)
    promoted = WORTH[move.promotion] if move.promotion else 0
    if taken is None:
        return promoted
    return promoted + 10 * WORTH[taken] - WORTH[board.piece_type_at(move.from_square) or 0] // 10
