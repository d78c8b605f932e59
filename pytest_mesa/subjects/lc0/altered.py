"""Chess nets of known mind: a trained net's weights redrawn, and look-ahead written into a net.

Both keep the net's shape, so that what reads the one reads the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.lc0.planted import PlantedNet
from pytest_mesa.subjects.lc0.programme import Programmes

if TYPE_CHECKING:
    import chess
    from jaxtyping import Float

SAMPLE, SAMPLE_PLIES = 64, 30  # positions of random games by which outputs are scaled


class Scaled(nn.Module):
    """A head whose output is multiplied by a number."""

    def __init__(self, head: nn.Module, factor: float) -> None:
        super().__init__()
        self.head = head
        self.factor = factor

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch out"]:
        """The head's output, scaled."""
        out: Tensor = self.head(stream) * self.factor
        return out


def untrained(subject: Lc0Subject, seed: int) -> Lc0Subject:
    """A twin that learned nothing: each tensor's entries shuffled, moves' logits as far apart.

    Shuffling keeps every tensor's distribution, and with it about the scale of the stream. The
    subject given is used up.
    """
    boards = random_boards(seed)
    before = _spread(subject, boards)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, values in sorted(subject.module.named_parameters()):
            order = torch.randperm(values.numel(), generator=generator)
            values.copy_(values.flatten()[order].view_as(values))
    factor = before / max(_spread(subject, boards), 1e-9)
    net = subject.module
    net.policy = Scaled(net.policy, factor)
    return replace(subject, label=f"{subject.label}, untrained", module=net)


def planted(subject: Lc0Subject, plant: str, strength: float, seed: int) -> Lc0Subject:
    """The subject with look-ahead of a kind written into a share of the frozen positions."""
    known = Programmes(subject, plant, strength, seed)
    net = PlantedNet(subject.module, known, plant)
    return replace(subject, label=f"{subject.label} with planted {plant}", module=net)


def random_boards(seed: int) -> list[chess.Board]:
    """Positions of random games."""
    import chess
    import numpy as np

    rng = np.random.default_rng(seed)
    found: list[chess.Board] = []
    while len(found) < SAMPLE:
        board = chess.Board()
        for _ in range(SAMPLE_PLIES):
            if board.is_game_over():
                break
            moves = list(board.legal_moves)
            board.push(moves[rng.integers(len(moves))])
        if not board.is_game_over():
            found.append(chess.Board(board.fen()))
    return found


def _spread(subject: Lc0Subject, boards: Sequence[chess.Board]) -> float:
    """Standard deviation (nats) of the legal moves' logits, averaged over boards."""
    (out,) = subject.outputs(boards)
    rows = zip(boards, out.policy, strict=True)
    return float(
        torch.stack([logits[list(subject.legal(board).values())].std() for board, logits in rows])
        .nan_to_num()
        .mean()
    )
