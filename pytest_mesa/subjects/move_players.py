"""Players of known mind, who are told the moves so far and name the next: rules, or a book."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.tasks.games import notation, rules
from pytest_mesa.tasks.games.archive import frozen
from pytest_mesa.tasks.games.notation import Name

RUN = (3, 5)  # the fewest and the most last moves that a book goes by
PLIES = 30  # of each game that a book holds


@dataclass(frozen=True)
class Rules:
    """Keeps the board in mind: plays some legal move, wherever the game has gone."""

    label: str = "a player by the rules"
    weights_sha: str = ""

    def next_moves(self, game: Name, told: Sequence[tuple[str, ...]]) -> list[str | None]:
        """A move after each of these games."""
        found: list[str | None] = []
        for moves in told:
            legal = rules.game(game).after(moves).legal
            drawn = hashlib.sha256(" ".join(moves).encode()).digest()
            found.append(legal[int.from_bytes(drawn[:8], "big") % len(legal)])
        return found


@dataclass(frozen=True)
class Book:
    """Has no board, only what followed runs of moves in the frozen games of the training part.

    It has nothing to say where not even the last few moves were ever played one after the other.
    """

    label: str = "a player by the book"
    weights_sha: str = ""

    def next_moves(self, game: Name, told: Sequence[tuple[str, ...]]) -> list[str | None]:
        """After the longest remembered run of last moves, the one that came most often."""
        return [_remembered(game, moves) for moves in told]


def _remembered(game: Name, moves: tuple[str, ...]) -> str | None:
    book = _book(game)
    least, most = RUN
    for length in range(min(most, len(moves)), least - 1, -1):
        follows = book.get((len(moves) % 2, *moves[len(moves) - length :]))
        if follows:
            return max(sorted(follows), key=follows.__getitem__)
    return None


@lru_cache(maxsize=2)
def _book(game: Name) -> Mapping[tuple[object, ...], Counter[str]]:
    """What followed runs of `RUN` moves, by who is to move."""
    training, _ = frozen(game).split()
    least, most = RUN
    follows: dict[tuple[object, ...], Counter[str]] = {}
    for codes in training:
        moves = [notation.text(game, code) for code in codes[:PLIES].tolist()]
        for ply, move in enumerate(moves):
            for length in range(least, min(most, ply) + 1):
                key = (ply % 2, *moves[ply - length : ply])
                follows.setdefault(key, Counter())[move] += 1
    return follows


def player(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> Rules | Book:
    """The player of a handle."""
    return Rules() if params["name"] == "rules" else Book()
