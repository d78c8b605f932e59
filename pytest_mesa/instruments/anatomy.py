"""What a decoder is made of: blocks, attention, heads and MLP, found without per-model tables."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True)
class Heads:
    """A block's attention heads, readable before the output projection.

    The input of ``projection`` is ``(batch, pos, count * width)``: the heads' outputs side by
    side. ``groups`` key-value heads serve ``count`` query heads (equal without grouping).
    """

    projection: nn.Module
    count: int
    width: int
    groups: int


@dataclass(frozen=True, slots=True)
class Block:
    """One block; None where it has no such part, or where it could not be found.

    ``attention_write`` and ``mlp_write`` are the modules whose output is added to the residual
    stream: the attention or MLP itself, or a norm behind it.
    """

    name: str
    module: nn.Module
    attention: nn.Module | None
    heads: Heads | None
    mlp: nn.Module | None
    attention_write: nn.Module | None
    mlp_write: nn.Module | None


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A decoder's parts. ``additive``: the writes sum to each block's change of the stream."""

    module: nn.Module
    blocks: tuple[Block, ...]
    embedding: nn.Module | None
    final_norm: nn.Module | None
    unembedding: nn.Module | None
    additive: bool
