"""Games that engines play against themselves, varied by seed: the nets' training data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pytest_mesa.tasks.games.engines import GnuGo, Line, Stockfish

GO_COLUMNS = "ABCDEFGHJ"
GO_COLOURS = ("black", "white")

OnGame = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Ply:
    """A move, and the lines that its player had before it, best first."""

    move: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ChessPlay:
    """How Stockfish plays itself: it draws among its best lines, the more the closer they are.

    ``temperature`` is in centipawns. Few nodes and a temperature make games that differ from
    the third move on and still look like chess; no opening book is needed.
    """

    seed: int = 1
    games: int = 8_500
    plies: int = 60
    nodes: int = 600
    lines: int = 5
    temperature: float = 25.0

    def make(self, on_game: OnGame | None = None) -> Iterator[tuple[str, ...]]:
        """The games, each as its moves in UCI notation."""
        for number, game in enumerate(self.searched()):
            yield tuple(ply.move for ply in game)
            if on_game:
                on_game(number)

    def searched(self) -> Iterator[tuple[Ply, ...]]:
        """The games, each move with the lines that it was drawn from."""
        with Stockfish() as engine:
            for number in range(self.games):
                engine.new_game()
                yield self._game(engine, np.random.default_rng([self.seed, number]))

    def _game(self, engine: Stockfish, rng: np.random.Generator) -> tuple[Ply, ...]:
        plies: list[Ply] = []
        position = "startpos"
        while len(plies) < self.plies:
            lines = engine.lines(position, f"nodes {self.nodes}", self.lines)
            if not lines:
                break
            scores = np.array([line.score for line in lines], dtype=np.float64)
            odds = np.exp((scores - scores.max()) / self.temperature)
            chosen = lines[rng.choice(len(lines), p=odds / odds.sum())]
            position += f"{'' if plies else ' moves'} {chosen.moves[0]}"
            plies.append(Ply(chosen.moves[0], lines))
        return tuple(plies)


@dataclass(frozen=True, slots=True)
class GoPlay:
    """How GNU Go plays itself from a random opening on the inner points."""

    seed: int = 1
    games: int = 600
    plies: int = 60
    level: int = 1
    komi: float = 7.0
    opening: int = 3

    def make(self, on_game: OnGame | None = None) -> Iterator[tuple[str, ...]]:
        """The games, each as GTP vertices; ``PASS`` is a pass."""
        with GnuGo(self.level) as engine:
            for number in range(self.games):
                engine.new_game(number, self.komi)
                yield self._game(engine, np.random.default_rng([self.seed, number]))
                if on_game:
                    on_game(number)

    def _game(self, engine: GnuGo, rng: np.random.Generator) -> tuple[str, ...]:
        # The outer two lines are no opening moves that a player would choose.
        inner = [f"{GO_COLUMNS[x]}{y + 1}" for x in range(2, 7) for y in range(2, 7)]
        moves: list[str] = []
        for vertex in rng.choice(inner, size=self.opening, replace=False):
            engine.ask(f"play {GO_COLOURS[len(moves) % 2]} {vertex}")
            moves.append(str(vertex))
        while len(moves) < self.plies and moves[-2:] != ["PASS", "PASS"]:
            answer = engine.ask(f"genmove {GO_COLOURS[len(moves) % 2]}")
            if answer.lower() == "resign":
                break
            moves.append(answer)
        return tuple(moves)


LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@dataclass(frozen=True, slots=True)
class SmallPlay:
    """Tic-tac-toe between players of every strength, for the game's two notations.

    Each player of each game draws a skill from 0 to 1, and with that chance plays one of its
    best moves, otherwise any.
    """

    seed: int = 1
    games: int = 6_000

    def make(self, on_game: OnGame | None = None) -> Iterator[tuple[int, ...]]:
        """The games, each as its cells in order, 0 to 8 from the top left."""
        for number in range(self.games):
            rng = np.random.default_rng([self.seed, number])
            skill = rng.random(2)
            moves: tuple[int, ...] = ()
            while open_cells(moves):
                choices = open_cells(moves)
                if rng.random() < skill[len(moves) % 2]:
                    values = [-value_of((*moves, cell)) for cell in choices]
                    best = max(values)
                    choices = [c for c, v in zip(choices, values, strict=True) if v == best]
                moves = (*moves, int(rng.choice(choices)))
            yield moves
            if on_game:
                on_game(number)


def open_cells(moves: tuple[int, ...]) -> list[int]:
    """The cells that may be taken; none where the game is won or the board full."""
    last = set(moves[len(moves) - 1 :: -2])
    if any(last.issuperset(line) for line in LINES):
        return []
    return [cell for cell in range(9) if cell not in moves]


def value_of(moves: tuple[int, ...]) -> int:
    """What the game is worth, played perfectly on, to whose turn it is: 1, 0 or -1."""
    return _value(frozenset(moves[len(moves) % 2 :: 2]), frozenset(moves[1 - len(moves) % 2 :: 2]))


@lru_cache(maxsize=6000)
def _value(mine: frozenset[int], theirs: frozenset[int]) -> int:
    if any(theirs.issuperset(line) for line in LINES):
        return -1
    free = [cell for cell in range(9) if cell not in mine and cell not in theirs]
    return max((-_value(theirs, mine | {cell}) for cell in free), default=0)
