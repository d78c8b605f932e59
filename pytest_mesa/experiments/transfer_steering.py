"""A chess net steered at the squares of chosen pieces: what that does to their capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pytest_mesa.experiments.transfer_reader import TOGETHER, Reader

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ROWS = 256  # steered runs at once
READ_OUT = 2.0  # nats that a planted code adds to each capture of a piece it calls winnable
NONE = -1  # no move


class Steering:
    """Chosen pieces of a `Reader`, one a position; what happens before a layer is run once.

    ``chosen`` are places in its `squares`, in rising order; each needs a capture and another
    legal move.
    """

    def __init__(self, reader: Reader, chosen: Int[np.ndarray, " chosen"]) -> None:
        self._module, self._plant = reader.subject.module, reader.plant
        positions = reader.squares.position[chosen]
        parts = np.split(positions, range(TOGETHER, len(positions), TOGETHER))
        self._streams = torch.cat([reader.captured(part) for part in parts], dim=1)
        self._at = torch.from_numpy(reader.squares.square[chosen])
        moves = [_moves(reader, place) for place in chosen.tolist()]
        self._captures, self._others = (_table(column) for column in zip(*moves, strict=True))

    def __len__(self) -> int:
        return len(self._at)

    def log_odds(
        self, layer: int, added: Float[Tensor, "variant d_model"]
    ) -> Float[Tensor, "variant chosen"]:
        """Log-odds (nats) of capturing each chosen piece, against all other legal moves.

        Each variant is added to the stream at the piece's square behind a layer (1 the first).
        """
        found = []
        for part in torch.arange(len(self)).split(max(1, ROWS // len(added))):
            final = self._streams[layer, part].repeat(len(added), 1, 1)
            runs = torch.arange(len(final))
            at = self._at[part].repeat(len(added))
            final[runs, at] += added.repeat_interleave(len(part), dim=0)
            with torch.no_grad():
                for block in list(self._module.blocks)[layer:]:
                    final = block(final)
                policy = self._module.policy(final).unflatten(0, (len(added), len(part)))
            heeded = self._heeded(final[runs, at]).unflatten(0, (len(added), len(part)))
            taking = _of(policy, self._captures[part]) + heeded
            found.append(taking - _of(policy, self._others[part]))
        return torch.cat(found, dim=1)

    def _heeded(self, at_square: Float[Tensor, "run d_model"]) -> Float[Tensor, " run"]:
        if self._plant is None:
            return torch.zeros(len(at_square))
        return 2 * READ_OUT * (at_square @ self._plant.direction) / self._plant.length


def _moves(reader: Reader, place: int) -> tuple[list[int], list[int]]:
    """Which policy entries take a piece, and which are the other legal moves."""
    board, where = reader.boards[reader.squares.position[place]], reader.squares.square[place]
    captures: list[int] = []
    others: list[int] = []
    for move, index in reader.subject.legal(board).items():
        takes = reader.subject.square(board, move.to_square) == where
        (captures if takes else others).append(index)
    return captures, others


def _table(moves: tuple[list[int], ...]) -> Int[Tensor, "chosen move"]:
    return pad_sequence([torch.tensor(each) for each in moves], True, NONE)


def _of(
    policy: Float[Tensor, "variant chosen 1858"], moves: Int[Tensor, "chosen move"]
) -> Float[Tensor, "variant chosen"]:
    """The logarithm of what the moves' probabilities add up to, but for a constant."""
    logits = policy.take_along_dim(moves.clamp(min=0)[None], 2)
    return logits.masked_fill(moves == NONE, -torch.inf).logsumexp(2)
