"""Edge scores, added up layer by layer as gradients come back through the net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.attribution_norm import Norm
from pytest_mesa.instruments.attribution_parts import Attention, Plain, Read, Wiring
from pytest_mesa.instruments.attribution_runs import on_input, on_output, with_own_gradient

if TYPE_CHECKING:
    from jaxtyping import Float

Tap = Callable[[], Callable[[], None]]  # sets hooks, and gives their remover


def collect_edges(
    wiring: Wiring,
    spelled: Float[Tensor, "writer pair pos d_model"],
    steps: int,
    totals: Sequence[tuple[slice, Float[Tensor, "writer reader"]]],
) -> list[Tap]:
    """Hooks that add every edge's score to totals during one backward pass.

    ``totals``: which pairs count, and where. Nothing of a layer is kept once its readers'
    gradients have met the writers before them.
    """

    def add(first: int, before: int, gradient: Float[Tensor, "reader row d_model"]) -> None:
        back = gradient.unflatten(1, spelled.shape[1:3])
        for pairs, total in totals:
            product = spelled[:before, pairs].flatten(1) @ back[:, pairs].flatten(1).T
            total[:before, first : first + len(gradient)] += product

    taps: list[Tap] = []
    for part in wiring.parts:
        tap = _AttentionTap if isinstance(part, Attention) else _PlainTap
        taps.append(tap(part, steps, partial(add, before=part.before)).hook)  # type: ignore[arg-type]
    taps.append(partial(_logits_tap, wiring, steps, add))
    return taps


class _Norm:
    """A norm's input at all steps, kept until the gradients behind it are there."""

    def __init__(self, norm: Norm, steps: int) -> None:
        self.norm = norm
        self.steps = steps
        self._input: Tensor | None = None

    def hook(self) -> Callable[[], None]:
        if self.norm.module is None:
            return _nothing
        return on_input(self.norm.module, self._keep)

    def _keep(self, value: Tensor) -> None:
        self._input = value.detach()

    def take(
        self,
    ) -> tuple[Float[Tensor, "step row d_model"], Float[Tensor, "step row 1"]] | None:
        """The normalised stream and its scale; None where there is no norm."""
        if self._input is None:
            return None
        hat, scale = self.norm.hat(self._input)
        self._input = None
        return by_step(hat, self.steps), by_step(scale, self.steps)


class _AttentionTap:
    """Takes the gradients of a block's queries, keys and values."""

    def __init__(self, part: Attention, steps: int, add: Callable[..., None]) -> None:
        self.part = part
        self.steps = steps
        self.add = add
        self.norm = _Norm(part.norm, steps)
        self.outputs: dict[nn.Module, Tensor] = {}
        self.gradients: dict[nn.Module, Tensor] = {}

    def hook(self) -> Callable[[], None]:
        removers = [self.norm.hook()]
        removers += [on_output(module, partial(self._see, module)) for module in self.part.modules]
        return lambda: _call(removers)

    def _see(self, module: nn.Module, output: Tensor) -> None:
        self.outputs[module] = output.detach()
        output.register_hook(partial(self._gather, module))

    def _gather(self, module: nn.Module, gradient: Tensor) -> None:
        self.gradients[module] = gradient
        if len(self.gradients) < len(self.part.modules):
            return
        normed = self.norm.take()
        for read in self.part.reads:
            source = read.columns.module
            self.add(
                read.first,
                gradient=self._before_norm(
                    read, self.outputs[source], self.gradients[source], normed
                ),
            )
        self.outputs.clear()
        self.gradients.clear()

    def _before_norm(
        self,
        read: Read,
        output: Tensor,
        gradient: Tensor,
        normed: tuple[Tensor, Tensor] | None,
    ) -> Float[Tensor, "reader row d_model"]:
        """The gradient at each reader's input in the stream, summed over steps.

        The part along the normalised stream, ``hat * mean(hat * gain * v)``, needs no vector
        ``v`` a reader: ``hat * gain * v`` sums to the map's own output times its gradient.
        """
        matrix, bias = read.matrix()
        columns = read.columns.columns
        got = by_step(gradient, self.steps)[..., columns].float()
        if normed is None:
            return torch.bmm(got.sum(0).transpose(0, 1), matrix)
        hat, scale = normed
        norm = self.part.norm
        before = torch.bmm((got * scale[..., None]).sum(0).transpose(0, 1), matrix) * norm.gain
        if norm.centred:
            before -= before.mean(-1, keepdim=True)
        constant = bias + matrix @ norm.shift
        own = by_step(output, self.steps)[..., columns].float() - constant
        along = (own * got).sum(-1) * scale / hat.shape[-1]
        before -= torch.einsum("snr,snd->rnd", along, hat)
        return before


class _PlainTap:
    """Takes the gradient of an MLP's or mixer's input."""

    def __init__(self, part: Plain, steps: int, add: Callable[..., None]) -> None:
        self.part = part
        self.steps = steps
        self.add = add
        self.norm = _Norm(part.norm, steps)
        self.gradients: list[Tensor] = []

    def hook(self) -> Callable[[], None]:
        removers = [self.norm.hook()]
        own = with_own_gradient(self._gather)
        removers += [on_input(module, own) for module in self.part.reads]
        return lambda: _call(removers)

    def _gather(self, gradient: Tensor) -> None:
        self.gradients.append(gradient.detach())
        if len(self.gradients) < len(self.part.reads):
            return
        got = by_step(torch.stack(self.gradients).sum(0), self.steps).float()
        self.gradients.clear()
        self.add(self.part.reader, gradient=self._before_norm(got)[None])

    def _before_norm(self, got: Float[Tensor, "step row d_model"]) -> Float[Tensor, "row d_model"]:
        normed = self.norm.take()
        if normed is None:
            return got.sum(0)
        hat, scale = normed
        norm = self.part.norm
        got = got * norm.gain
        along = (got * hat).mean(-1, keepdim=True)
        if norm.centred:
            got = got - got.mean(-1, keepdim=True)
        return ((got - hat * along) * scale).sum(0)


def _logits_tap(wiring: Wiring, steps: int, add: Callable[..., None]) -> Callable[[], None]:
    """Takes the gradient of the stream that the logits are read from."""
    count, last = len(wiring.graph.writers), len(wiring.graph.readers) - 1

    def gather(gradient: Float[Tensor, "run pos d_model"]) -> None:
        add(last, count, gradient=by_step(gradient, steps).sum(0).float()[None])

    return on_input(wiring.last, with_own_gradient(gather))


def by_step(value: Tensor, steps: int) -> Float[Tensor, "step row _"]:
    """Runs of all steps one after another, as steps of (pair, position) rows."""
    return value.detach().reshape(steps, -1, value.shape[-1])


def _call(removers: list[Callable[[], None]]) -> None:
    for remove in removers:
        remove()


def _nothing() -> None:
    """No hook to remove."""
