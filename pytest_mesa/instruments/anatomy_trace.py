"""What happens inside a block: every module's call, and where attention patterns are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pytest_mesa.instruments.runner import Runner
from pytest_mesa.instruments.stream import (
    entering,
    stream_name,
    stream_of,
    with_entering,
    with_stream,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Int

PRODUCTS = frozenset({"matmul", "__matmul__", "bmm", "baddbmm", "baddbmm_"})


@dataclass(frozen=True, slots=True)
class Call:
    """How a net called one of its blocks, and what the block gave back."""

    block: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    before: Float[Tensor, "batch pos d_model"]
    after: Float[Tensor, "batch pos d_model"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One softmax over keys, made while ``module`` was the innermost module at work."""

    module: str
    time: int
    heads: int
    groups: int | None  # None where the keys were not seen


@dataclass(slots=True)
class Seen:
    """A module's call within a block. Times count the starts and ends of all calls."""

    module: nn.Module
    start: int
    end: int
    input: Tensor | None
    output: Tensor | None  # as (batch, pos, d_model), None where it has no such output
    width: int = 0  # the last axis of its output
    calls: int = 1


@dataclass(slots=True)
class Trace:
    """One run of a block: its modules' calls by name, and the attention patterns it made."""

    before: Float[Tensor, "batch pos d_model"]
    after: Float[Tensor, "batch pos d_model"]
    seen: dict[str, Seen] = field(default_factory=dict)
    patterns: list[Pattern] = field(default_factory=list)

    @property
    def change(self) -> Float[Tensor, "batch pos d_model"]:
        """What the block adds to the stream."""
        return self.after - self.before


def calls_of(run: Runner, ids: Int[Tensor, "batch pos"], blocks: Sequence[nn.Module]) -> list[Call]:
    """How one run calls each block, in order."""
    entered: list[tuple[tuple[Any, ...], dict[str, Any], Tensor]] = []
    calls: list[Call] = []

    def enter(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        before = entering(args, kwargs, stream_name(block)).clone()
        entered.append((args, dict(kwargs), before))

    def leave(block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        args, kwargs, before = entered[len(calls)]
        calls.append(Call(block, args, kwargs, before, stream_of(output).clone()))

    with torch.no_grad(), ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(block.register_forward_hook(leave).remove)
        run(ids)
    return calls


def first_tensor(value: Any) -> Tensor | None:
    """The tensor, or the first of a tuple or list."""
    first = value[0] if isinstance(value, tuple | list) and value else value
    return first if isinstance(first, Tensor) else None


Swap = Callable[[Tensor], Tensor]


def trace(
    call: Call,
    stream: Float[Tensor, "batch pos d_model"] | None = None,
    outputs: Mapping[nn.Module, Swap] | None = None,
    inputs: Mapping[nn.Module, Swap] | None = None,
) -> Trace:
    """Call one block again and watch, with another stream or with modules' values swapped."""
    before = call.before if stream is None else stream
    watch = _Watch(tuple(before.shape))
    args, kwargs = with_entering(call.args, call.kwargs, before.clone(), stream_name(call.block))
    with torch.no_grad(), ExitStack() as stack:
        for module, swap in (inputs or {}).items():
            stack.callback(module.register_forward_pre_hook(_swap_input(swap)).remove)
        for module, swap in (outputs or {}).items():
            stack.callback(module.register_forward_hook(_swap_output(swap)).remove)
        for name, module in call.block.named_modules():
            if name:
                stack.enter_context(watch.hooked(name, module))
        stack.enter_context(_Patterns(watch))
        after = stream_of(call.block(*args, **kwargs)).clone()
    return Trace(before, after, watch.seen, watch.patterns)


def _swap_input(swap: Swap) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    return lambda _module, args: (swap(args[0]), *args[1:])


def _swap_output(swap: Swap) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
    def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        first = first_tensor(output)
        return output if first is None else with_stream(output, swap(first))

    return hook


class _Watch:
    """Collects calls. Values are cloned at once: some nets change them in place later."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.seen: dict[str, Seen] = {}
        self.patterns: list[Pattern] = []
        self.active: list[str] = []
        self.time = 0
        self._size = torch.Size(shape).numel()

    def tick(self) -> int:
        self.time += 1
        return self.time

    @contextmanager
    def hooked(self, name: str, module: nn.Module) -> Iterator[None]:
        def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.active.append(name)
            again = self.seen.get(name)
            if again is not None:
                again.calls += 1
                return
            given = [*args, *kwargs.values()]
            first = next((value for value in given if isinstance(value, Tensor)), None)
            kept = None if first is None else self._kept(first)
            self.seen[name] = Seen(module, self.tick(), self.time, kept, None)

        def leave(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            self.active.pop()
            value = first_tensor(output)
            seen = self.seen[name]
            seen.end = self.tick()
            if value is None or not value.ndim:
                return
            seen.width = value.shape[-1]
            if value.shape[-1] == self.shape[-1] and value.numel() == self._size:
                seen.output = value.reshape(self.shape).clone()

        first = module.register_forward_pre_hook(enter, with_kwargs=True)
        last = module.register_forward_hook(leave)
        try:
            yield
        finally:
            first.remove()
            last.remove()

    def _kept(self, value: Tensor) -> Tensor | None:
        """A copy with positions apart, None where the value has none."""
        batch, length, _ = self.shape
        if value.shape[:2] == (batch, length):
            return value.clone()
        if value.ndim == 2 and len(value) == batch * length:
            return value.reshape(batch, length, -1).clone()
        return None


class _Patterns(TorchFunctionMode):
    """Sees softmaxes over keys, fused or not."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch = watch
        self.keys: tuple[tuple[int, ...], Tensor] | None = None  # shape of the scores, keys

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            query, key = _arguments(args, kwargs or {}, "query", "key")
            self._add(query.shape[:-1].numel() // self._tokens, key.transpose(-1, -2))
        elif name in PRODUCTS and isinstance(output, Tensor):
            operands = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, Tensor)]
            self.keys = (tuple(output.shape[-2:]), operands[-1])
        elif name == "softmax" and isinstance(output, Tensor) and self._over_keys(output):
            scores, keys = self.keys or ((), None)
            known = keys if scores == tuple(output.shape[-2:]) else None
            self._add(output.shape[:-1].numel() // self._tokens, known)
        return output

    @property
    def _tokens(self) -> int:
        return self.watch.shape[0] * self.watch.shape[1]

    def _over_keys(self, weights: Tensor) -> bool:
        """Whether a softmax is over positions, rather than over experts."""
        length = self.watch.shape[1]
        return (
            weights.ndim >= 3 and weights.shape[-2] == length and weights.shape[-1] >= length
        ) and (weights.ndim > 3 or weights.shape[-1] == length)

    def _add(self, heads: int, keys: Tensor | None) -> None:
        """``keys`` is (…, width, key), repeated for each query head or not."""
        groups = None
        if keys is not None and keys.ndim >= 3:
            apart = keys.reshape(self.watch.shape[0], -1, *keys.shape[-2:])[0]
            groups = len(torch.unique(apart.flatten(1), dim=0))
        where = self.watch.active[-1] if self.watch.active else ""
        self.watch.patterns.append(Pattern(where, self.watch.tick(), heads, groups))


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], *names: str) -> list[Any]:
    """A call's first arguments, however they were given."""
    return [args[i] if i < len(args) else kwargs[name] for i, name in enumerate(names)]
