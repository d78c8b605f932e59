"""A net of lc0's as a torch module: an entry, blocks that pass a stream on, and heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Lc0Output:
    """What a net says, for the side to move.

    ``policy``: logits of the 1858 moves. ``value``: the expected result in −1..1. ``wdl``:
    probabilities of win, draw and loss where the net tells them. ``moves_left``: plies yet to
    come where the net tells them.
    """

    policy: Float[Tensor, "batch 1858"]
    value: Float[Tensor, " batch"]
    wdl: Float[Tensor, "batch 3"] | None
    moves_left: Float[Tensor, " batch"] | None


class Lc0Net(nn.Module):
    """Planes to policy and value. The stream is ``(batch, square, channel)`` in either body."""

    def __init__(
        self,
        entry: nn.Module,
        blocks: Sequence[nn.Module],
        width: int,
        policy: nn.Module,
        value: nn.Module,
        moves_left: nn.Module | None,
    ) -> None:
        super().__init__()
        self.entry = entry
        self.blocks = nn.ModuleList(blocks)
        self.width = width
        self.policy = policy
        self.value = value
        self.moves_left = moves_left

    def forward(self, planes: Float[Tensor, "batch 112 8 8"]) -> Lc0Output:
        """Run the net."""
        stream = self.entry(planes)
        for block in self.blocks:
            stream = block(stream)
        return self.read(stream)

    def read(self, stream: Float[Tensor, "batch 64 d_model"]) -> Lc0Output:
        """What the heads say of a stream."""
        raw: Tensor = self.value(stream)
        wdl = raw.softmax(-1) if raw.shape[1] == 3 else None
        value = torch.tanh(raw[:, 0]) if wdl is None else wdl[:, 0] - wdl[:, 2]
        left = None if self.moves_left is None else self.moves_left(stream)[:, 0]
        return Lc0Output(self.policy(stream), value, wdl, left)
