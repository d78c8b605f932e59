"""Chess moves in SAN, and boards mirrored, through python-chess."""

from __future__ import annotations

from collections.abc import Sequence
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
    made = extra.chess().Board(checked_fen(start))
    for ply, move in enumerate(moves):
        try:
            made.push(made.parse_uci(move))
        except ValueError as error:
            raise MoveError(f"move {ply + 1}: {error}") from error
    return made


def san(moves: Sequence[str], start: str = START) -> list[str]:
    """Moves in standard algebraic notation.

    Raises:
        MoveError: a move that isn't legal.
        PositionError: ``start`` is no FEN or an impossible position.
    """
    made = board((), start)
    texts = []
    for ply, move in enumerate(moves):
        try:
            parsed = made.parse_uci(move)
        except ValueError as error:
            raise MoveError(f"move {ply + 1}: {error}") from error
        texts.append(str(made.san_and_push(parsed)))
    return texts


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
