"""What the blocks do in one call: which rows run, where others join, and what is patched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.patching_cache import RecordingCache
from pytest_mesa.instruments.patching_calls import BlockForward, Calls, Finished
from pytest_mesa.instruments.patching_parts import Donor, Part
from pytest_mesa.instruments.patching_rows import Batch, Tricks
from pytest_mesa.instruments.stream import stream_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True)
class Base:
    """The run into which patches are put.

    Attributes:
        ids: its tokens, ``(batch, pos)``.
        mask: 1 where there is a token, 0 where padding.
        read: the last position with a token, which the metric reads.
        streams: what enters each block, and what leaves the last.
        final: the last of these at ``read``.
        cache: keys and values of every block; None where a block has none.
    """

    ids: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    read: Int[Tensor, " batch"]
    streams: Sequence[Float[Tensor, "batch pos d_model"]]
    final: Float[Tensor, "batch d_model"]
    cache: RecordingCache | None


class Leg:
    """One call's state: how many rows run at each block, and where they end."""

    def __init__(
        self,
        net: Anatomy,
        calls: Calls,
        base: Base,
        batch: Batch,
        donor: Donor,
        tricks: Tricks,
    ) -> None:
        self.net, self.calls, self.base, self.batch = net, calls, base, batch
        self.donor, self.tricks = donor, tricks
        self.last = len(net.blocks) - 1
        layers = torch.arange(len(net.blocks) + 1)
        at = batch.rows.layer.contiguous()
        self.lows = torch.searchsorted(at, layers).tolist()
        self.highs = torch.searchsorted(at, layers, right=True).tolist()
        self.stream: Tensor | None = None

    def active(self, layer: int) -> int:
        """How many rows run at this block; none before the first."""
        if layer < 0:
            return 0
        return self.highs[layer] if self.tricks.start_at_layer else len(self.batch.rows)

    def wrap(self, layer: int, own: BlockForward) -> BlockForward:
        """The block's forward for this call."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            stream = self.calls.stream(layer, args, kwargs)
            rows = self.active(layer)
            output = None
            if rows:
                stream = self._joined(layer, stream)
                cut = self.calls.cut(layer, args, kwargs, rows)
                args, kwargs = self.calls.with_stream(layer, *cut, stream)
                with self._inside(layer):
                    output = own(*args, **kwargs)
                stream = stream_of(output)
            if layer < self.last:
                return self.calls.output(layer, stream) if output is None else output
            self.stream = self._ended(stream)
            raise Finished

        return forward

    def _joined(self, layer: int, stream: Tensor) -> Tensor:
        """The running rows' stream, with the rows below it that join here; patched."""
        before, rows = self.active(layer - 1), self.active(layer)
        if rows > before:
            fresh = self._fresh(layer, before, rows, stream.device)
            stream = torch.cat([stream[:before], fresh]) if before else fresh
        low, high = self.lows[layer], self.highs[layer]
        if self.donor.part is Part.RESIDUAL and high > low:
            if rows == before:
                stream = stream.clone()
            patched = self.batch.rows.take(slice(low, high))
            self.donor.put(stream[low:high], layer, patched, self.batch.start)
        return stream

    def _fresh(self, layer: int, low: int, high: int, device: torch.device) -> Tensor:
        """The base run's stream of these rows' prompts, from the batch's start on."""
        prompts = self.batch.rows.prompt[low:high].to(device)
        return self.base.streams[layer].to(device)[prompts, self.batch.start :]

    @contextmanager
    def _inside(self, layer: int) -> Iterator[None]:
        """Patch what this block's rows hold inside it; spare the last MLP what no one reads."""
        low, high = self.lows[layer], self.highs[layer]
        block = self.net.blocks[layer]
        part = self.donor.part
        with ExitStack() as stack:
            if part is not Part.RESIDUAL and high > low:
                patched = self.batch.rows.take(slice(low, high))
                rows = self.active(layer)

                def put(values: Tensor) -> None:
                    self.donor.put(values[low:high], layer, patched, self.batch.start)

                stack.enter_context(part.write(block, rows, put))
            spared = layer == self.last and self.tricks.last_mlp and part is not Part.MLP
            if spared and block.mlp is not None:
                hook = block.mlp.register_forward_pre_hook(self._only_read)
                stack.callback(hook.remove)
            yield

    def _only_read(self, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The MLP's input at the read position alone; its output is added to all positions."""
        if not args or args[0].ndim != 3:
            return args
        rows, read = self.read(args[0])
        return (args[0][rows, read][:, None], *args[1:])

    def read(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the position that the metric reads, in each running row."""
        rows = torch.arange(len(stream), device=stream.device)
        read = self.base.read[self.batch.rows.prompt[: len(stream)].to(self.base.read.device)]
        return rows, (read - self.batch.start).to(stream.device)

    def _ended(self, stream: Tensor) -> Tensor:
        """What leaves the last block, with the rows that are patched behind it."""
        after = self.last + 1
        rows, total = self.active(self.last), len(self.batch.rows)
        if rows < total:
            fresh = self._fresh(after, rows, total, stream.device)
            stream = torch.cat([stream[:rows], fresh]) if rows else fresh
        low = self.lows[after]
        if low < total:
            patched = self.batch.rows.take(slice(low, total))
            self.donor.put(stream[low:], after, patched, self.batch.start)
        return stream
