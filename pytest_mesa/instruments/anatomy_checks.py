"""Proofs, on two runs, that an anatomy's parts do what their names say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy_parts import Parts, miss, mixes
from pytest_mesa.instruments.anatomy_trace import Call, Trace, trace
from pytest_mesa.instruments.stream import SiteError, Stream, tolerance

if TYPE_CHECKING:
    from jaxtyping import Int


def is_causal(stream: Stream, ids: Int[Tensor, "batch pos"], vocabulary: int) -> bool:
    """Whether changing the last token leaves every earlier stream as it was."""
    other = ids.clone()
    other[:, -1] = (ids[:, -1] + 1) % vocabulary
    before, after = stream.capture(ids)[:, :, :-1], stream.capture(other)[:, :, :-1]
    gap = float((before - after).abs().max()) / (float(before.abs().max()) + 1e-6)
    return gap <= tolerance(before)


def sums(layer: int, call: Call, run: Trace, parts: Parts) -> str | None:
    """Why a block's writes do not sum to its change; None if they do.

    Not only in this run but also with each write taken away: a module whose output merely
    equals a summand is then found out.
    """
    if not parts.writes:
        return f"at layer {layer}, no modules' outputs sum to the block's change of the stream"
    gap = miss(run, parts.writes)
    if not gap <= 1:
        return _unequal(layer, parts.writes, run, gap)
    for name in parts.writes:
        without = trace(call, outputs={run.seen[name].module: torch.zeros_like})
        rest = [other for other in parts.writes if other != name]
        gap = miss(without, rest)
        if not gap <= 1:
            return f"{_unequal(layer, parts.writes, without, gap)} with {name} taken away"
    return None


def _unequal(layer: int, names: tuple[str, ...], run: Trace, gap: float) -> str:
    total = sum(
        (output for name in names if (output := run.seen[name].output) is not None),
        torch.zeros_like(run.before),
    )
    size = float((run.change - total).abs().max() / (run.change.abs().max() + 1e-30))
    return (
        f"at layer {layer}, {' + '.join(names)} do not sum to the block's change of the stream "
        f"(by {size:.1e} of it, {gap:.0f} times rounding)"
    )


def check_attention(layer: int, run: Trace, altered: Trace, name: str) -> None:
    """A module named as attention makes an attention pattern or at least mixes positions.

    Raises:
        SiteError: it does neither.
    """
    made = any(p.module == name or p.module.startswith(name + ".") for p in run.patterns)
    if not made and not mixes(run, altered, name):
        raise SiteError(
            f"at layer {layer}, {name} is no attention: it moves nothing between positions"
        )


def check_heads(layer: int, call: Call, run: Trace, parts: Parts) -> None:
    """Zeroing all heads at the projection leaves of the attention's write only a constant.

    Raises:
        SiteError: heads don't fit the projection's input, or something else is written.
    """
    heads, attention = parts.heads, parts.attention
    if heads is None or attention is None:
        return
    seen = run.seen[heads.projection]
    size = 0 if seen.input is None else seen.input.shape[-1]
    if heads.count * heads.width != size or heads.count % heads.groups:
        raise SiteError(
            f"at layer {layer}, {heads.count} heads in {heads.groups} groups do not divide "
            f"the {size} numbers that {heads.projection} reads"
        )
    what = parts.attention_write or attention
    silent = trace(call, inputs={seen.module: torch.zeros_like}).seen[what].output
    before = run.seen[what].output
    if silent is None or before is None:
        raise SiteError(f"at layer {layer}, {what} gives no (batch, pos, d_model) tensor")
    constant = silent[:1, :1]
    scale = float((before - constant).abs().max()) + 1e-30
    gap = float((silent - constant).abs().max()) / scale
    if not gap <= tolerance(before):
        raise SiteError(
            f"at layer {layer}, zeroing all heads at {heads.projection} does not remove the "
            f"write of {what} ({gap:.1e} of it stays)"
        )


def vocabulary_of(embedding: nn.Module | None, logits: Tensor) -> int:
    """How many token ids there are."""
    weight = getattr(embedding, "weight", None)
    return min(logits.shape[-1], len(weight) if isinstance(weight, Tensor) else logits.shape[-1])
