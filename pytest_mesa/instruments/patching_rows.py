"""Which patched runs there are, and which of them go through the net together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Int

EVERYWHERE = -1  # as a row's position or head: all of them


@dataclass(frozen=True, slots=True)
class Tricks:
    """What a sweep leaves out. All on; a benchmark turns them off one by one.

    Attributes:
        start_at_layer: blocks below the patch are not computed.
        later_positions: in causal nets, positions before the patch are not computed.
        shared_prefix: in causal nets, patches before the first differing token are not run.
        read_only: only the positions that the metric reads are unembedded.
        last_mlp: nor do others go through the last block's MLP.
        batched: several patched runs at a time; those of deeper layers join on the way.
    """

    start_at_layer: bool = True
    later_positions: bool = True
    shared_prefix: bool = True
    read_only: bool = True
    last_mlp: bool = True
    batched: bool = True


EVERY_TRICK = Tricks()


@dataclass(frozen=True, slots=True)
class Rows:
    """Patched runs, one an index.

    Attributes:
        slot: the location's number in the sweep.
        prompt: which prompt.
        layer: the block whose entry or inside is patched.
        position: the patched position, or `EVERYWHERE`.
        head: the patched head, or `EVERYWHERE`.
        first: the first position at which this run may differ from the base run.
    """

    slot: Int[Tensor, " row"]
    prompt: Int[Tensor, " row"]
    layer: Int[Tensor, " row"]
    position: Int[Tensor, " row"]
    head: Int[Tensor, " row"]
    first: Int[Tensor, " row"]

    def __len__(self) -> int:
        return len(self.slot)

    def take(self, index: Tensor | slice) -> Rows:
        """Some of the rows."""
        return Rows(
            self.slot[index],
            self.prompt[index],
            self.layer[index],
            self.position[index],
            self.head[index],
            self.first[index],
        )


@dataclass(frozen=True, slots=True)
class Locations:
    """All combinations of layer, head and position, in this order."""

    layers: Sequence[int]
    heads: Sequence[int] = (EVERYWHERE,)
    positions: Sequence[int] = (EVERYWHERE,)

    def __len__(self) -> int:
        return len(self.layers) * len(self.heads) * len(self.positions)

    def rows(self, prompts: int) -> Rows:
        """A row for each location and prompt; ``first`` is the patched position."""
        layer, head, position, prompt = (
            axis.reshape(-1)
            for axis in torch.meshgrid(
                torch.tensor(self.layers, dtype=torch.long),
                torch.tensor(self.heads, dtype=torch.long),
                torch.tensor(self.positions, dtype=torch.long),
                torch.arange(prompts),
                indexing="ij",
            )
        )
        slot = torch.arange(len(self)).repeat_interleave(prompts)
        return Rows(slot, prompt, layer, position, head, position.clamp_min(0))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the net together, by layer, from position ``start`` on."""

    rows: Rows
    start: int


def batches(
    rows: Rows, length: int, layers: int, tokens: int, step: int, tricks: Tricks
) -> Iterator[Batch]:
    """Group rows so that the least is computed.

    Args:
        rows: what to run.
        length: positions in a prompt.
        layers: number of blocks.
        tokens: the most tokens in one batch (a batch has at least one row).
        step: how many tokens a block could compute in the time that calling it takes.
        tricks: what may be left out.
    """
    first = rows.first if tricks.later_positions else torch.zeros_like(rows.first)
    order = torch.argsort(first * (layers + 1) + rows.layer, stable=True)
    rows, first = rows.take(order), first[order]
    if not tricks.batched:
        for row in range(len(rows)):
            yield Batch(rows.take(slice(row, row + 1)), int(first[row]))
        return
    for low, high in _spans(first, layers - rows.layer, length, layers * step):
        start = int(first[low])
        group = rows.take(slice(low, high))
        group = group.take(torch.argsort(group.layer, stable=True))
        size = max(1, tokens // (length - start))
        for at in range(0, len(group), size):
            yield Batch(group.take(slice(at, at + size)), start)


def _spans(first: Tensor, depth: Tensor, length: int, overhead: float) -> list[tuple[int, int]]:
    """Split rows, sorted by ``first``, into spans that start at their least ``first``.

    A longer span calls the blocks less often, but computes positions that rows with a later
    ``first`` don't need. The cheapest split, by dynamic programming over distinct positions.
    """
    if not len(first):
        return []
    starts, counts = torch.unique_consecutive(first, return_counts=True)
    edges = [0, *accumulate(counts.tolist())]
    work = [0, *accumulate(depth.tolist())]
    total = [work[edge] for edge in edges]
    best, cut = [0.0], [0]
    for end in range(1, len(edges)):
        costs = [
            best[begin] + overhead + (total[end] - total[begin]) * (length - int(starts[begin]))
            for begin in range(end)
        ]
        least = min(range(end), key=costs.__getitem__)
        best.append(costs[least])
        cut.append(least)
    spans, end = [], len(edges) - 1
    while end:
        spans.append((edges[cut[end]], edges[end]))
        end = cut[end]
    return spans[::-1]
