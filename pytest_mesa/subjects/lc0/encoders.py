"""The transformer body: squares are the positions, smolgen adds attention from the whole board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.subjects.lc0.activations import Function
from pytest_mesa.subjects.lc0.moves import reachable
from pytest_mesa.subjects.lc0.tower import to_stream

if TYPE_CHECKING:
    from jaxtyping import Float

PIECES = 12  # the planes of the latest position, which the dense embedding reads


class Smolgen(nn.Module):
    """Attention logits for every head and pair of squares, made from the board as a whole."""

    def __init__(
        self,
        compress: nn.Linear,
        first: nn.Linear,
        first_norm: nn.LayerNorm,
        second: nn.Linear,
        second_norm: nn.LayerNorm,
        pairs: nn.Linear,
        heads: int,
        activation: Function,
    ) -> None:
        super().__init__()
        self.compress = compress
        self.first = first
        self.first_norm = first_norm
        self.second = second
        self.second_norm = second_norm
        self.pairs = pairs  # one module shared by all blocks
        self.heads = heads
        self.activation = activation

    def forward(
        self, stream: Float[Tensor, "batch 64 d_model"]
    ) -> Float[Tensor, "batch head 64 64"]:
        """Logits to add, by head, asking square and asked square."""
        board = self.compress(stream).flatten(1)
        board = self.first_norm(self.activation(self.first(board)))
        board = self.second_norm(self.activation(self.second(board)))
        logits: Tensor = self.pairs(board.unflatten(1, (self.heads, -1)))
        squares: Tensor = logits.unflatten(2, (64, 64))
        return squares


class Attention(nn.Module):
    """Multi-head attention among the squares."""

    def __init__(
        self,
        query: nn.Linear,
        key: nn.Linear,
        value: nn.Linear,
        out: nn.Linear,
        smolgen: Smolgen | None,
        heads: int,
    ) -> None:
        super().__init__()
        self.query = query
        self.key = key
        self.value = value
        self.out = out
        self.smolgen = smolgen
        self.heads = heads

    def _split(self, flat: Float[Tensor, "batch 64 width"]) -> Float[Tensor, "batch head 64 depth"]:
        split: Tensor = flat.unflatten(2, (self.heads, -1))
        return split.transpose(1, 2)

    def forward(
        self, stream: Float[Tensor, "batch 64 d_model"]
    ) -> Float[Tensor, "batch 64 d_model"]:
        """What the squares read from each other."""
        query, key, value = (
            self._split(part(stream)) for part in (self.query, self.key, self.value)
        )
        logits = query @ key.mT / query.shape[-1] ** 0.5
        if self.smolgen is not None:
            logits = logits + self.smolgen(stream)
        read = (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)
        out: Tensor = self.out(read)
        return out


class FeedForward(nn.Module):
    """Two maps at each square."""

    def __init__(self, first: nn.Linear, second: nn.Linear, activation: Function) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.activation = activation

    def forward(
        self, stream: Float[Tensor, "batch 64 d_model"]
    ) -> Float[Tensor, "batch 64 d_model"]:
        """The change at each square."""
        change: Tensor = self.second(self.activation(self.first(stream)))
        return change


class EncoderBlock(nn.Module):
    """A post-norm block: each write is scaled by ``alpha``, added, and the sum normalised."""

    def __init__(
        self,
        attention: Attention,
        attention_norm: nn.LayerNorm,
        mlp: FeedForward,
        mlp_norm: nn.LayerNorm,
        alpha: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = attention_norm
        self.mlp = mlp
        self.mlp_norm = mlp_norm
        self.alpha = alpha

    def forward(
        self, stream: Float[Tensor, "batch 64 d_model"]
    ) -> Float[Tensor, "batch 64 d_model"]:
        """The stream behind this block."""
        stream = self.attention_norm(stream + self.alpha * self.attention(stream))
        out: Tensor = self.mlp_norm(stream + self.alpha * self.mlp(stream))
        return out


class SquareEmbedding(nn.Module):
    """Planes to the stream that enters the first block.

    Squares learn their place from a map of what a queen or knight reaches from them, or from a
    dense map of all pieces; then a gate and an offset for each square and channel.
    """

    reach: Tensor

    def __init__(
        self,
        place: nn.Linear | None,
        embed: nn.Linear,
        norm: nn.LayerNorm | None,
        gate: tuple[nn.Parameter, nn.Parameter] | None,
        mlp: FeedForward | None,
        mlp_norm: nn.LayerNorm | None,
        activation: Function,
        alpha: float,
    ) -> None:
        super().__init__()
        self.place = place
        self.embed = embed
        self.norm = norm
        self.mlp = mlp
        self.mlp_norm = mlp_norm
        self.activation = activation
        self.alpha = alpha
        self.register_buffer("reach", _reach(), persistent=False)
        gain, offset = gate or (None, None)
        self.gain = gain
        self.offset = offset

    def forward(self, planes: Float[Tensor, "batch 112 8 8"]) -> Float[Tensor, "batch 64 d_model"]:
        """The stream before any block."""
        squares = to_stream(planes)
        if self.place is None:
            place = self.reach.expand(len(planes), -1, -1)
        else:
            place = self.place(squares[..., :PIECES].flatten(1)).unflatten(1, (64, -1))
        stream = self.activation(self.embed(torch.cat([squares, place], dim=2)))
        if self.norm is not None:
            stream = self.norm(stream)
        if self.gain is not None and self.offset is not None:
            stream = stream * self.gain + self.offset
        if self.mlp is not None and self.mlp_norm is not None:
            stream = self.mlp_norm(stream + self.alpha * self.mlp(stream))
        return stream


def _reach() -> Float[Tensor, "64 64"]:
    """1 where a queen or knight moves on an empty board, −1 at the square itself."""
    moves = [[float(reachable(first, last)) for last in range(64)] for first in range(64)]
    return torch.tensor(moves) - torch.eye(64)
