"""Whoever plays chess: a net's first choice, a net inside a tree search, a plain search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.tasks.games.material import MaterialSearch

if TYPE_CHECKING:
    import chess

SEARCH_STREAM = 0x616C7068  # apart from other uses of a seed


class Player(Protocol):
    """Plays many games at once, as nets do best."""

    def choose(self, boards: Sequence[chess.Board]) -> list[chess.Move]:
        """A move on each board, none of which is over; the boards are left as they were."""


@dataclass(frozen=True)
class Policy:
    """A net's most likely legal move, in one forward pass."""

    net: Lc0Subject

    def choose(self, boards: Sequence[chess.Board]) -> list[chess.Move]:
        """The first choice on each board.

        Raises:
            SubjectError: a board on which the game is over.
        """
        moves = self.net.best_moves(boards)
        found = [move for move in moves if move is not None]
        if len(found) < len(boards):
            raise SubjectError("there is nothing to choose where the game is over")
        return found


@dataclass(frozen=True)
class Searching:
    """A plain search of so many nodes for a move."""

    nodes: int

    @property
    def label(self) -> str:
        """What it is, for messages."""
        return f"search of {self.nodes} nodes"

    def seated(self, seed: Sequence[int]) -> Seated:
        """As a player of one match, whose ties fall by ``seed``."""
        rng = np.random.default_rng([*seed, SEARCH_STREAM])
        return Seated(MaterialSearch(self.nodes, rng))


@dataclass(frozen=True)
class Seated:
    """A plain search at its boards."""

    search: MaterialSearch

    def choose(self, boards: Sequence[chess.Board]) -> list[chess.Move]:
        """Its move on each board."""
        return [self.search.best(board) for board in boards]


@dataclass(frozen=True)
class Giving:
    """A player that makes any legal move at a share of its turns."""

    player: Player
    share: float
    rng: np.random.Generator

    def choose(self, boards: Sequence[chess.Board]) -> list[chess.Move]:
        """The player's moves, some of them replaced."""
        found = []
        for move, board in zip(self.player.choose(boards), boards, strict=True):
            legal = list(board.legal_moves)
            gives = self.rng.random() < self.share
            found.append(legal[self.rng.integers(len(legal))] if gives else move)
        return found


def searching(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> Searching:
    """The search of a handle."""
    return Searching(params["nodes"])


def player_of(subject: object, seed: Sequence[int]) -> Player:
    """A subject as a player of one match.

    Raises:
        SubjectError: a subject that does not play chess from a position.
    """
    if isinstance(subject, Lc0Subject):
        return Policy(subject)
    if isinstance(subject, Searching):
        return subject.seated(seed)
    label = getattr(subject, "label", type(subject).__name__)
    raise SubjectError(
        f"{label} is a {type(subject).__name__}; the experiment 'strength' has chess nets and "
        "searches play from given positions"
    )
