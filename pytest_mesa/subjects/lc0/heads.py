"""Policy, value and moves-left heads: from a stream of either body to the net's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_mesa.subjects.lc0.activations import Function
from pytest_mesa.subjects.lc0.moves import ATTENTION_SLOTS, CONVOLUTION_SLOTS
from pytest_mesa.subjects.lc0.tower import to_board

if TYPE_CHECKING:
    from jaxtyping import Float

RANK_7, RANK_8, END = 48, 56, 64


class Flatten(nn.Module):
    """A map at each square, then all squares side by side.

    ``squares_first`` tells the transformer's order (square, feature) from the tower's
    (feature, square).
    """

    def __init__(self, embed: nn.Linear, activation: Function, *, squares_first: bool) -> None:
        super().__init__()
        self.embed = embed
        self.activation = activation
        self.squares_first = squares_first

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch flat"]:
        """Features of every square."""
        features: Tensor = self.activation(self.embed(stream))
        return (features if self.squares_first else features.mT).flatten(1)


class ClassicalPolicy(nn.Module):
    """Every move from features of all squares."""

    def __init__(self, flatten: Flatten, out: nn.Linear) -> None:
        super().__init__()
        self.flatten = flatten
        self.out = out

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch 1858"]:
        """Policy logits."""
        logits: Tensor = self.out(self.flatten(stream))
        return logits


class ConvolutionPolicy(nn.Module):
    """A plane for each direction and distance; a move's logit lies at its first square."""

    slots: Tensor

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d, activation: Function) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.activation = activation
        self.register_buffer("slots", torch.tensor(CONVOLUTION_SLOTS), persistent=False)

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch 1858"]:
        """Policy logits."""
        maps: Tensor = self.second(self.activation(self.first(to_board(stream))))
        return maps.flatten(1).index_select(1, self.slots)


class AttentionPolicy(nn.Module):
    """A move's logit is the attention of its first square to its last."""

    slots: Tensor

    def __init__(
        self,
        embed: nn.Linear,
        activation: Function,
        blocks: list[nn.Module],
        query: nn.Linear,
        key: nn.Linear,
        promotion: nn.Linear,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.activation = activation
        self.encoders = nn.Sequential(*blocks)
        self.query = query
        self.key = key
        self.promotion = promotion
        self.register_buffer("slots", torch.tensor(ATTENTION_SLOTS), persistent=False)

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch 1858"]:
        """Policy logits."""
        squares = self.encoders(self.activation(self.embed(stream)))
        query, key = self.query(squares), self.key(squares)
        attention = query @ key.mT / query.shape[-1] ** 0.5
        # A knight's promotion is the plain move; the other pieces add to it, file by file.
        offsets = self.promotion(key[:, RANK_8:END])
        offsets = offsets[..., :3] + offsets[..., 3:]
        promotions = attention[:, RANK_7:RANK_8, RANK_8:END, None] + offsets[:, None]
        logits = torch.cat([attention.flatten(1), promotions.flatten(1)], dim=1)
        return logits.index_select(1, self.slots)


class ValueHead(nn.Module):
    """Raw values: three logits (win, draw, loss), or one number before its tanh."""

    def __init__(
        self, flatten: Flatten, hidden: nn.Linear, out: nn.Linear, activation: Function
    ) -> None:
        super().__init__()
        self.flatten = flatten
        self.hidden = hidden
        self.out = out
        self.activation = activation

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch raw"]:
        """Before softmax or tanh."""
        raw: Tensor = self.out(self.activation(self.hidden(self.flatten(stream))))
        return raw


class MovesLeftHead(ValueHead):
    """How many plies the game will last yet."""

    def forward(self, stream: Float[Tensor, "batch 64 d_model"]) -> Float[Tensor, "batch 1"]:
        """A number of plies, at least 0."""
        return F.relu(super().forward(stream))
