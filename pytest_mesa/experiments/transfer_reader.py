"""A chess net read at squares, in one setting, with a code planted or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import chess
import numpy as np
import torch
from torch import Tensor

from pytest_mesa.subjects.lc0.altered import random_boards
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.tasks.games.exchanges import Marked

if TYPE_CHECKING:
    from jaxtyping import Float, Int

TOGETHER = 128  # positions captured at once


@dataclass(frozen=True)
class Plant:
    """A code for "winnable" along one direction, which the net's policy is made to heed.

    It is added to the stream at each attacked piece's square as it enters the middle block,
    half of it for winnable pieces and minus half for others.
    """

    direction: Float[Tensor, " d_model"]
    length: float


@dataclass(frozen=True)
class Squares:
    """The attacked pieces of some positions, one a row of each array.

    ``position`` is the place of its position among those given, ``square`` where the net has
    it, ``kind`` which piece it is, ``winnable`` what the search says.
    """

    position: Int[np.ndarray, " square"]
    square: Int[np.ndarray, " square"]
    kind: Int[np.ndarray, " square"]
    winnable: Int[np.ndarray, " square"]


class Reader:
    """Some positions as a subject sees them."""

    def __init__(
        self, subject: Lc0Subject, positions: Sequence[Marked], plant: Plant | None = None
    ) -> None:
        self.subject, self.plant = subject, plant
        self.boards = [chess.Board(each.fen) for each in positions]
        rows = [
            (place, subject.square(board, square), kind, winnable)
            for place, (each, board) in enumerate(zip(positions, self.boards, strict=True))
            for square, kind, winnable in zip(each.squares, each.kinds, each.winnable, strict=True)
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        self.squares = Squares(*table.T)

    @property
    def middle(self) -> int:
        """The block that a planted code enters before."""
        return self.subject.stream.layers // 2

    @cached_property
    def streams(self) -> Float[Tensor, "layer square d_model"]:
        """The stream behind each block, at the attacked pieces' squares."""
        at, where = self.squares.position, self.squares.square
        found = []
        for rows in np.split(
            np.arange(len(self.boards)), range(TOGETHER, len(self.boards), TOGETHER)
        ):
            seen = self.captured(rows)[1:]
            here = np.isin(at, rows)
            found.append(seen[:, at[here] - rows[0], where[here]].clone())
        return torch.cat(found, dim=1)

    def captured(self, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "layer row 64 d_model"]:
        """The streams of some positions at all layers; the code runs on as it may."""
        module = self.subject.module
        with torch.no_grad():
            seen = [module.entry(self.subject.planes([self.boards[row] for row in rows]))]
            for place, block in enumerate(module.blocks):
                if self.plant is not None and place == self.middle:
                    seen[-1] = seen[-1] + self._code(rows, self.plant)
                seen.append(block(seen[-1]))
        return torch.stack(seen)

    def _code(self, rows: Int[np.ndarray, " row"], plant: Plant) -> Float[Tensor, "row 64 d_model"]:
        here = np.isin(self.squares.position, rows)
        at = np.searchsorted(rows, self.squares.position[here])
        signs = torch.zeros(len(rows), 64)
        signs[at, self.squares.square[here]] = torch.from_numpy(
            self.squares.winnable[here] - 0.5
        ).float()
        return signs[..., None] * plant.direction * plant.length

    def open_to_choice(self) -> Int[np.ndarray, " chosen"]:
        """The winnable pieces, the first of each position, where another move is legal, too."""
        places, seen = [], set()
        for place in np.flatnonzero(self.squares.winnable == 1).tolist():
            position = int(self.squares.position[place])
            if position in seen:
                continue
            moves = self.subject.legal(self.boards[position])
            where = self.squares.square[place]
            to = {self.subject.square(self.boards[position], move.to_square) for move in moves}
            if where in to and len(to) > 1:
                seen.add(position)
                places.append(place)
        return np.array(places, dtype=np.int64)


def plants(
    params: Mapping[str, Any], subject: Lc0Subject, settings: Sequence[str]
) -> dict[str, Plant | None]:
    """Each setting's plant as a subject's parameters tell, if they tell of any.

    ``shared-code`` is one for all settings, ``codes-apart`` are orthogonal, and under
    ``codes-opposed`` the first setting's means the opposite in all others.

    A code is so many times as long as a channel's standard deviation in the middle of the net.
    Codes lie along principal directions of the stream there, so that a probe fitted to one,
    which is bent by how the stream varies, does not lean on another.
    """
    kind = params.get("code")
    if kind is None:
        return dict.fromkeys(settings)
    boards = random_boards(params["code_seed"])
    middle = subject.stream.capture(subject.planes(boards))[subject.stream.layers // 2]
    rows = (middle - middle.mean((0, 1))).flatten(0, 1).double()
    axes = torch.linalg.eigh(rows.T @ rows).eigenvectors.T.float()
    own = axes[len(axes) // 2 :]  # from the middle of the spectrum on
    length = params["strength"] * float(rows.std(0).mean())
    first = own[0]
    return {
        name: Plant(
            {"shared-code": first, "codes-apart": own[place]}.get(kind, -first if place else first),
            length,
        )
        for place, name in enumerate(settings)
    }


def split(
    positions: Sequence[Marked], sizes: Mapping[str, int]
) -> Iterator[tuple[str, Sequence[Marked]]]:
    """Positions in consecutive parts of these sizes, in order."""
    start = 0
    for part, size in sizes.items():
        yield part, positions[start : start + size]
        start += size
