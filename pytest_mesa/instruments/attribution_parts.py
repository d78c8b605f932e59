"""How a decoder's parts are wired to its residual stream: through which norm and which map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.attribution_graph import Graph, Part
from pytest_mesa.instruments.attribution_norm import Norm
from pytest_mesa.instruments.attribution_ports import Columns
from pytest_mesa.instruments.runner import Runner
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Read:
    """A linear map's columns that readers of one kind own; ``first`` is the first reader."""

    columns: Columns
    first: int

    def matrix(self) -> tuple[Float[Tensor, "reader width d_model"], Float[Tensor, "reader width"]]:
        """The map's rows, reader by reader, and its bias, in float32."""
        weight, bias = linear_map(self.columns.module)
        return weight[self.columns.columns].float(), bias[self.columns.columns].float()


@dataclass(frozen=True, slots=True)
class Attention:
    """A block's heads: ``before`` writers are seen, the heads are writers from ``first`` on.

    ``after`` is a norm between the projection and the stream. A head's write is then its share
    of the attention's write: what it adds at the scale that the norm gives the whole.
    """

    layer: int
    norm: Norm
    reads: tuple[Read, ...]
    projection: nn.Module
    write: nn.Module
    after: Norm | None
    count: int
    width: int
    before: int
    first: int

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The linear maps that read, each once."""
        return tuple(dict.fromkeys(read.columns.module for read in self.reads))

    def out_matrix(self) -> Float[Tensor, "head width d_model"]:
        """What each head's output is mapped to in the stream, in float32."""
        weight, _ = linear_map(self.projection)
        matrix = weight.T.float()
        if self.after is not None:
            if self.after.centred:
                matrix = matrix - matrix.mean(-1, keepdim=True)
            matrix = matrix * self.after.gain
        return matrix.reshape(self.count, self.width, -1)

    def constant(self) -> Float[Tensor, " d_model"]:
        """What the attention writes on top of its heads, in float32."""
        return linear_map(self.projection)[1].float() if self.after is None else self.after.shift


@dataclass(frozen=True, slots=True)
class Plain:
    """An MLP or mixer: one writer, ``first``, fed by one reader; ``reads`` take its input."""

    layer: int
    part: Part
    norm: Norm
    reads: tuple[nn.Module, ...]
    write: nn.Module
    reader: int
    before: int
    first: int


@dataclass(frozen=True)
class Wiring:
    """A decoder ready for attribution.

    Args:
        anatomy: its parts.
        run: ids and mask to logits.
        graph: its writers and readers.
        parts: what each block adds, in the order in which it is added.
        last: the module that reads the stream behind the last block.
        unembedding: the map to logits.
    """

    anatomy: Anatomy
    run: Runner
    graph: Graph
    parts: tuple[Attention | Plain, ...]
    last: nn.Module
    unembedding: nn.Module

    @property
    def first_block(self) -> nn.Module:
        """Where the embedded input enters."""
        return self.anatomy.blocks[0].module


def linear_map(module: nn.Module) -> tuple[Float[Tensor, "out in"], Float[Tensor, " out"]]:
    """Weight and bias of a linear map, whichever way round the weight is stored."""
    weight = module.weight
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise SiteError(f"{type(module).__name__} is no linear map with a plain weight")
    matrix = weight.detach() if isinstance(module, nn.Linear) else weight.detach().T
    bias = getattr(module, "bias", None)
    zero = torch.zeros(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return matrix, bias.detach() if isinstance(bias, Tensor) else zero
