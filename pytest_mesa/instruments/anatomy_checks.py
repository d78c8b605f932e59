"""Proofs, on two runs, that an anatomy's parts do what their names say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy_parts import Parts, mixes, pattern_of
from pytest_mesa.instruments.anatomy_trace import Call, Trace, trace
from pytest_mesa.instruments.anatomy_writes import miss
from pytest_mesa.instruments.stream import SiteError, Stream, tolerance

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def is_causal(stream: Stream, ids: Int[Tensor, "batch pos"], vocabulary: int) -> bool:
    """Whether changing the last token leaves every earlier stream as it was."""
    other = ids.clone()
    other[:, -1] = (ids[:, -1] + 1) % vocabulary
    before, after = stream.capture(torch.cat([ids, other]))[:, :, :-1].chunk(2, dim=1)
    gap = (before - after).abs().amax(-1) / (before.abs().amax(-1) + 1e-6)
    return float(gap.max()) <= tolerance(before)


def sums(layer: int, call: Call, run: Trace, parts: Parts) -> str | None:
    """Why a block's writes do not sum to its change; None if they do.

    Not only in this run but also with each write taken away: a module whose output merely
    equals a summand is then found out.
    """
    if not parts.writes:
        known = parts.attention_write or parts.mixer_write or parts.mlp_write
        why = ": a norm or a factor follows them" if known else ""
        return f"at layer {layer}, no modules' outputs sum to the block's change of the stream{why}"
    owned = (parts.attention_write, parts.mixer_write, parts.mlp_write)
    for name in parts.writes:
        if name not in owned:
            return f"at layer {layer}, {name} writes too, and is no attention, mixer or MLP"
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
    pattern = pattern_of(run, attention)
    if pattern is not None and seen.start < pattern.time:
        raise SiteError(
            f"at layer {layer}, {heads.projection} reads no heads: it runs before {attention} "
            "makes its attention pattern"
        )
    what = parts.attention_write
    if what is None:
        _check_silent(layer, call, attention, seen.module)
        return
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


def _check_silent(layer: int, call: Call, attention: str, projection: nn.Module) -> None:
    """Where the attention's write is unknown: without heads it reads no other position."""
    altered = shift_first(call.before)
    zeroed = {projection: torch.zeros_like}
    one = trace(call, inputs=zeroed).seen[attention].output
    other = trace(call, altered, inputs=zeroed).seen[attention].output
    if one is None or other is None:
        raise SiteError(f"at layer {layer}, {attention} gives no (batch, pos, d_model) tensor")
    gap = float((one - other)[:, 1:].abs().max() / (one.abs().max() + 1e-30))
    if not gap <= tolerance(one):
        raise SiteError(
            f"at layer {layer}, with all heads zeroed {attention} still reads other positions "
            f"({gap:.1e} of its output)"
        )


def shift_first(stream: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
    """The stream with another vector at position 0, as long as the old one.

    Not its negative: a product of two gates has the same sign then.
    """
    shifted = stream.clone()
    shifted[:, 0] = shifted[:, 0].roll(1, -1)
    return shifted
