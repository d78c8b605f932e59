"""One forward of a decoder in which patched runs join at their layers, as in a relay race.

The module's own forward makes masks and positions and calls its blocks; the blocks are wrapped
for the time of the call. A block below every patch hands its input on. At a block where rows
join, the base run's cached stream is put below the rows that are already running; what the
module made for all rows is cut to the rows that run. Behind the last block the position that
the metric reads is kept, and the call ends.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.patching_cache import RecordingCache
from pytest_mesa.instruments.patching_parts import Donor, Part
from pytest_mesa.instruments.patching_rows import Batch, Tricks
from pytest_mesa.instruments.stream import (
    SiteError,
    entering,
    stream_name,
    stream_of,
    with_entering,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int

BlockForward = Callable[..., Any]


class _Finished(Exception):  # noqa: N818
    """Raised behind the last block: what is read there is kept, nothing need be unembedded."""


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


class Relay:
    """Runs a decoder with its blocks taken over."""

    def __init__(self, net: Anatomy) -> None:
        self.net = net
        self.blocks = [block.module for block in net.blocks]
        self._parameters = frozenset(inspect.signature(net.module.forward).parameters)
        self.names = [stream_name(block) for block in self.blocks]
        self._forms: list[int | None] = [None] * len(self.blocks)  # a returned tuple's length
        self._leading: list[list[int]] = []

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def caches(self) -> bool:
        """Whether the module takes a cache of keys and values."""
        return "past_key_values" in self._parameters

    def record(self, ids: Tensor, mask: Tensor, *, cached: bool) -> Base:
        """Run the base; keep its streams, and its keys and values where it has any."""
        cache = RecordingCache(self.layers) if cached and self.caches else None
        streams: list[Tensor] = []
        read = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        rows = torch.arange(len(ids), device=ids.device)

        def wrap(layer: int, own: BlockForward) -> BlockForward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                streams.append(entering(args, kwargs, self.names[layer]))
                output = own(*args, **kwargs)
                self._forms[layer] = len(output) if isinstance(output, tuple | list) else None
                if layer < self.layers - 1:
                    return output
                streams.append(stream_of(output))
                raise _Finished

            return forward

        with self._wrapped(wrap):
            self._call(ids, mask, cache)
        final = streams[-1][rows, read.to(streams[-1].device)]
        if cache is not None and not cache.complete:
            cache = None
        return Base(ids, mask, read, streams, final, cache)

    def donate(self, ids: Tensor, mask: Tensor, part: Part, layers: Sequence[int]) -> Donor:
        """Run the donor; keep what ``part`` holds at these layers."""
        values: dict[int, Tensor] = {}

        def wrap(layer: int, own: BlockForward) -> BlockForward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                if part is Part.RESIDUAL and layer in layers:
                    values[layer] = entering(args, kwargs, self.names[layer])
                if layer not in layers or part is Part.RESIDUAL:
                    output = own(*args, **kwargs)
                else:
                    with part.read(self.net.blocks[layer], len(ids), values, layer):
                        output = own(*args, **kwargs)
                if layer < self.layers - 1:
                    return output
                values[self.layers] = stream_of(output)
                raise _Finished

            return forward

        with self._wrapped(wrap):
            self._call(ids, mask)
        if part is not Part.RESIDUAL or self.layers not in layers:
            del values[self.layers]
        return Donor(part, values)

    def run(
        self, base: Base, batch: Batch, donor: Donor, tricks: Tricks
    ) -> Float[Tensor, "row d_model"]:
        """Run patched rows; what leaves the last block at the position that is read."""
        leg = _Leg(self, base, batch, donor, tricks)
        prompts = batch.rows.prompt.to(base.ids.device)
        cache = base.cache.continued(batch.start, prompts) if base.cache else None
        with self._wrapped(leg.wrap):
            self._call(base.ids[prompts, batch.start :], base.mask[prompts], cache)
        if leg.final is None:
            raise SiteError("the module did not call its last block")
        return leg.final

    def logits(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """Final norm and unembedding of what leaves the last block."""
        last = self.layers - 1

        def wrap(layer: int, _own: BlockForward) -> BlockForward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                stream = (
                    final[:, None] if layer == last else entering(args, kwargs, self.names[layer])
                )
                return self.as_output(layer, stream)

            return forward

        ids = torch.zeros((len(final), 1), dtype=torch.long, device=final.device)
        with self._wrapped(wrap):
            return self._call(ids, torch.ones_like(ids))[:, -1]

    def learn(self, base: Base) -> None:
        """See which of the blocks' arguments grow with the number of rows."""
        seen: list[list[list[int]]] = []
        mask = base.mask[:1].clone()
        mask[:, -1] = 0  # padding, so that no mask is left out
        for rows in (5, 7):
            shapes: list[list[int]] = [[] for _ in self.blocks]

            def wrap(
                layer: int, _own: BlockForward, into: list[list[int]] = shapes
            ) -> BlockForward:
                def forward(*args: Any, **kwargs: Any) -> Any:
                    leaves, _ = tree_flatten((args, kwargs))
                    into[layer] = [_length(leaf) for leaf in leaves]
                    stream = entering(args, kwargs, self.names[layer])
                    if layer == self.layers - 1:
                        raise _Finished
                    return self.as_output(layer, stream)

                return forward

            start = int(base.cache is not None and base.ids.shape[1] > 1)
            prompts = torch.zeros(rows, dtype=torch.long, device=base.ids.device)
            cache = base.cache.continued(start, prompts) if base.cache else None
            with self._wrapped(wrap):
                self._call(base.ids[prompts, start:], mask[prompts], cache)
            seen.append(shapes)
        self._leading = [
            [few // 5 if few % 5 == 0 and few * 7 == many * 5 else 0 for few, many in pairs]
            for pairs in (
                list(zip(small, large, strict=True)) for small, large in zip(*seen, strict=True)
            )
        ]

    def cut(self, layer: int, args: Any, kwargs: Any, rows: int) -> tuple[Any, Any]:
        """A block's arguments for the first ``rows`` rows."""
        leaves, spec = tree_flatten((args, kwargs))
        times = self._leading[layer]
        if len(times) != len(leaves):
            raise SiteError(f"block {layer} is called in different ways")
        cut = [
            leaf[: rows * k] if k and isinstance(leaf, Tensor) else leaf
            for leaf, k in zip(leaves, times, strict=True)
        ]
        out: tuple[Any, Any] = tree_unflatten(cut, spec)
        return out

    def as_output(self, layer: int, stream: Tensor) -> Any:
        """A stream in the form in which this block returns it."""
        form = self._forms[layer]
        return stream if form is None else (stream, *[None] * (form - 1))

    def _call(self, ids: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        """The module's logits."""
        padded = not bool(mask.all())
        if "input_ids" not in self._parameters:
            plain: Tensor = self.net.module(ids, mask) if padded else self.net.module(ids)
            return plain
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if "use_cache" in self._parameters:
            inputs["use_cache"] = cache is not None
        if cache is not None:
            inputs["past_key_values"] = cache
        if "position_ids" in self._parameters and padded and not bool(mask[:, 0].all()):
            places = (mask.cumsum(1) - 1).clamp_min(0)
            inputs["position_ids"] = places[:, -ids.shape[1] :]
        out: Tensor = self.net.module(**inputs).logits
        return out

    @contextmanager
    def _wrapped(self, wrap: Callable[[int, BlockForward], BlockForward]) -> Iterator[None]:
        """With the blocks taken over, until one says that no more need be computed."""
        with torch.no_grad(), suppress(_Finished), ExitStack() as stack:
            for layer, block in enumerate(self.blocks):
                stack.enter_context(_replaced(block, wrap(layer, block.forward)))
            yield


class _Leg:
    """One call's state: how many rows run at each block, and where they end."""

    def __init__(
        self, relay: Relay, base: Base, batch: Batch, donor: Donor, tricks: Tricks
    ) -> None:
        self.relay, self.base, self.batch, self.donor = relay, base, batch, donor
        self.tricks = tricks
        layers = torch.arange(relay.layers + 1)
        at = batch.rows.layer.contiguous()
        self.lows = torch.searchsorted(at, layers).tolist()
        self.highs = torch.searchsorted(at, layers, right=True).tolist()
        self.final: Tensor | None = None

    def active(self, layer: int) -> int:
        """How many rows run at this block; none before the first."""
        if layer < 0:
            return 0
        return self.highs[layer] if self.tricks.start_at_layer else len(self.batch.rows)

    def wrap(self, layer: int, own: BlockForward) -> BlockForward:
        """The block's forward for this call."""

        def forward(*args: Any, **kwargs: Any) -> Any:
            stream = entering(args, kwargs, self.relay.names[layer])
            rows = self.active(layer)
            output = None
            if rows:
                stream = self._joined(layer, stream)
                args, kwargs = self.relay.cut(layer, args, kwargs, rows)
                args, kwargs = with_entering(args, kwargs, stream, self.relay.names[layer])
                with self._inside(layer):
                    output = own(*args, **kwargs)
                stream = stream_of(output)
            if layer < self.relay.layers - 1:
                return self.relay.as_output(layer, stream) if output is None else output
            self._finish(stream)
            raise _Finished

        return forward

    def _joined(self, layer: int, stream: Tensor) -> Tensor:
        """The running rows' stream, with the rows below it that join here; patched."""
        before, rows = self.active(layer - 1), self.active(layer)
        if rows > before:
            prompts = self.batch.rows.prompt[before:rows].to(stream.device)
            fresh = self.base.streams[layer].to(stream.device)[prompts, self.batch.start :]
            stream = torch.cat([stream[:before], fresh]) if before else fresh
        low, high = self.lows[layer], self.highs[layer]
        if self.donor.part is Part.RESIDUAL and high > low:
            if rows == before:
                stream = stream.clone()
            patched = self.batch.rows.take(slice(low, high))
            self.donor.put(stream[low:high], layer, patched, self.batch.start)
        return stream

    @contextmanager
    def _inside(self, layer: int) -> Iterator[None]:
        """Patch what this block's rows hold inside it; spare the last MLP what no one reads."""
        low, high = self.lows[layer], self.highs[layer]
        block = self.relay.net.blocks[layer]
        part = self.donor.part
        with ExitStack() as stack:
            if part is not Part.RESIDUAL and high > low:
                patched = self.batch.rows.take(slice(low, high))
                rows = self.active(layer)

                def put(values: Tensor) -> None:
                    self.donor.put(values[low:high], layer, patched, self.batch.start)

                stack.enter_context(part.write(block, rows, put))
            last = layer == self.relay.layers - 1
            if last and self.tricks.last_mlp and part is not Part.MLP and block.mlp is not None:
                hook = block.mlp.register_forward_pre_hook(self._only_read)
                stack.callback(hook.remove)
            yield

    def _only_read(self, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The MLP's input at the read position alone; its output is added to all positions."""
        if not args or args[0].ndim != 3:
            return args
        rows, read = self._read(args[0])
        return (args[0][rows, read][:, None], *args[1:])

    def _read(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the read position in each running row."""
        rows = torch.arange(len(stream), device=stream.device)
        read = self.base.read[self.batch.rows.prompt[: len(stream)].to(self.base.read.device)]
        return rows, (read - self.batch.start).to(stream.device)

    def _finish(self, stream: Tensor) -> None:
        """Keep the read position, also of rows that are patched behind the last block."""
        layers = self.relay.layers
        rows, total = self.active(layers - 1), len(self.batch.rows)
        if rows < total:
            prompts = self.batch.rows.prompt[rows:].to(stream.device)
            fresh = self.base.streams[layers].to(stream.device)[prompts, self.batch.start :]
            stream = torch.cat([stream[:rows], fresh]) if rows else fresh
        if self.lows[layers] < total:
            patched = self.batch.rows.take(slice(self.lows[layers], total))
            self.donor.put(stream[self.lows[layers] :], layers, patched, self.batch.start)
        if not self.tricks.read_only:
            self.relay.logits(stream.flatten(0, 1))
        where = self._read(stream)
        self.final = stream[where]


def _length(leaf: Any) -> int:
    return len(leaf) if isinstance(leaf, Tensor) and leaf.ndim else 0


@contextmanager
def _replaced(block: nn.Module, forward: BlockForward) -> Iterator[None]:
    """Another forward for a block, in place of its own or of what has wrapped it before."""
    own = block.__dict__.get("forward")
    block.forward = forward
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own
