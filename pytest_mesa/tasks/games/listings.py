"""Chess positions listed in words, square by square, and read back.

A listing tells all of a FEN but the move's number, always in the same number of words, and each
square in a word of its own. It tells the board twice: a net that reads from left to right knows
the whole board only the second time around, at the squares of the second telling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from pytest_mesa.tasks.games.errors import GamesError

PIECES = "PNBRQKpnbrqk"
EMPTY = "1"  # in a board of 64 characters, as in a FEN whose runs of empty squares are unrolled
TELLINGS = 2
SIDES: Final = MappingProxyType({"w": "White", "b": "Black"})
_CASTLING = "KQkq"
_NONE = "-"
_DIGITS = 3  # of the clock: a game may go on beyond 99 half-moves
# How moves are written: without them small models write anything but a move.
EXAMPLES = ("e2e4", "g8f6", "e1g1", "a7a8q")
_UCI = re.compile(r"\s*([a-h][1-8][a-h][1-8][nbrq]?)(?![a-z0-9])")


class ListingError(GamesError):
    """A text that is no whole listing, or a position that can't be listed."""


@dataclass(frozen=True)
class Listing:
    """One way to list a position.

    ``row`` has ``{rank}`` and ``{squares}``; ``closing`` may have ``{side}``. Ranks go up from
    the first where ``upwards``. ``empty`` is the word for an empty square.
    """

    name: str
    opening: str
    row: str
    upwards: bool
    empty: str
    footer: str
    again: str
    closing: str

    @property
    def ranks(self) -> Sequence[int]:
        """The ranks (1 to 8) in the order in which they are told."""
        return range(1, 9) if self.upwards else range(8, 0, -1)

    @property
    def order(self) -> tuple[int, ...]:
        """The squares (0 = a1 … 63 = h8) in the order in which a telling has them."""
        return tuple(8 * (rank - 1) + file for rank in self.ranks for file in range(8))

    def prompt(self, fen: str) -> str:
        """The position up to where the move stands.

        Raises:
            ListingError: not a FEN of standard chess, or a clock beyond 999 half-moves.
        """
        board, side, castling, passant, clock = _fields(fen)
        told = self._told(board)
        rights = " ".join(right if right in castling else _NONE for right in _CASTLING)
        state = (
            f"{SIDES[side]} to move. Castling: {rights}. En passant: {passant[0]}. "
            f"Half-moves since a capture or a pawn's move: {' '.join(clock)}.\n"
        )
        closing = self.closing.format(side=SIDES[side])
        return self.opening + told + state + self.again + told + closing

    def read(self, text: str) -> tuple[str, str]:
        """The position that a text lists, as a FEN, and what is written behind it.

        Raises:
            ListingError: it is no whole listing of this kind, or its tellings differ.
        """
        found = self._pattern.match(text)
        if found is None:
            raise ListingError(
                f"the text is no whole listing of the kind {self.name!r}: "
                "a square or a word of it is missing or changed"
            )
        first, second = (self._board(found[name]) for name in ("first", "second"))
        if first != second:
            raise ListingError(
                f"the listing of the kind {self.name!r} contradicts itself: its two tellings "
                "are of different boards"
            )
        side = next(key for key, name in SIDES.items() if name == found["side"])
        castling = "".join(r for r in found["castling"].split() if r != _NONE) or _NONE
        passant = found["passant"]
        if passant != _NONE:
            passant += "6" if side == "w" else "3"
        clock = int(found["clock"].replace(" ", ""))
        placed = _rolled(first)
        return f"{placed} {side} {castling} {passant} {clock} 1", text[found.end() :]

    def _told(self, board: str) -> str:
        rows = (
            self.row.format(rank=rank, squares="".join(f" {self.word(c)}" for c in squares))
            for rank, squares in ((rank, board[8 * rank - 8 : 8 * rank]) for rank in self.ranks)
        )
        return "".join(rows) + self.footer

    def word(self, content: str) -> str:
        """What a square's content is called: a piece's letter, or the word for `EMPTY`."""
        return self.empty if content == EMPTY else content

    def _board(self, told: str) -> str:
        """The board behind one telling that has matched the pattern."""
        words = re.findall(rf" ([{PIECES}{re.escape(self.empty)}])(?= |\n)", told)
        contents = [EMPTY if word == self.empty else word for word in words[:64]]
        return "".join(content for _, content in sorted(zip(self.order, contents, strict=True)))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        square = f"[{PIECES}{re.escape(self.empty)}]"
        rows = "".join(
            re.escape(self.row.format(rank=rank, squares="@")).replace("@", f"(?: {square}){{8}}")
            for rank in self.ranks
        )
        told = rows + re.escape(self.footer)
        side = "|".join(SIDES.values())
        state = (
            rf"(?P<side>{side}) to move\. Castling: (?P<castling>[K-] [Q-] [k-] [q-])\. "
            rf"En passant: (?P<passant>[a-h-])\. "
            rf"Half-moves since a capture or a pawn's move: (?P<clock>\d(?: \d){{{_DIGITS - 1}}})"
            r"\.\n"
        )
        closing = re.escape(self.closing.format(side="@")).replace("@", "(?P=side)")
        return re.compile(
            f"{re.escape(self.opening)}(?P<first>{told}){state}{re.escape(self.again)}"
            f"(?P<second>{told}){closing}"
        )


LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {
        each.name: each
        for each in (
            Listing(
                name="diagram",
                opening=(
                    "A position of chess. White's pieces are capitals, Black's are small letters, "
                    "and a dot is an empty square.\n"
                ),
                row="{rank}{squares}\n",
                upwards=False,
                empty=".",
                footer="  a b c d e f g h\n",
                again="The same position once more:\n",
                closing=(
                    "".join(f"Best move of another position: {move}\n" for move in EXAMPLES)
                    + "Best move of this position, for {side}:"
                ),
            ),
            Listing(
                name="ranks",
                opening=(
                    "Chess, rank by rank from White's side and from file a to file h "
                    "(capitals: White, small letters: Black, x: empty)\n"
                ),
                row="rank {rank}:{squares} ;\n",
                upwards=True,
                empty="x",
                footer="",
                again="Again:\n",
                closing=(
                    "An engine, for four other positions:\n"
                    + "".join(f"bestmove {move}\n" for move in EXAMPLES)
                    + "The engine, for this position ({side} to move):\nbestmove"
                ),
            ),
        )
    }
)


def read(text: str) -> tuple[Listing, str, str]:
    """The kind of a listing, its position as a FEN, and what is written behind it.

    Raises:
        ListingError: the text begins as no listing does, or is no whole one.
    """
    for listing in LISTINGS.values():
        if text.startswith(listing.opening):
            return (listing, *listing.read(text))
    raise ListingError("the text begins as no listing of a chess position does")


def move_in(text: str) -> str | None:
    """The move, in UCI notation, that a text begins with; None where it begins with none."""
    found = _UCI.match(text.lower())
    return found[1] if found else None


def unrolled(placed: str) -> str:
    """A FEN's first field as 64 characters from a1 to h8, `EMPTY` where nothing stands."""
    ranks = re.sub(r"[2-8]", lambda run: EMPTY * int(run[0]), placed).split("/")
    return "".join(reversed(ranks))


def _rolled(board: str) -> str:
    ranks = (board[start : start + 8] for start in range(56, -1, -8))
    return re.sub(f"{EMPTY}+", lambda run: str(len(run[0])), "/".join(ranks))


def _fields(fen: str) -> tuple[str, str, str, str, str]:
    """Board, side, castling, en passant square and clock of a FEN, checked."""
    fields = fen.split()
    if len(fields) != 6:
        raise ListingError(f"{fen!r} has not the six fields of a FEN")
    board, clock = unrolled(fields[0]), fields[4].zfill(_DIGITS)
    right = (
        re.fullmatch(rf"[{PIECES}{EMPTY}]{{64}}", board)
        and fields[1] in SIDES
        and re.fullmatch(rf"{_NONE}|K?Q?k?q?", fields[2])
        and re.fullmatch(rf"{_NONE}|[a-h][36]", fields[3])
        and re.fullmatch(rf"\d{{{_DIGITS}}}", clock)
    )
    if not right:
        raise ListingError(f"{fen!r} is no position of standard chess that can be listed")
    return board, fields[1], fields[2], fields[3], clock
