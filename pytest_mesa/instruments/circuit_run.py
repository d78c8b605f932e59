"""Run a decoder in which chosen edges carry another run's writes: exact, for any circuit.

Every reader gets a stream of its own: clean writes along the circuit's edges, baseline writes
along all others. Most writers keep or lose nearly all their edges, so one shared stream holds
each writer as most of its readers see it, and only the exceptions are added reader by reader.
A full circuit then costs a plain run, and so does the ablation of whole nodes. Pairs may have
circuits of their own, which all run at once.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.attribution_parts import Attention, Plain, Read, Wiring
from pytest_mesa.instruments.attribution_runs import Pairs, on_input, on_output
from pytest_mesa.instruments.attribution_trunks import Answers, at_answers
from pytest_mesa.instruments.attribution_writes import Writes, on_heads
from pytest_mesa.instruments.runner import Runner

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def run_masked(
    wiring: Wiring,
    masks: Bool[Tensor, "mask writer reader"],
    own: Int[Tensor, " pair"],
    pairs: Pairs,
    base: Writes,
    run: Runner,
    answers: Answers,
) -> Float[Tensor, "answer vocabulary"]:
    """Logits at the answers where edges outside a pair's mask carry the baseline's writes.

    ``own`` says which mask is a pair's. ``base``: writes that broadcast to the pairs' (pair,
    pos). ``run``: how to run the pairs.
    """
    with torch.no_grad(), ExitStack() as stack:
        _Run(wiring, masks, own, pairs, base).hook(stack)
        stack.callback(at_answers(wiring.unembedding, answers))
        return run(pairs.clean, pairs.mask)[:, 0]


class _Run:
    """The state of one run: the shared stream, and what differs from it."""

    def __init__(
        self, wiring: Wiring, masks: Tensor, own: Tensor, pairs: Pairs, base: Writes
    ) -> None:
        edges = torch.from_numpy(wiring.graph.edges).to(masks.device)
        kept = (masks & edges).float().mean(0).sum(1)
        self.wiring = wiring
        self.base = base
        self.own = own
        self.shape = pairs.clean.shape
        self.default = kept * 2 > edges.sum(1)  # as most of a writer's readers see it
        # +1: an edge of the circuit from a writer that is otherwise ablated; -1: the reverse.
        self.signs = (masks & edges).float() - (self.default[:, None] & edges).float()
        self.special = self.signs.any(2).any(0)
        self.streams: dict[int, Tensor] = {}
        self.written: dict[int, Tensor] = {}
        self.places: list[int] = []
        self.changes: list[Tensor] = []
        self.added = 0

    def hook(self, stack: ExitStack) -> None:
        """Set all hooks."""
        wiring = self.wiring
        stack.callback(on_input(wiring.first_block, self._enter))
        normed: set[nn.Module] = set()
        for place, part in enumerate(wiring.parts):
            modules = part.modules if isinstance(part, Attention) else part.reads
            sources = modules if part.norm.module is None else (part.norm.module,)
            for source in sources:
                if source not in normed:  # parts that share a norm read the same stream
                    normed.add(source)
                    stack.callback(on_input(source, partial(self._shared, part.before)))
            if isinstance(part, Attention):
                for module in part.modules:
                    stack.callback(on_output(module, partial(self._read, part, module)))
                for remove in on_heads(part, self.shape, partial(self._write, place)):
                    stack.callback(remove)
            else:
                for module in part.reads:
                    stack.callback(on_input(module, partial(self._read_plain, part)))
                stack.callback(on_output(part.write, partial(self._write, place)))
        stack.callback(on_input(wiring.last, self._logits))

    def _enter(self, value: Tensor) -> None:
        stream, base = value.float(), self.base.stream.float()
        self.streams[1] = stream if self.default[0] else base.expand_as(stream)
        if self.special[0]:
            self.places.append(0)
            self.changes.append(stream - base)

    def _write(self, place: int, value: Tensor) -> None:
        # A copy: some nets change outputs in place.
        self.written[place] = value.reshape(*self.shape, -1).float().clone()

    def _stream(self, before: int) -> Float[Tensor, "pair pos d_model"]:
        """The shared stream with the first ``before`` writers in it."""
        while before not in self.streams:
            self._add(self.added)
            self.added += 1
        for place in [place for place in self.streams if place < before]:
            del self.streams[place]
        return self.streams[before]

    def _add(self, place: int) -> None:
        """Take one more part's writes into the shared stream, and note its special writers."""
        part, value = self.wiring.parts[place], self.written.pop(place)
        base = self.base.parts[place].float()
        if isinstance(part, Attention):
            self._add_heads(part, value, base)
            return
        stream = self.streams[part.first]
        self.streams[part.first + 1] = stream + (value if self.default[part.first] else base)
        if self.special[part.first]:
            self.places.append(part.first)
            self.changes.append(value - base)

    def _add_heads(self, part: Attention, value: Tensor, base: Tensor) -> None:
        own = slice(part.first, part.first + part.count)
        matrix = part.out_matrix()
        clean = self.default[own].repeat_interleave(part.width)
        mixed = torch.where(clean, value, base)
        stream = self.streams[part.first] + mixed @ matrix.flatten(0, 1) + part.constant()
        self.streams[part.first + part.count] = stream
        special = self.special[own].nonzero().flatten()
        if len(special):
            change = (value - base).unflatten(-1, (part.count, part.width))[:, :, special]
            self.places += (part.first + special).tolist()
            self.changes += torch.einsum("bphk,hkd->hbpd", change, matrix[special]).unbind(0)

    def _own_streams(
        self, before: int, signs: Float[Tensor, "mask writer reader"]
    ) -> Float[Tensor, "reader pair pos d_model"]:
        """Each reader's own stream."""
        shared = self._stream(before)
        seen = [place for place, writer in enumerate(self.places) if writer < before]
        weights = signs[:, [self.places[place] for place in seen]].transpose(1, 2)
        if len(weights) == 1:
            changes = torch.stack([self.changes[place] for place in seen])
            added = (weights[0] @ changes.flatten(1)).unflatten(1, shared.shape)
        else:
            changes = torch.stack([self.changes[place] for place in seen], dim=1)
            added = (weights[self.own] @ changes.flatten(2)).transpose(0, 1)
            added = added.unflatten(2, shared.shape[1:])
        own: Tensor = shared + added
        return own

    def _shared(self, before: int, value: Tensor) -> Tensor:
        return self._stream(before).reshape(value.shape).to(value)

    def _read(self, part: Attention, module: nn.Module, output: Tensor) -> Tensor | None:
        """Recompute the columns of the readers that do not see the shared stream."""
        changed: Tensor | None = None
        for read in part.reads:
            if read.columns.module is not module:
                continue
            signs = self.signs[:, :, read.first : read.first + len(read.columns.columns)]
            special = signs.any(1).any(0).nonzero().flatten()
            if not len(special):
                continue
            changed = output.clone() if changed is None else changed
            self._recompute(part, read, special, signs[:, :, special], changed)
        return changed

    def _recompute(
        self, part: Attention, read: Read, special: Tensor, signs: Tensor, output: Tensor
    ) -> None:
        streams = self._own_streams(part.before, signs)
        matrix, bias = read.matrix()
        hat, _ = part.norm.hat(streams)
        normed = hat * part.norm.gain + part.norm.shift
        values = torch.einsum("rbpd,rkd->bprk", normed, matrix[special]) + bias[special]
        columns = read.columns.columns[special].flatten()
        output.view(*self.shape, -1)[..., columns] = values.flatten(2).to(output)

    def _read_plain(self, part: Plain, value: Tensor) -> Tensor | None:
        signs = self.signs[:, :, [part.reader]]
        if not signs.any():
            return None
        hat, _ = part.norm.hat(self._own_streams(part.before, signs)[0])
        return (hat * part.norm.gain + part.norm.shift).reshape(value.shape).to(value)

    def _logits(self, value: Tensor) -> Tensor:
        signs = self.signs[:, :, -1:]
        count = len(self.wiring.graph.writers)
        if signs.any():
            return self._own_streams(count, signs)[0].to(value)
        return self._stream(count).to(value)
