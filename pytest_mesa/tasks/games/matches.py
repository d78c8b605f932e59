"""Matches of chess: paired games from even openings, and when a game is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.tasks.games import extra, sets
from pytest_mesa.tasks.games.material import material

if TYPE_CHECKING:
    import chess

STREAM = 0x6D617463  # apart from other uses of a seed
MOVES = 3  # an opening with fewer legal moves is forced

Choose = Callable[[Sequence["chess.Board"]], list["chess.Move"]]


@dataclass(frozen=True, slots=True)
class Rules:
    """When a game that goes on is called; leads are in centipawns of material.

    A lead of ``ahead`` held for ``held`` plies wins. After ``plies`` moves a lead of ``won``
    wins, and anything less is a draw.
    """

    plies: int
    ahead: int
    held: int
    won: int


@dataclass(eq=False)
class Game:
    """One game of a match; ``first`` says whether the first player moves first.

    ``result`` is the first player's: 1, 0.5 or 0; None while the game goes on.
    """

    board: chess.Board
    first: bool
    rules: Rules
    played: int = 0
    result: float | None = None
    ended: str = ""
    _led: int = 0

    @property
    def turn(self) -> bool:
        """Whether it is the first player's turn."""
        return self.first == (self.played % 2 == 0)

    def push(self, move: chess.Move) -> None:
        """Make a move, and call the game if that ends it."""
        self.board.push(move)
        self.played += 1
        if (outcome := self.board.outcome(claim_draw=False)) is not None:
            # Whose turn it is has lost, where anyone has.
            self._end(
                "mate" if outcome.winner is not None else "drawn by rule", outcome.winner is None
            )
        elif self.board.is_repetition(3) or self.board.halfmove_clock >= 100:
            self._end("drawn by rule", drawn=True)
        else:
            self._call()

    def _call(self) -> None:
        lead = material(self.board) * (1 if self.turn else -1)
        side = int(np.sign(lead)) if abs(lead) >= self.rules.ahead else 0
        self._led = self._led + side if side * self._led > 0 else side
        if abs(self._led) >= self.rules.held:
            self.result, self.ended = (1.0 if side > 0 else 0.0), "far ahead"
        elif self.played >= self.rules.plies:
            won = abs(lead) >= self.rules.won
            self.result, self.ended = (0.5 + 0.5 * np.sign(lead) if won else 0.5), "called"

    def _end(self, how: str, drawn: bool) -> None:
        self.ended = how
        self.result = 0.5 if drawn else (0.0 if self.turn else 1.0)


@dataclass(frozen=True, slots=True)
class Match:
    """Pair by pair, the first player's share of the points; and how games ended."""

    scores: tuple[float, ...]
    ended: dict[str, int]
    plies: float


def openings(count: int, even: int, seed: int) -> list[chess.Board]:
    """Positions of games that an engine holds for even, each with its past.

    Raises:
        GamesError: the frozen positions can't be read.
    """
    judged = sets.unfiltered()
    found = []
    for number in np.random.default_rng([seed, STREAM]).permutation(len(judged)).tolist():
        position = judged[number]
        if len(position.scores) >= MOVES and abs(position.scores[position.best]) <= even:
            board = extra.chess().Board(position.before)
            for move in position.history:
                board.push_uci(move)
            found.append(board)
        if len(found) == count:
            break
    return found


def play(one: Choose, other: Choose, starts: Sequence[chess.Board], rules: Rules) -> Match:
    """Each opening twice, with colours swapped; all games go on side by side."""
    games = [Game(start.copy(), first, rules) for start in starts for first in (True, False)]
    while going := [game for game in games if game.result is None]:
        for choose, turn in ((one, True), (other, False)):
            mine = [game for game in going if game.turn is turn and game.result is None]
            if mine:
                for game, move in zip(mine, choose([g.board for g in mine]), strict=True):
                    game.push(move)
    results = [game.result or 0.0 for game in games]
    return Match(
        tuple((a + b) / 2 for a, b in zip(results[::2], results[1::2], strict=True)),
        dict(Counter(game.ended for game in games)),
        float(np.mean([game.played for game in games])),
    )
