"""The residual stream of any torch decoder: read it, write it, run on from the middle.

A stream has ``layers + 1`` places: layer ``l`` is what enters block ``l``; the last is what
leaves the last block. Hooks live only as long as the call that sets them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Edit = Callable[[Tensor], Tensor]  # (batch, pos, d_model) → the same shape
TOLERANCE = 1e-4  # of the largest logit: far above float32 noise, far below any effect


class SiteError(ValueError):
    """A layer, position or stream that the subject does not have, or that misbehaves."""


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A place in the stream. ``onward``: the same position in every layer from this one on."""

    layer: int
    position: int
    onward: bool = False


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks of a decoder: the longest list of children of one class, outermost first.

    Raises:
        SiteError: no `nn.ModuleList` with at least one child.
    """
    best: list[nn.Module] = []
    for child in module.modules():
        if isinstance(child, nn.ModuleList) and len(child) > len(best):
            blocks = list(child)
            if len({type(block) for block in blocks}) == 1:
                best = blocks
    if not best:
        raise SiteError("found no list of same-class blocks; name the blocks")
    return best


def stream_of(output: Any) -> Tensor:
    """The residual stream in a block's output: the tensor, or the first of a tuple."""
    first = output[0] if isinstance(output, tuple) else output
    if not isinstance(first, Tensor) or first.ndim != 3:
        raise SiteError("a block's output is no (batch, pos, d_model) tensor")
    return first


def with_stream(output: Any, stream: Tensor) -> Any:
    """A block's output with another residual stream in it."""
    return (stream, *output[1:]) if isinstance(output, tuple) else stream


class Stream:
    """Reads and writes the residual stream of a module that maps token ids to logits.

    Args:
        module: maps ids ``(batch, pos)`` to logits ``(batch, pos, vocabulary)``.
        blocks: its blocks in order; found when not given.
    """

    def __init__(self, module: nn.Module, blocks: list[nn.Module] | None = None) -> None:
        self.module = module
        self.blocks = blocks or find_blocks(module)
        self._tuples: bool | None = None  # whether blocks return tuples; seen on the first run

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def logits(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocabulary"]:
        """A plain run."""
        out: Tensor = self.module(ids)
        return out

    def capture(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "layer batch pos d_model"]:
        """The stream at every layer of a plain run, without gradients."""
        seen: list[Tensor] = []

        def record(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(entering(args, kwargs).detach())

        def record_last(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self._tuples = isinstance(output, tuple)
            seen.append(stream_of(output).detach())

        with torch.no_grad(), ExitStack() as stack:
            for block in self.blocks:
                handle = block.register_forward_pre_hook(record, with_kwargs=True)
                stack.callback(handle.remove)
            stack.callback(self.blocks[-1].register_forward_hook(record_last).remove)
            self.module(ids)
        return torch.stack(seen)

    def resume(
        self,
        ids: Int[Tensor, "batch pos"],
        stream: Float[Tensor, "batch pos d_model"],
        layer: int,
        edits: Mapping[int, Edit] | None = None,
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """Run on from ``stream`` entering ``layer``; earlier blocks are not computed.

        ``edits`` change the stream as it enters further layers (after the last block, too).
        Gradients flow to ``stream`` and to what the edits hold.

        Raises:
            SiteError: no such layer.
        """
        if not 0 <= layer <= self.layers:
            raise SiteError(f"layer {layer} is outside 0..{self.layers}")
        if self._tuples is None:
            self.capture(ids[:1])
        changes: dict[int, Edit] = dict(edits or {})
        inner = changes.get(layer)
        changes[layer] = (lambda _old: inner(stream)) if inner else (lambda _old: stream)
        with ExitStack() as stack:
            for block in self.blocks[:layer]:
                stack.enter_context(_skipped(block, tuples=bool(self._tuples)))
            for place, edit in changes.items():
                stack.callback(self._edit_at(place, edit))
            out: Tensor = self.module(ids)
        return out

    def _edit_at(self, place: int, edit: Edit) -> Callable[[], None]:
        """Hook one edit in; the remover."""
        if place < self.layers:

            def change(
                _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
            ) -> tuple[tuple[Any, ...], dict[str, Any]]:
                if args:
                    return (edit(args[0]), *args[1:]), kwargs
                return args, kwargs | {"hidden_states": edit(kwargs["hidden_states"])}

            return self.blocks[place].register_forward_pre_hook(change, with_kwargs=True).remove
        return (
            self.blocks[-1]
            .register_forward_hook(
                lambda _m, _a, output: with_stream(output, edit(stream_of(output)))
            )
            .remove
        )

    def check(self, ids: Int[Tensor, "batch pos"]) -> None:
        """Prove on two runs that reading and writing this stream mean what they should.

        Patching a run with itself changes nothing, and a full patch with another run's stream
        reproduces that run, at every layer. ``ids`` needs two different rows.

        Raises:
            SiteError: one of the two fails, with the layer and the size of the difference.
        """
        with torch.no_grad():
            plain = self.logits(ids)
            stream = self.capture(ids)
            scale = float(plain.abs().max()) + 1e-6
            for layer in range(self.layers + 1):
                own = self.resume(ids, stream[layer], layer)
                flipped = self.resume(ids, stream[layer].flip(0), layer)
                for what, got, want in (
                    ("patching a run with itself changes it", own, plain),
                    ("a full patch does not give the donor's run", flipped, plain.flip(0)),
                ):
                    gap = float((got - want).abs().max()) / scale
                    if gap > TOLERANCE:
                        raise SiteError(f"at layer {layer}, {what} (by {gap:.1e} of the logits)")


def entering(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The residual stream in a block's arguments: the first, or ``hidden_states``."""
    stream = args[0] if args else kwargs.get("hidden_states")
    if not isinstance(stream, Tensor) or stream.ndim != 3:
        raise SiteError("a block's input is no (batch, pos, d_model) tensor")
    return stream


@contextmanager
def _skipped(block: nn.Module, *, tuples: bool) -> Iterator[None]:
    """Let a block hand its input on, in the form that its callers expect."""

    def hand_on(*args: Any, **kwargs: Any) -> Any:
        stream = entering(args, kwargs)
        return (stream,) if tuples else stream

    own = block.__dict__.get("forward")  # set where something else has wrapped this block
    block.forward = hand_on
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own
