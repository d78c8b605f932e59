"""Chess moves in SAN, and boards mirrored, through python-chess."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pytest_mesa.tasks.games import extra
from pytest_mesa.tasks.games.errors import MoveError
from pytest_mesa.tasks.games.rules import checked_fen

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


def board(moves: Sequence[str] = (), start: str = START) -> Any:
    """A python-chess board after moves in UCI notation.

    Raises:
        MoveError: a move that isn't legal; the message says which.
        PositionError: ``start`` is no FEN or an impossible position.
    """
    return _told(tuple(moves), start)[0].copy()


def san(moves: Sequence[str], start: str = START) -> list[str]:
    """Moves in standard algebraic notation.

    Raises:
        MoveError: a move that isn't legal.
        PositionError: ``start`` is no FEN or an impossible position.
    """
    return list(_told(tuple(moves), start)[1])


def san_of(moves: Sequence[str], move: str, start: str = START) -> str:
    """One more move in standard algebraic notation.

    Raises:
        MoveError: a move that isn't legal.
        PositionError: ``start`` is no FEN or an impossible position.
    """
    before, _ = _told(tuple(moves), start)
    try:
        return str(before.san(before.parse_uci(move)))
    except ValueError as error:
        raise MoveError(f"move {len(moves) + 1}: {error}") from error


# Whoever asks about each legal move of a position replays the same game each time.
@lru_cache(maxsize=64)
def _told(moves: tuple[str, ...], start: str) -> tuple[Any, tuple[str, ...]]:
    """The board after moves, and what they are in SAN; the board is not to be changed."""
    made = extra.chess().Board(checked_fen(start))
    texts = []
    for ply, move in enumerate(moves):
        try:
            texts.append(str(made.san_and_push(made.parse_uci(move))))
        except ValueError as error:
            raise MoveError(f"move {ply + 1}: {error}") from error
    return made, tuple(texts)


def uci(text: str, position: Any) -> str | None:
    """The legal move that a text in SAN means on a python-chess board; None where it is none.

    As readers of PGN do, checks, mates and marks of judgement may be missing or wrong.
    """
    try:
        return str(position.parse_san(text.rstrip("+#!?")).uci())
    except ValueError:
        return None


def mirrored(moves: Sequence[str]) -> list[str]:
    """Moves with the board upside down: what the colours swapped would play."""
    flip = str.maketrans("12345678", "87654321")
    return [move.translate(flip) for move in moves]


def mirrored_fen(fen: str) -> str:
    """The position with colours swapped and the board upside down.

    Raises:
        PositionError: no FEN, or an impossible position.
    """
    return str(board((), fen).mirror().fen())
