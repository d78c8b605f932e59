"""Moves as text and as the numbers of an `archive`.

Text is what the rules speak: UCI for chess (``e2e4``, ``a7a8q``), points for Go (``c3``,
``pass``; the column letters leave out i), cells for tic-tac-toe (``a3`` is the top left),
numbers for the fifteen game.
"""

from __future__ import annotations

import re
from enum import StrEnum

from pytest_mesa.tasks.games.errors import MoveError
from pytest_mesa.tasks.games.fifteen import CELL_OF, NUMBER_OF

FILES = "abcdefgh"
GO_COLUMNS = "abcdefghj"
PIECES = " nbrq"
PASS = "pass"
PASS_CODE = 81


class Name(StrEnum):
    """The four games."""

    CHESS = "chess"
    GO = "go"
    TIC_TAC_TOE = "tic-tac-toe"
    FIFTEEN = "fifteen"


PATTERNS = {
    Name.CHESS: re.compile(r"[a-h][1-8][a-h][1-8][nbrq]?"),
    Name.GO: re.compile(r"[a-hj][1-9]|pass"),
    Name.TIC_TAC_TOE: re.compile(r"[abc][123]"),
    Name.FIFTEEN: re.compile(r"[1-9]"),
}


def code(game: Name, move: str) -> int:
    """A move's number in an archive.

    Raises:
        MoveError: the text is no move of that game, whatever the position.
    """
    if not PATTERNS[game].fullmatch(move):
        raise MoveError(f"{move!r} is no move of {game}; {_wanted(game)}")
    if game is Name.CHESS:
        promotion = PIECES.index(move[4]) if len(move) > 4 else 0
        return square(move[:2]) + 64 * square(move[2:4]) + 4096 * promotion
    if game is Name.GO:
        if move == PASS:
            return PASS_CODE
        return 9 * (int(move[1]) - 1) + GO_COLUMNS.index(move[0])
    if game is Name.FIFTEEN:
        return CELL_OF[int(move)]
    return 3 * (3 - int(move[1])) + "abc".index(move[0])


def text(game: Name, number: int) -> str:
    """The text of an archive's number: the inverse of `code`."""
    if game is Name.CHESS:
        promotion = PIECES[number // 4096].strip()
        return square_name(number % 64) + square_name(number // 64 % 64) + promotion
    if game is Name.GO:
        return PASS if number == PASS_CODE else f"{GO_COLUMNS[number % 9]}{number // 9 + 1}"
    if game is Name.FIFTEEN:
        return str(NUMBER_OF[number])
    return f"{'abc'[number % 3]}{3 - number // 3}"


def square(name: str) -> int:
    """A chess square's number: a1 is 0, b1 is 1, h8 is 63."""
    return FILES.index(name[0]) + 8 * (int(name[1]) - 1)


def square_name(number: int) -> str:
    """A chess square's name."""
    return f"{FILES[number % 8]}{number // 8 + 1}"


def _wanted(game: Name) -> str:
    return {
        Name.CHESS: "give from-square, to-square and promotion as in e2e4 or a7a8q",
        Name.GO: "give a point of the 9×9 board as in c3 (there is no column i), or pass",
        Name.TIC_TAC_TOE: "give a cell from a1 to c3",
        Name.FIFTEEN: "give a number from 1 to 9",
    }[game]
