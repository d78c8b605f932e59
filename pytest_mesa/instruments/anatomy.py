"""What a decoder is made of: blocks, attention, heads and MLP, found without per-model tables."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from pytest_mesa.instruments.stream import Stream


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
    stream: the attention or MLP itself, a norm behind it, or, where attention or MLP add the
    residual on their own, the linear map before that. An output may be a tuple with the write
    first, and ``(batch * pos, d_model)`` in nets that flatten tokens. Some nets change an
    output in place after the module has returned it (Falcon): clone what you keep.

    ``mixer`` is what else moves information between positions: a state-space or convolution
    layer, with its write.
    """

    name: str
    module: nn.Module
    attention: nn.Module | None
    heads: Heads | None
    mlp: nn.Module | None
    attention_write: nn.Module | None
    mlp_write: nn.Module | None
    mixer: nn.Module | None = None
    mixer_write: nn.Module | None = None

    @property
    def writes(self) -> dict[str, nn.Module]:
        """The modules that write to the stream, by ``attention``, ``mixer`` and ``mlp``."""
        named = {
            "attention": self.attention_write,
            "mixer": self.mixer_write,
            "mlp": self.mlp_write,
        }
        return {role: module for role, module in named.items() if module is not None}


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A decoder's parts.

    ``additive``: the writes sum to each block's change of the stream; where they don't,
    ``reason`` says in which block and by how much. ``causal``: later tokens do not change
    earlier streams.
    """

    module: nn.Module
    blocks: tuple[Block, ...]
    embedding: nn.Module | None
    final_norm: nn.Module | None
    unembedding: nn.Module | None
    additive: bool
    causal: bool
    d_model: int
    reason: str = ""

    def stream(self) -> Stream:
        """The residual stream between the blocks that were found."""
        return Stream(self.module, [block.module for block in self.blocks])
