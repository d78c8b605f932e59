"""One game under other names: colours swapped, squares renamed, or moves that no game has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from pytest_mesa.tasks.games import rules
from pytest_mesa.tasks.games.errors import GamesError
from pytest_mesa.tasks.games.notation import Name

COLUMNS = {
    Name.CHESS: "abcdefgh",
    Name.GO: "abcdefghj",
    Name.TIC_TAC_TOE: "abc",
    Name.FIFTEEN: "",
}
ROWS = {Name.CHESS: "12345678", Name.GO: "123456789", Name.TIC_TAC_TOE: "123", Name.FIFTEEN: ""}


class Kind(StrEnum):
    """How a game is told."""

    PLAIN = "plain"
    MIRRORED = "mirrored"  # the second player's colour begins, from its own side of the board
    RELABELLED = "relabelled"  # columns and rows under permuted names


@dataclass(frozen=True)
class Variant:
    """A way to tell a game; ``seed`` draws the permutation of a relabelled one."""

    kind: Kind = Kind.PLAIN
    seed: int = 0

    @property
    def swapped(self) -> bool:
        """Whether the colours have changed hands."""
        return self.kind is Kind.MIRRORED

    def says(self, game: Name, move: str) -> str:
        """A move of the plain game, as this variant writes it."""
        return _renamed(game, move, self.forth(game))

    def means(self, game: Name, text: str) -> str:
        """The plain game's move: the inverse of `says`."""
        return _renamed(game, text, self.back(game))

    def forth(self, game: Name) -> dict[int, str]:
        """The new names of columns and rows, as `str.translate` takes them.

        Raises:
            GamesError: the game has no board to relabel.
        """
        if self.kind is Kind.RELABELLED and not COLUMNS[game]:
            raise GamesError(f"{game} has no board to relabel")
        return str.maketrans(self._tables[game])

    def back(self, game: Name) -> dict[int, str]:
        """The inverse of `forth`."""
        return {ord(new): chr(old) for old, new in self.forth(game).items()}

    @cached_property
    def _tables(self) -> dict[Name, dict[str, str]]:
        return {game: self._table(game) for game in Name}

    def _table(self, game: Name) -> dict[str, str]:
        columns, rows = COLUMNS[game], ROWS[game]
        if self.kind is Kind.MIRRORED and game is Name.CHESS:
            return dict(zip(rows, reversed(rows), strict=True))
        if self.kind is Kind.RELABELLED:
            rng = np.random.default_rng([self.seed, list(Name).index(game)])
            return {
                old: new
                for names in (columns, rows)
                for old, new in zip(names, rng.permutation(list(names)).tolist(), strict=True)
            }
        return {}


def _renamed(game: Name, move: str, names: dict[int, str]) -> str:
    if move == "pass":
        return move
    # A chess move's fifth letter is a piece; b is a bishop there, and a file before.
    squares = 4 if game is Name.CHESS else len(move)
    return move[:squares].translate(names) + move[squares:]


def random_moves(game: Name, plies: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Legal moves drawn uniformly: positions that no player's game reaches.

    Shorter where the game ends before.
    """
    state = rules.game(game).initial()
    moves: list[str] = []
    while len(moves) < plies and state.legal:
        legal: Sequence[str] = state.legal
        moves.append(str(rng.choice(legal)))
        state = state.apply(moves[-1])
    return tuple(moves)
