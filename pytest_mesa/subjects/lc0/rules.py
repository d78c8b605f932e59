"""Boards of standard chess, checked. python-chess is GPL and so an extra, imported where used."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pytest_mesa.subjects.errors import SubjectError

if TYPE_CHECKING:
    import chess


def read_board(fen: str | None = None, moves: Iterable[str] = ()) -> chess.Board:
    """The board after moves (UCI) from a FEN, or from the start of a game.

    Raises:
        SubjectError: an illegal FEN or move, or python-chess is missing.
    """
    if find_spec("chess") is None:
        raise SubjectError("chess positions need python-chess: pip install 'pytest-mesa[games]'")
    import chess

    try:
        board = chess.Board(fen or chess.STARTING_FEN)
        check_board(board)
        for move in moves:
            board.push_uci(move)
    except SubjectError:
        raise
    except ValueError as error:
        raise SubjectError(f"no chess position: {error}") from error
    return board


def check_board(board: chess.Board) -> None:
    """Refuse what lc0's nets were never given: variants, and boards without two kings.

    Raises:
        SubjectError: with the board and what is wrong with it.
    """
    if board.uci_variant != "chess" or board.chess960:
        kind = "Chess960" if board.chess960 else board.uci_variant
        raise SubjectError(f"lc0 nets are read on boards of standard chess, not {kind}")
    for color, name in ((True, "White"), (False, "Black")):
        kings = board.kings & board.occupied_co[color]
        if kings.bit_count() != 1:
            raise SubjectError(f"{board.fen()}: {name} has {kings.bit_count()} kings")
