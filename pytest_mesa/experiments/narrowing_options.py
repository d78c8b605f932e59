"""What each family of nets is asked: positions, where its stream is read, and the options there.

A chess net chooses among 1858 moves: those that the rules forbid are bad, and so, among the
legal ones, are those that a frozen engine's score refutes. The two-game decoder chooses the
first token of a move: among the tokens with which moves of that game begin, those are bad
with which no legal one does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import chess
import numpy as np
import torch
from torch import Tensor

from pytest_mesa.experiments.lookahead_cells import past_board
from pytest_mesa.instruments.lens import Readout
from pytest_mesa.instruments.narrowing import Options, depths
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.tasks.games import notation, sets, tokens
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.sets import Judged

if TYPE_CHECKING:
    from jaxtyping import Float, Int

STREAM = 0x6E617272  # apart from other uses of the seed
TOGETHER = 128  # rows captured at once: some 15 MB of a small chess net's stream
BLOCKS = {"chess": (tokens.SQUARE, 64), "go": (tokens.POINT, 82)}  # first tokens of moves


@dataclass(frozen=True)
class Rows:
    """A few positions as a net sees them: its streams, and the options by name."""

    streams: Float[Tensor, "depth row *site d_model"]
    options: Mapping[str, Options]
    numbers: Int[Tensor, " row"]


class Asked(Protocol):
    """One net, asked about positions of one kind."""

    @property
    def readout(self) -> Readout:
        """From its last stream to logits of the options."""

    @property
    def batch(self) -> int:
        """Rows in one step of the lens's fit."""

    def fitting(self) -> Iterator[Rows]:
        """Positions that a lens is fitted on."""

    def measured(self) -> Iterator[Rows]:
        """Positions that are measured."""

    @property
    def units(self) -> list[int]:
        """Which measured rows belong together: those of one game are one score."""


def read_at(label: str, layers: int, stages: int) -> list[int]:
    """The layers that a net is read at.

    Raises:
        SubjectError: a net of a single block.
    """
    if layers < 2:
        raise SubjectError(
            f"{label} has {layers} block: narrowing layer by layer is asked of two or more"
        )
    return depths(layers, stages)


