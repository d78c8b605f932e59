"""What writers write, kept compact: heads before their output maps, in ``width`` numbers each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.attribution_parts import Attention, Wiring
from pytest_mesa.instruments.attribution_runs import Pairs, on_input, on_output
from pytest_mesa.instruments.attribution_trunks import Answers, at_answers
from pytest_mesa.instruments.runner import Runner
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Reduce = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Writes:
    """One or more runs' writes: the input's, and one tensor a part, in the wiring's order.

    Heads stand side by side, ``(run, pos, head * width)``; where a norm is behind them, they
    are at the scale that it gives them. ``logits`` are those at the answers.
    """

    stream: Float[Tensor, "run pos d_model"]
    parts: tuple[Float[Tensor, "run pos _"], ...]
    logits: Float[Tensor, "answer vocabulary"]


def capture(
    wiring: Wiring,
    ids: Int[Tensor, "run pos"],
    mask: Int[Tensor, "run pos"] | None,
    answers: Answers,
    reduce: Reduce = Tensor.clone,
    run: Runner | None = None,
) -> Writes:
    """All writes of one run, without gradients; each goes through ``reduce`` at once.

    ``reduce`` must give a tensor of its own: some nets change values in place later.
    """
    streams: list[Tensor] = []
    kept: list[Tensor | None] = [None] * len(wiring.parts)

    def keep(place: int) -> Callable[[Tensor], None]:
        def change(value: Tensor) -> None:
            kept[place] = reduce(value.detach().reshape(*ids.shape, -1))

        return change

    with torch.no_grad(), ExitStack() as stack:
        stack.callback(
            on_input(wiring.first_block, lambda value: streams.append(reduce(value.detach())))
        )
        for place, part in enumerate(wiring.parts):
            if isinstance(part, Attention):
                for remove in on_heads(part, ids.shape, keep(place)):
                    stack.callback(remove)
            else:
                stack.callback(on_output(part.write, keep(place)))
        stack.callback(at_answers(wiring.unembedding, answers))
        logits = (run or wiring.run)(ids, mask)[:, 0]
    written = tuple(value for value in kept if value is not None)
    if len(written) != len(kept) or not streams:
        raise SiteError("a part of the net was not run")
    return Writes(streams[0], written, logits)


def on_heads(
    part: Attention, shape: tuple[int, ...] | torch.Size, keep: Callable[[Tensor], None]
) -> list[Callable[[], None]]:
    """Show a block's heads, before the output map, at the scale at which they are written."""
    after = part.after
    if after is None or after.module is None:
        return [on_input(part.projection, keep)]
    held: list[Tensor] = []

    def hold(value: Tensor) -> None:
        held.append(value.reshape(*shape, -1))

    def scale(value: Tensor) -> None:
        keep(held.pop() * after.hat(value.reshape(*shape, -1))[1])

    return [on_input(part.projection, hold), on_input(after.module, scale)]


def differences(
    wiring: Wiring, pairs: Pairs, answers: Answers, run: Runner
) -> tuple[Writes, Writes]:
    """Corrupted less clean writes, and (in ``stream`` and ``logits`` alone) both runs.

    The second holds the clean and then the corrupted runs.
    """
    if pairs.corrupt is None:
        raise SiteError("attribution needs corrupted prompts")
    count = len(pairs)
    both: list[Tensor] = []

    def subtract(value: Tensor) -> Tensor:
        if not both:  # the stream that enters the first block comes first
            both.append(value.clone())
        return value[count:].float() - value[:count].float()

    mask = None if pairs.mask is None else torch.cat([pairs.mask, pairs.mask])
    ids = torch.cat([pairs.clean, pairs.corrupt])
    difference = capture(wiring, ids, mask, answers.copies(2, count), subtract, run)
    return difference, Writes(both[0], (), difference.logits)


def spelled_out(wiring: Wiring, writes: Writes) -> Float[Tensor, "writer run pos d_model"]:
    """Every writer's own write, in float32. Large: meant for a few short runs at a time."""
    stream = writes.stream
    size = (len(wiring.graph.writers), *stream.shape)
    spelled = torch.empty(size, dtype=torch.float32, device=stream.device)
    spelled[0] = stream
    for part, written in zip(wiring.parts, writes.parts, strict=True):
        if isinstance(part, Attention):
            heads = written.flatten(0, 1).float().unflatten(-1, (part.count, part.width))
            rows = spelled[part.first : part.first + part.count].flatten(1, 2)
            torch.bmm(heads.transpose(0, 1), part.out_matrix(), out=rows)
        else:
            spelled[part.first] = written
    return spelled
