"""The residual stream of any torch decoder: read it, write it, run on from the middle.

A stream has ``layers + 1`` places: layer ``l`` is what enters block ``l``; the last is what
leaves the last block. Hooks live only as long as the call that sets them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa._explained import CellError
from pytest_mesa.instruments.runner import runner_of

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from pytest_mesa.instruments.past import Past

Edit = Callable[[Tensor], Tensor]  # (batch, pos, d_model) → the same shape
TOLERANCE = 1e-4  # of the largest value: far above float32 noise, far below any effect


class SiteError(CellError, ValueError):
    """A layer, position or stream that the subject does not have, or that misbehaves."""


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A place in the stream. ``onward``: the same position in every layer from this one on."""

    layer: int
    position: int
    onward: bool = False


def find_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks of a decoder: the longest list of children of one class, outermost first.

    Hybrid nets have blocks of several classes: where no list is of one class, the longest.

    Raises:
        SiteError: no `nn.ModuleList` with at least one child.
    """
    lists = [list(child) for child in module.modules() if isinstance(child, nn.ModuleList)]
    alike = [blocks for blocks in lists if len({type(block) for block in blocks}) == 1]
    best = max(alike or lists, key=len, default=[])
    if not best:
        raise SiteError("found no list of same-class blocks; name the blocks")
    return best


def tolerance(values: Tensor) -> float:
    """The relative difference that is still rounding, in the precision of ``values``."""
    return max(TOLERANCE, 8 * torch.finfo(values.dtype).eps)


def stream_of(output: Any) -> Tensor:
    """The residual stream in a block's output: the tensor, or the first of a tuple or list."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    if not isinstance(first, Tensor) or first.ndim != 3:
        raise SiteError("a block's output is no (batch, pos, d_model) tensor")
    return first


def with_stream(output: Any, stream: Tensor) -> Any:
    """A block's output with another residual stream in it."""
    return type(output)([stream, *output[1:]]) if isinstance(output, tuple | list) else stream


def entering(args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str = "") -> Tensor:
    """The residual stream in a block's arguments: the first, ``name`` or ``hidden_states``."""
    stream = args[0] if args else kwargs.get(name, kwargs.get("hidden_states"))
    if not isinstance(stream, Tensor) or stream.ndim != 3:
        raise SiteError("a block's input is no (batch, pos, d_model) tensor")
    return stream


def with_entering(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], stream: Tensor, name: str = ""
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A block's arguments with another residual stream in them."""
    if args:
        return (stream, *args[1:]), dict(kwargs)
    return args, {**kwargs, (name if name in kwargs else "hidden_states"): stream}


def stream_name(block: nn.Module) -> str:
    """What a block calls its first argument, which is the stream."""
    names = list(inspect.signature(type(block).forward).parameters)
    return names[1] if len(names) > 1 else ""  # the first is self


