"""What look-ahead is read from: a player's stream at the squares, and its choice.

One reader for chess nets, which see boards, here; one for models that are told boards in words
in `lookahead_texts`. The experiment knows neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import chess
import torch
from torch import Tensor

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games.line_squares import LineSites

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

TOGETHER, ROWS = 32, 256  # positions captured at once, patched runs at once


class Batch(Protocol):
    """Positions as a player sees them, clean and corrupted, with its streams on both.

    Log-odds (nats) are of the line's first move. ``before`` are those of the clean runs and
    ``fall`` how far they fall when the whole run is the corrupted one; ``plays`` says where the
    first move is the player's own choice.
    """

    @property
    def sites(self) -> Sequence[LineSites]: ...

    @property
    def clean(self) -> Mapping[int, Float[Tensor, "batch 64 wide"]]: ...

    @property
    def corrupted(self) -> Mapping[int, Float[Tensor, "batch 64 wide"]]: ...

    @property
    def before(self) -> Float[Tensor, " batch"]: ...

    @property
    def fall(self) -> Float[Tensor, " batch"]: ...

    @property
    def plays(self) -> Bool[Tensor, " batch"]: ...

    def at(self, row: int, square: int) -> int:
        """Where the streams have a square of that row's board (0 = a1 … 63 = h8)."""

    def patched(
        self,
        layer: int,
        rows: Int[Tensor, " run"],
        at: Int[Tensor, " run"],
        donor: Float[Tensor, "run wide"],
    ) -> Float[Tensor, " run"]:
        """Log-odds after one square's stream is replaced at a layer, run by run."""


class Reader(Protocol):
    """A player whose stream can be read and replaced square by square, at some layers."""

    @property
    def weights_sha(self) -> str: ...

    @property
    def layers(self) -> tuple[int, ...]: ...

    def batches(self, sites: Sequence[LineSites]) -> Iterator[Batch]:
        """The positions, so many at a time."""


@dataclass(frozen=True)
class BoardBatch:
    """A batch as a chess net sees it; the choice is against all other legal moves.

    ``first`` is the index of the line's first move, ``legal`` marks the legal moves.
    """

    subject: Lc0Subject
    sites: Sequence[LineSites]
    boards: Sequence[chess.Board]
    clean: Mapping[int, Float[Tensor, "batch 64 d_model"]]
    corrupted: Mapping[int, Float[Tensor, "batch 64 d_model"]]
    first: Int[Tensor, " batch"]
    legal: Bool[Tensor, "batch 1858"]

    @cached_property
    def before(self) -> Float[Tensor, " batch"]:
        """Log-odds of the clean runs."""
        return self._log_odds(self._policy(self.clean), torch.arange(len(self.sites)))

    @cached_property
    def fall(self) -> Float[Tensor, " batch"]:
        """How far the whole corrupted runs' are below."""
        corrupted = self._policy(self.corrupted)
        return self.before - self._log_odds(corrupted, torch.arange(len(self.sites)))

    @cached_property
    def plays(self) -> Bool[Tensor, " batch"]:
        """Whether the first move is the likeliest legal one."""
        masked = self._policy(self.clean).masked_fill(~self.legal, -torch.inf)
        return masked.argmax(1) == self.first

    def at(self, row: int, square: int) -> int:
        """As the net has it, seen from the side to move."""
        return self.subject.square(self.boards[row], square)

    def patched(
        self,
        layer: int,
        rows: Int[Tensor, " run"],
        at: Int[Tensor, " run"],
        donor: Float[Tensor, "run d_model"],
    ) -> Float[Tensor, " run"]:
        """Log-odds after each run's patch, `ROWS` runs at a time."""
        scores = []
        with torch.no_grad():
            for part in torch.arange(len(rows)).split(ROWS):
                here = self.clean[layer][rows[part]]
                here[torch.arange(len(part)), at[part]] = donor[part]
                policy = self.subject.stream.resume(here, layer).policy
                scores.append(self._log_odds(policy, rows[part]))
        return torch.cat(scores)

    def _policy(self, streams: Mapping[int, Tensor]) -> Float[Tensor, "batch 1858"]:
        with torch.no_grad():
            return self.subject.module.read(streams[self.subject.stream.layers]).policy

    def _log_odds(
        self, policy: Float[Tensor, "run 1858"], rows: Int[Tensor, " run"]
    ) -> Float[Tensor, " run"]:
        """Log-odds of each run's first move against all other legal ones."""
        first = self.first[rows, None]
        others = self.legal[rows].scatter(1, first, False)
        rest = policy.masked_fill(~others, -torch.inf).logsumexp(1)
        return policy.gather(1, first)[:, 0] - rest


@dataclass(frozen=True)
class BoardReader:
    """A chess net, read at every layer behind the first, which holds no more than the board."""

    subject: Lc0Subject

    @property
    def weights_sha(self) -> str:
        """Hash of the net's weights."""
        return self.subject.weights_sha

    @property
    def layers(self) -> tuple[int, ...]:
        """All but the one that enters the first block."""
        return tuple(range(1, self.subject.stream.layers + 1))

    def batches(self, sites: Sequence[LineSites]) -> Iterator[BoardBatch]:
        """The positions, `TOGETHER` at a time."""
        for start in range(0, len(sites), TOGETHER):
            part = sites[start : start + TOGETHER]
            # Both without history: a changed piece has none, and the clean run must not have more.
            boards = [chess.Board(each.puzzle.fen) for each in part]
            corrupted = [chess.Board(each.corruption.fen) for each in part]
            legal = torch.zeros(len(part), 1858, dtype=torch.bool)
            first = torch.zeros(len(part), dtype=torch.long)
            for row, (each, board) in enumerate(zip(part, boards, strict=True)):
                moves = self.subject.legal(board)
                legal[row, list(moves.values())] = True
                first[row] = moves[chess.Move.from_uci(each.puzzle.line[0])]
            clean, changed = self._streams(boards), self._streams(corrupted)
            yield BoardBatch(self.subject, part, boards, clean, changed, first, legal)

    def _streams(self, boards: Sequence[chess.Board]) -> dict[int, Tensor]:
        return dict(enumerate(self.subject.stream.capture(self.subject.planes(boards))))


def reader(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Reader:
    """How the subject of a cell's parameters is read, in boards or, where told so, in words.

    Raises:
        SubjectError: it can't be loaded, or reads nothing of the kind.
    """
    words: Any = params.get("words")
    if words is None:
        return BoardReader(load(params["subject"], inputs, Lc0Subject))
    from pytest_mesa.experiments.lookahead_texts import text_reader

    return text_reader(params["subject"], words, inputs)
