"""Node scores: the change of each write times the metric's gradient there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_mesa.instruments.attribution_edges import Tap, by_step
from pytest_mesa.instruments.attribution_parts import Attention, Plain, Wiring
from pytest_mesa.instruments.attribution_runs import on_input, on_output, with_gradient
from pytest_mesa.instruments.attribution_writes import Writes

if TYPE_CHECKING:
    from jaxtyping import Float


def collect_nodes(
    wiring: Wiring, change: Writes, steps: int, total: Float[Tensor, "writer pos"]
) -> list[Tap]:
    """Hooks that add every writer's score to ``total`` during one backward pass."""
    taps: list[Tap] = [partial(_tap_input, wiring, change.stream, steps, total)]
    for part, written in zip(wiring.parts, change.parts, strict=True):
        if isinstance(part, Attention):
            taps.append(partial(_tap_heads, part, written, steps, total))
        else:
            taps.append(partial(_tap_plain, part, written, steps, total))
    return taps


def _tap_input(wiring: Wiring, change: Tensor, steps: int, total: Tensor) -> Callable[[], None]:
    def gather(gradient: Tensor) -> None:
        total[0] += _summed(gradient, steps, change).sum((0, 2))

    return on_input(wiring.first_block, with_gradient(gather))


def _tap_plain(part: Plain, change: Tensor, steps: int, total: Tensor) -> Callable[[], None]:
    def gather(gradient: Tensor) -> None:
        total[part.first] += _summed(gradient, steps, change).sum((0, 2))

    return on_output(part.write, with_gradient(gather))


def _tap_heads(part: Attention, change: Tensor, steps: int, total: Tensor) -> Callable[[], None]:
    """Gradients at the heads themselves; behind a norm, those of the write, at its scale."""

    def gather(gradient: Tensor) -> None:
        if part.after is not None:
            gradient = gradient.detach().float() @ part.out_matrix().flatten(0, 1).T
        product = _summed(gradient, steps, change).unflatten(-1, (part.count, part.width))
        total[part.first : part.first + part.count] += product.sum((0, 3)).T

    if part.after is None:
        return on_input(part.projection, with_gradient(gather))
    return on_output(part.write, with_gradient(gather))


def _summed(gradient: Tensor, steps: int, change: Tensor) -> Float[Tensor, "pair pos _"]:
    """The gradient over all steps, times the change."""
    return by_step(gradient, steps).sum(0).float().reshape(change.shape) * change