class Stream:
    """Reads and writes the residual stream of a decoder.

    Args:
        module: maps ids ``(batch, pos)`` to logits ``(batch, pos, vocabulary)``; or a Hugging
            Face decoder.
        blocks: its blocks in order; found when not given.
    """

    def __init__(self, module: nn.Module, blocks: list[nn.Module] | None = None) -> None:
        self.module = module
        self.blocks = blocks or find_blocks(module)
        self._run = runner_of(module)
        self._forms: list[int | None] = []  # a block's returned tuple's length; seen on a run

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def logits(
        self, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"] | None = None
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """A plain run."""
        return self._run(ids, mask)

    def capture(
        self,
        ids: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"] | None = None,
        run: Callable[[], object] | None = None,
    ) -> Float[Tensor, "layer batch pos d_model"]:
        """The stream at every layer of a plain run (or of ``run``), without gradients."""
        seen: list[Tensor] = []
        forms: list[int | None] = []

        def record(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(entering(args, kwargs, stream_name(block)).detach().to(ids.device))

        def record_form(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            forms.append(len(output) if isinstance(output, tuple | list) else None)

        def record_last(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            seen.append(stream_of(output).detach().to(ids.device))

        with torch.no_grad(), ExitStack() as stack:
            for block in self.blocks:
                handle = block.register_forward_pre_hook(record, with_kwargs=True)
                stack.callback(handle.remove)
                stack.callback(block.register_forward_hook(record_form).remove)
            stack.callback(self.blocks[-1].register_forward_hook(record_last).remove)
            run() if run else self._run(ids, mask)
        self._forms = forms
        return torch.stack(seen)

    def resume(
        self,
        ids: Int[Tensor, "batch pos"],
        stream: Float[Tensor, "batch pos d_model"],
        layer: int,
        edits: Mapping[int, Edit] | None = None,
        mask: Int[Tensor, "batch pos"] | None = None,
        past: Past | None = None,
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """Run on from ``stream`` entering ``layer``; earlier blocks are not computed.

        ``edits`` change the stream as it enters further layers (after the last block, too).
        Gradients flow to ``stream`` and to what the edits hold. With a ``past``, ``stream``
        holds the positions after it, and so do the edits and the logits.

        Raises:
            SiteError: no such layer.
        """
        if not 0 <= layer <= self.layers:
            raise SiteError(f"layer {layer} is outside 0..{self.layers}")
        if not self._forms:
            self.capture(ids[:1], None if mask is None else mask[:1])
        changes: dict[int, Edit] = dict(edits or {})
        inner = changes.get(layer)
        changes[layer] = (lambda _old: inner(stream)) if inner else (lambda _old: stream)
        with ExitStack() as stack:
            for block, form in zip(self.blocks[:layer], self._forms, strict=False):
                stack.enter_context(_skipped(block, form))
            for place, edit in changes.items():
                stack.callback(self._edit_at(place, edit))
            if past is None:
                return self._run(ids, mask)
            out: Tensor = self.module(ids, past)
            return out

    def edited(
        self,
        ids: Int[Tensor, "batch pos"],
        edits: Mapping[int, Edit],
        mask: Int[Tensor, "batch pos"] | None = None,
    ) -> Float[Tensor, "batch pos vocabulary"]:
        """A whole run whose stream is changed as it enters the given layers."""
        with ExitStack() as stack:
            for place, edit in edits.items():
                stack.callback(self._edit_at(place, edit))
            return self._run(ids, mask)

    def _edit_at(self, place: int, edit: Edit) -> Callable[[], None]:
        """Hook one edit in; the remover."""
        if place < self.layers:

            def change(
                block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
            ) -> tuple[tuple[Any, ...], dict[str, Any]]:
                name = stream_name(block)
                old = entering(args, kwargs, name)
                return with_entering(args, kwargs, edit(old).to(old.device), name)

            return self.blocks[place].register_forward_pre_hook(change, with_kwargs=True).remove

        def change_last(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
            old = stream_of(output)
            return with_stream(output, edit(old).to(old.device))

        return self.blocks[-1].register_forward_hook(change_last).remove

    def check(
        self, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"] | None = None
    ) -> None:
        """Prove on two runs that reading and writing this stream mean what they should.

        Patching a run with itself changes nothing, and a full patch with another run's stream
        reproduces that run, at every layer. ``ids`` needs two different rows; only the first
        two are used, with the same padding.

        One run proves all layers by induction: each row is carried along twice, and at every
        layer the second copy is given the other row's stream, so that each block, and whatever
        is between blocks, has to turn one run's stream into its next with the other run's ids.
        Runs resumed at the start, the middle and the end show that blocks can be skipped.

        Raises:
            SiteError: one of the two fails, with the layer and the size of the difference.
        """
        two, real = ids[:2], None if mask is None else mask[:2]
        four, masks = (None if x is None else x.repeat(2, 1) for x in (two, real))
        if four is None or len(two) < 2 or torch.equal(two[0], two[1]):
            raise SiteError("a stream is checked on two different rows of tokens")
        with torch.no_grad():
            stream = self.capture(two, real)
            edits = {layer: _carry(layer, values) for layer, values in enumerate(stream)}
            both = self.edited(four, edits, masks)
            plain = self.logits(two, real)
            want = torch.cat([plain, plain.flip(0)])
            _compare(both, want, self.layers)
            for layer in sorted({0, self.layers // 2, self.layers}):
                given = torch.cat([stream[layer], stream[layer].flip(0)])
                _compare(self.resume(four, given, layer, mask=masks), want, layer)


def _carry(layer: int, known: Float[Tensor, "two pos d_model"]) -> Edit:
    """Compare four rows with what they should be by now, and give each its donor's stream."""
    given = torch.cat([known, known.flip(0)])

    def edit(old: Tensor) -> Tensor:
        if layer:  # before the first block, the last two rows are still those of their ids
            _compare(old, given.to(old), layer - 1)
        return given.to(old)

    return edit


def _compare(got: Tensor, want: Tensor, layer: int) -> None:
    """Each of four rows' positions, on its own scale: own values first, then the donor's."""
    gap = (got - want).abs().amax(-1) / (want.abs().amax(-1) + 1e-6)
    for rows, what in (
        (gap[:2], "patching a run with itself changes it"),
        (gap[2:], "a full patch does not give the donor's run"),
    ):
        if not float(rows.max()) <= tolerance(want):  # not: NaN fails, too
            raise SiteError(f"at layer {layer}, {what} (by {float(rows.max()):.1e} of its size)")


@contextmanager
def _skipped(block: nn.Module, form: int | None) -> Iterator[None]:
    """Let a block hand its input on, in the form that its callers expect.

    ``form`` is the length of the tuple that it returns, None where it returns the stream alone.
    """
    name = stream_name(block)

    def hand_on(*args: Any, **kwargs: Any) -> Any:
        stream = entering(args, kwargs, name)
        return stream if form is None else (stream, *[None] * (form - 1))

    own = block.__dict__.get("forward")  # set where something else has wrapped this block
    block.forward = hand_on
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own
