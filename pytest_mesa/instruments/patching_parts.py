"""What can be patched, where it is read and written, and what a donor run held there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy import Block
from pytest_mesa.instruments.patching_rows import EVERYWHERE, Rows

if TYPE_CHECKING:
    from jaxtyping import Float


class Part(StrEnum):
    """What is patched: the stream entering a block, or something that the block makes."""

    RESIDUAL = "residual stream"
    ATTENTION = "attention write"
    MLP = "MLP write"
    HEADS = "attention heads"

    def module(self, block: Block) -> nn.Module | None:
        """The module that makes (or, for heads, takes) this part of a block; None if none does."""
        if self is Part.ATTENTION:
            return block.attention_write
        if self is Part.MLP:
            return block.mlp_write
        if self is Part.HEADS:
            return block.heads.projection if block.heads else None
        return block.module

    @contextmanager
    def read(
        self, block: Block, rows: int, values: MutableMapping[int, Tensor], layer: int
    ) -> Iterator[None]:
        """Keep what this part holds while the block runs, as ``(row, pos, width)``."""

        def keep(held: Tensor) -> None:
            copy = held.detach().clone(memory_format=torch.contiguous_format)
            values[layer] = copy.view(rows, -1, held.shape[-1])

        with self._at(block, keep, changes=False):
            yield

    @contextmanager
    def write(self, block: Block, rows: int, put: Callable[[Tensor], None]) -> Iterator[None]:
        """While the block runs, let ``put`` change a copy of what this part holds in place."""

        def change(held: Tensor) -> Tensor:
            copy = held.clone(memory_format=torch.contiguous_format)
            put(copy.view(rows, -1, held.shape[-1]))
            return copy

        with self._at(block, change, changes=True):
            yield

    @contextmanager
    def _at(self, block: Block, visit: Callable[[Tensor], Any], *, changes: bool) -> Iterator[None]:
        module = self.module(block)
        if module is None:
            raise RuntimeError(f"{block.name} has no {self}")

        def before(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            seen = visit(args[0])
            return (seen, *args[1:]) if changes else None

        def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
            if isinstance(output, tuple | list):
                seen = visit(output[0])
                return type(output)([seen, *output[1:]]) if changes else None
            return visit(output)

        hook = (
            module.register_forward_pre_hook(before)
            if self is Part.HEADS
            else module.register_forward_hook(after)
        )
        try:
            yield
        finally:
            hook.remove()


@dataclass(frozen=True, slots=True)
class Donor:
    """What a part held in the donor run, by layer."""

    part: Part
    values: Mapping[int, Float[Tensor, "batch pos width"]]
    heads: int = 1

    def put(self, held: Float[Tensor, "row pos width"], layer: int, rows: Rows, start: int) -> None:
        """Write the donor's values into ``held``, which begins at position ``start``."""
        values = self.values[layer].to(held.device)
        batch, length, width = values.shape
        values = values.view(batch, length, self.heads, width // self.heads)
        target = held.view(len(held), -1, self.heads, width // self.heads)
        row = torch.arange(len(held), device=held.device)
        prompt, head = rows.prompt.to(held.device), rows.head.to(held.device).clamp_min(0)
        if int(rows.position[0]) == EVERYWHERE:
            target[row, :, head] = values[prompt, start:, head]
            return
        position = rows.position.to(held.device)
        target[row, position - start, head] = values[prompt, position, head]
