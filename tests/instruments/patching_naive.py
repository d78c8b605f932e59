"""Activation patching as it is defined: a whole run for each location."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy import Anatomy
from pytest_mesa.instruments.patching_parts import Part
from pytest_mesa.instruments.runner import runner_of


def naive(
    net: Anatomy,
    base: Tensor,
    donor: Tensor,
    mask: Tensor | None,
    part: Part,
    metric: Callable[[Tensor], Tensor],
    *axes: range | None,
    at_once: int = 1000,
) -> Tensor:
    """The metric with each location patched: ``(batch, layer, *axes)``; NaN where none is.

    ``axes``: positions, and heads before them where heads are patched; None for all positions.
    ``at_once``: how many locations of a layer are rows of one forward.
    """
    real = torch.ones_like(base) if mask is None else mask
    read = real.shape[1] - 1 - real.flip(1).argmax(1)
    where = list(product(*(axis or (None,) for axis in axes)))
    scores = torch.full((len(base), len(net.blocks), len(where)), torch.nan)
    for layer, block in enumerate(net.blocks):
        if part.module(block) is None:
            continue
        for at in range(0, len(where), at_once):
            some = where[at : at + at_once]
            logits = _patched(net, base, donor, mask, part, layer, some)
            for i, of_location in enumerate(logits.split(len(base))):
                last = of_location[torch.arange(len(base)), read]
                scores[:, layer, at + i] = metric(last)
    return scores.view(*scores.shape[:2], *(len(axis) for axis in axes if axis is not None))


def _patched(
    net: Anatomy,
    base: Tensor,
    donor: Tensor,
    mask: Tensor | None,
    part: Part,
    layer: int,
    where: list[tuple[int | None, ...]],
) -> Tensor:
    """Logits of whole runs of the base prompts, for each location in turn."""
    block = net.blocks[layer]
    module = part.module(block)
    assert module is not None
    held: list[Tensor] = []

    def keep(values: Tensor) -> Tensor:
        held.append(values.clone())
        return values

    def put(values: Tensor) -> Tensor:
        patched = values.clone().reshape(len(where), len(base), -1, values.shape[-1])
        source = held[0].reshape(patched.shape[1:])
        for i, index in enumerate(where):
            head, position = index if part is Part.HEADS else (None, *index)
            places = slice(None) if position is None else position
            columns = slice(None)
            if head is not None:
                assert block.heads is not None
                columns = slice(head * block.heads.width, (head + 1) * block.heads.width)
            patched[i][:, places, columns] = source[:, places, columns]
        return patched.reshape(values.shape)

    run = runner_of(net.module)
    with torch.no_grad():
        handle = _hooked(module, part, keep)
        run(donor, mask)
        handle.remove()
        handle = _hooked(module, part, put)
        rows = len(where)
        logits = run(base.repeat(rows, 1), None if mask is None else mask.repeat(rows, 1))
        handle.remove()
    return logits


def _hooked(module: nn.Module, part: Part, visit: Callable[[Tensor], Tensor]) -> Any:
    if part in (Part.RESIDUAL, Part.HEADS):

        def before(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            if args:
                return (visit(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": visit(kwargs["hidden_states"])}

        return module.register_forward_pre_hook(before, with_kwargs=True)

    def after(_module: nn.Module, _args: Any, output: Any) -> Any:
        if isinstance(output, tuple | list):
            return type(output)([visit(output[0]), *output[1:]])
        return visit(output)

    return module.register_forward_hook(after)