@dataclass(frozen=True)
class Boards:
    """A chess net on frozen positions of games, each with its past."""

    subject: Lc0Subject
    stages: int
    together: int
    to_fit: Sequence[Judged]
    to_measure: Sequence[Judged]

    @property
    def batch(self) -> int:
        """Few: each row is 64 squares, and all are mapped alike."""
        return 16

    @property
    def readout(self) -> Readout:
        """The policy head."""
        head: Readout = self.subject.module.policy
        return head

    @property
    def units(self) -> list[int]:
        """A few positions, drawn together, are one unit."""
        return [number // self.together for number in range(len(self.to_measure))]

    def fitting(self) -> Iterator[Rows]:
        """Positions that a lens is fitted on."""
        return self._rows(self.to_fit, len(self.to_measure))

    def measured(self) -> Iterator[Rows]:
        """Positions that are measured."""
        return self._rows(self.to_measure, 0)

    def _rows(self, positions: Sequence[Judged], start: int) -> Iterator[Rows]:
        stream = self.subject.stream
        chosen = read_at(self.subject.label, stream.layers, self.stages)
        for first in range(0, len(positions), TOGETHER):
            part = positions[first : first + TOGETHER]
            boards = [past_board(each) for each in part]
            streams = stream.capture(self.subject.planes(boards))[chosen]
            numbers = torch.arange(start + first, start + first + len(part))
            yield Rows(streams, self._options(part, boards), numbers)

    def _options(self, part: Sequence[Judged], boards: Sequence[chess.Board]) -> dict[str, Options]:
        legal = torch.zeros(len(part), 1858, dtype=torch.bool)
        refuted = torch.zeros_like(legal)
        for row, (position, board) in enumerate(zip(part, boards, strict=True)):
            moves = self.subject.legal(board)
            legal[row, list(moves.values())] = True
            worse = position.refuted()
            refuted[row, [index for move, index in moves.items() if move.uci() in worse]] = True
        return {
            "refuted": Options(legal, refuted),
            "illegal": Options(torch.ones_like(legal), ~legal),
        }


def boards(subject: Lc0Subject, params: Mapping[str, Any]) -> Boards:
    """The registered positions; those where nothing or all is refuted leave nothing to cut."""
    judged = [each for each in sets.unfiltered() if 0 < len(each.refuted()) < len(each.scores)]
    order = np.random.default_rng([params["seed"], STREAM]).permutation(len(judged)).tolist()
    rows, count = params["lens"]["rows"], params["count"]
    chosen = [judged[number] for number in order]
    left = min(count, len(chosen) - rows)
    ends = rows, rows + left - left % params["batch"]
    return Boards(subject, params["stages"], params["batch"], chosen[:rows], chosen[slice(*ends)])


@dataclass(frozen=True)
class Told:
    """Positions of one game as token sequences, one row a game; see `narrowing_games`."""

    ids: Int[Tensor, "game pos"]
    places: Sequence[Sequence[int]]
    legal: Sequence[Sequence[Sequence[str]]]

    @classmethod
    def of(cls, body: Mapping[str, Any], count: int | None = None) -> Told:
        """From a cell's payload, all games or the first few."""
        part = {name: body[name][:count] for name in ("ids", "places", "legal")}
        return cls(torch.tensor(part["ids"]), part["places"], part["legal"])


@dataclass(frozen=True)
class Sequences:
    """The two-game decoder on one game's positions."""

    subject: GamesSubject
    game: str
    stages: int
    to_fit: Told
    to_measure: Told

    @property
    def batch(self) -> int:
        """As many as make a step steady."""
        return 64

    @property
    def readout(self) -> Readout:
        """The final norm and the output matrix."""
        return self.subject.readout

    @property
    def units(self) -> list[int]:
        """Which game each position is of."""
        return [game for game, places in enumerate(self.to_measure.places) for _ in places]

    def fitting(self) -> Iterator[Rows]:
        """Positions that a lens is fitted on."""
        return self._rows(self.to_fit, len(self.units))

    def measured(self) -> Iterator[Rows]:
        """Positions that are measured."""
        return self._rows(self.to_measure, 0)

    def _rows(self, told: Told, number: int) -> Iterator[Rows]:
        stream = self.subject.stream
        chosen = read_at(self.subject.label, stream.layers, self.stages)
        first, count = BLOCKS[self.game]
        for start in range(0, len(told.ids), TOGETHER):
            end = start + TOGETHER
            whole = stream.capture(told.ids[start:end])[chosen]
            rows = [(game, at) for game, each in enumerate(told.places[start:end]) for at in each]
            games, at = (torch.tensor(column) for column in zip(*rows, strict=True))
            legal = torch.zeros(len(rows), tokens.VOCABULARY, dtype=torch.bool)
            for row, moves in enumerate(chain.from_iterable(told.legal[start:end])):
                legal[row, first_tokens(self.game, moves)] = True
            among = torch.zeros_like(legal)
            among[:, first : first + count] = True
            numbers = torch.arange(number, number + len(rows))
            number += len(rows)
            options = {self.game: Options(among, among & ~legal)}
            yield Rows(whole[:, games, at], options, numbers)


def sequences(
    subject: GamesSubject, params: Mapping[str, Any], told: Mapping[str, Any]
) -> list[Sequences]:
    """The registered games, one reading a game."""
    return [
        Sequences(
            subject,
            game,
            params["stages"],
            Told.of(told[game]["fit"]),
            Told.of(told[game]["measure"], params["count"]),
        )
        for game in params["games"]
    ]


def first_tokens(game: str, moves: Iterable[str]) -> list[int]:
    """The tokens with which moves of a game begin."""
    return sorted({_first_token(game, move) for move in moves})


@lru_cache(maxsize=5000)  # all moves that there are, asked for in every position
def _first_token(game: str, move: str) -> int:
    number = notation.code(Name(game), move)
    return tokens.SQUARE + number % 64 if game == Name.CHESS else tokens.POINT + number
