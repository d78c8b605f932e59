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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.patching_cache import RecordingCache
from pytest_mesa.instruments.patching_calls import (
    BlockForward,
    Calls,
    Finished,
    lengths,
    replaced,
)
from pytest_mesa.instruments.patching_leg import Base, Leg
from pytest_mesa.instruments.patching_parts import Donor, Part
from pytest_mesa.instruments.patching_rows import Batch, Tricks
from pytest_mesa.instruments.stream import SiteError, stream_of

if TYPE_CHECKING:
    from jaxtyping import Float


class Relay:
    """Runs a decoder with its blocks taken over."""

    def __init__(self, net: Anatomy) -> None:
        self.net = net
        self.blocks = [block.module for block in net.blocks]
        self.calls = Calls(self.blocks)
        self._parameters = frozenset(inspect.signature(net.module.forward).parameters)
        self._huggingface = "input_ids" in self._parameters
        self._shifted = False  # whether padding moves a prompt's tokens from their columns

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
        columns = torch.arange(ids.shape[1], device=mask.device)
        self._shifted = bool(((mask.cumsum(1) - 1 != columns) & mask.bool()).any())
        cache = RecordingCache(self.layers) if cached and self.caches else None
        streams: list[Tensor] = []
        read = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        rows = torch.arange(len(ids), device=ids.device)

        def wrap(layer: int, own: BlockForward) -> BlockForward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                streams.append(self.calls.stream(layer, args, kwargs))
                output = own(*args, **kwargs)
                self.calls.saw(layer, output)
                if layer < self.layers - 1:
                    return output
                streams.append(stream_of(output))
                raise Finished

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
                    values[layer] = self.calls.stream(layer, args, kwargs)
                if layer not in layers or part is Part.RESIDUAL:
                    output = own(*args, **kwargs)
                else:
                    with part.read(self.net.blocks[layer], len(ids), values, layer):
                        output = own(*args, **kwargs)
                if layer < self.layers - 1:
                    return output
                values[self.layers] = stream_of(output)
                raise Finished

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
        leg = Leg(self.net, self.calls, base, batch, donor, tricks)
        prompts = batch.rows.prompt.to(base.ids.device)
        cache = base.cache.continued(batch.start, prompts) if base.cache else None
        with self._wrapped(leg.wrap):
            self._call(base.ids[prompts, batch.start :], base.mask[prompts], cache)
        if leg.stream is None:
            raise SiteError("the module did not call its last block")
        if not tricks.read_only:
            self.logits(leg.stream.flatten(0, 1))
        return leg.stream[leg.read(leg.stream)]

    def logits(self, final: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocabulary"]:
        """Final norm and unembedding of what leaves the last block."""
        last = self.layers - 1

        def wrap(layer: int, _own: BlockForward) -> BlockForward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                stream = final[:, None] if layer == last else self.calls.stream(layer, args, kwargs)
                return self.calls.output(layer, stream)

            return forward

        ids = torch.zeros((len(final), 1), dtype=torch.long, device=final.device)
        with self._wrapped(wrap):
            return self._call(ids, torch.ones_like(ids))[:, -1]

    def learn(self, base: Base) -> None:
        """See which of the blocks' arguments grow with the number of rows."""
        counts = (5, 7)
        seen: list[list[list[int]]] = [[] for _ in self.blocks]

        def wrap(layer: int, _own: BlockForward) -> BlockForward:
            def forward(*args: Any, **kwargs: Any) -> Any:
                seen[layer].append(lengths(args, kwargs))
                if layer == self.layers - 1:
                    raise Finished
                return self.calls.output(layer, self.calls.stream(layer, args, kwargs))

            return forward

        mask = base.mask[:1].clone()
        if self._huggingface:
            mask[:, -1] = 0  # padding, so that no mask is left out
        start = int(base.cache is not None and base.ids.shape[1] > 1)
        for rows in counts:
            prompts = torch.zeros(rows, dtype=torch.long, device=base.ids.device)
            cache = base.cache.continued(start, prompts) if base.cache else None
            with self._wrapped(wrap):
                self._call(base.ids[prompts, start:], mask[prompts], cache)
        for layer, at_both in enumerate(seen):
            self.calls.learn(layer, at_both, counts)

    def _call(self, ids: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        """The module's logits. Positions count real tokens, as `runner.runner_of` counts them."""
        if not self._huggingface:
            whole = bool(mask.all())
            plain: Tensor = self.net.module(ids) if whole else self.net.module(ids, mask)
            return plain
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if "use_cache" in self._parameters:
            inputs["use_cache"] = cache is not None
        if cache is not None:
            inputs["past_key_values"] = cache
        if self._shifted and "position_ids" in self._parameters:
            places = (mask.cumsum(1) - 1).clamp_min(0)
            inputs["position_ids"] = places[:, -ids.shape[1] :]
        out: Tensor = self.net.module(**inputs).logits
        return out

    @contextmanager
    def _wrapped(self, wrap: Callable[[int, BlockForward], BlockForward]) -> Iterator[None]:
        """With the blocks taken over, until one says that no more need be computed."""
        with torch.no_grad(), suppress(Finished), ExitStack() as stack:
            for layer, block in enumerate(self.blocks):
                stack.enter_context(replaced(block, wrap(layer, block.forward)))
            yield
