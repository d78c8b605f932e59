"""Which pieces a two-ply search says can be won, square by square, in phases of real games.

A piece of the other side that the mover attacks is *winnable* where some capture of it gains
more than the best capture in reply takes back. Both kinds of squares are attacked, and they are
only ever compared with others that hold the same kind of piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_mesa.tasks.games import extra, notation
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.notation import Name

WORTH = {1: 1, 2: 3, 3: 3, 4: 5, 5: 9, 6: 1000}  # of a piece by its kind, in pawns
# Pieces on the board. Games of the archive end after 60 plies, so "late" is late for them.
PIECES = {"early": (24, 32), "late": (8, 20), "random": (18, 32)}
FIRST_PLY = 6  # earlier positions are the same few in most games
RANDOM_PLIES = 60


@dataclass(frozen=True, slots=True)
class Marked:
    """A position and the attacked pieces in it: squares (0 = a1), kinds (1 pawn … 5 queen)."""

    fen: str
    squares: tuple[int, ...]
    kinds: tuple[int, ...]
    winnable: tuple[bool, ...]


def marked(board: Any) -> Marked:
    """The attacked pieces that a legal capture can take, and what two plies of search say of them.

    Raises:
        ExtraError: python-chess is missing.
    """
    best: dict[int, int] = {}
    for move in board.generate_legal_captures():
        if board.is_en_passant(move):
            continue
        gain = WORTH[board.piece_type_at(move.to_square)] + _promotion(move)
        board.push(move)
        reply = max((_taken(board, each) for each in board.generate_legal_captures()), default=0)
        board.pop()
        best[move.to_square] = max(best.get(move.to_square, -reply), gain - reply)
    squares = sorted(best)
    return Marked(
        board.fen(),
        tuple(squares),
        tuple(board.piece_type_at(square) for square in squares),
        tuple(best[square] > 0 for square in squares),
    )


def _taken(board: Any, move: Any) -> int:
    kind = board.piece_type_at(move.to_square)
    return WORTH[kind or 1] + _promotion(move)  # nobody stands there: en passant


def _promotion(move: Any) -> int:
    return WORTH[move.promotion] - 1 if move.promotion else 0


def positions(phase: str, seed: int) -> Iterator[Marked]:
    """One position a game, in random order: every second one with something to win.

    A game gives the position of its phase that is drawn from those with a winnable piece, or
    from those without, in turn; games without such a position are passed over.

    Raises:
        GamesError: no such phase.
    """
    if phase not in PIECES:
        raise GamesError(f"no phase is called {phase!r}; there are {', '.join(PIECES)}")
    rng = np.random.default_rng([seed, sorted(PIECES).index(phase), 0x65786368])
    seen: set[str] = set()
    wanted = True
    for boards in (_random if phase == "random" else _played)(rng, PIECES[phase]):
        found = _drawn(boards, wanted, rng)
        if found is not None and (key := found.fen.split()[0]) not in seen:
            seen.add(key)
            wanted = not wanted
            yield found


def _drawn(boards: list[Any], wanted: bool, rng: np.random.Generator) -> Marked | None:
    for place in rng.permutation(len(boards)).tolist():
        found = marked(boards[place])
        if found.squares and any(found.winnable) == wanted:
            return found
    return None


def _played(rng: np.random.Generator, pieces: tuple[int, int]) -> Iterator[list[Any]]:
    """The positions of each game of the archive with so many pieces, in random order."""
    chess = extra.chess()
    games = list(frozen("chess"))
    for place in rng.permutation(len(games)).tolist():
        board, boards = chess.Board(), []
        for code in games[place].tolist():
            board.push(chess.Move.from_uci(notation.text(Name.CHESS, code)))
            if _belongs(board, pieces):
                boards.append(board.copy(stack=False))
        yield boards


def _random(rng: np.random.Generator, pieces: tuple[int, int]) -> Iterator[list[Any]]:
    """Positions that random legal moves lead to: no game reaches them."""
    chess = extra.chess()
    while True:
        board, boards = chess.Board(), []
        for _ in range(RANDOM_PLIES):
            moves = list(board.legal_moves)
            if not moves:
                break
            board.push(moves[rng.integers(len(moves))])
            if _belongs(board, pieces):
                boards.append(board.copy(stack=False))
        yield boards


def _belongs(board: Any, pieces: tuple[int, int]) -> bool:
    low, high = pieces
    return board.ply() >= FIRST_PLY and low <= int(board.occupied).bit_count() <= high
