"""Take a decoder apart: find its parts by running it once, and prove that they are what they seem.

No table of models: the list of blocks, the modules whose outputs add up to a block's change of
the stream, the attention patterns and the map that reads the heads are all seen in a run on a
tiny example. Names only say which part to take where a user has named one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa.instruments import anatomy_checks, anatomy_names, anatomy_parts
from pytest_mesa.instruments.anatomy import Anatomy, Block, Heads
from pytest_mesa.instruments.anatomy_blocks import Shape, find_shape
from pytest_mesa.instruments.anatomy_parts import Parts
from pytest_mesa.instruments.anatomy_trace import Call, Trace, calls_of, trace
from pytest_mesa.instruments.runner import runner_of
from pytest_mesa.instruments.stream import SiteError, Stream

if TYPE_CHECKING:
    from jaxtyping import Int


def dissect(
    module: nn.Module,
    example: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Anatomy:
    """Find and check a decoder's parts on a short example.

    Args:
        module: maps ids to logits, or a Hugging Face decoder.
        example: two different rows of at least three tokens; further rows are not used.
        mask: 0 where a row is padded; columns with padding are left out.
        overrides: parts by name, for nets in which they are not found: ``blocks`` (a list of
            modules), ``attention``, ``projection``, ``mlp``, ``attention_write``, ``mlp_write``
            (within a block), ``embedding``, ``final_norm``, ``unembedding``, and the counts
            ``heads`` and ``groups``.

    Raises:
        SiteError: a part that must be there was not found, an override names nothing, or a
            self-check failed, with the layer and the size of the difference.
    """
    given = anatomy_names.checked(overrides)
    ids = _two_rows(example, mask)
    run = runner_of(module)
    listed = given.get("blocks")
    if listed is not None:
        listed, _ = anatomy_names.named_in(module, listed, "blocks", type(module).__name__)
    shape = find_shape(module, run, ids, listed)
    stream = Stream(module, list(shape.blocks))
    stream.check(ids)
    calls = calls_of(run, ids, shape.blocks)
    blocks, reasons = [], []
    for layer, (name, call) in enumerate(zip(shape.names, calls, strict=True)):
        block, reason = _block(layer, name, call, given)
        blocks.append(block)
        reasons.append(reason)
    _all_used(given, blocks)
    outer = _outer(module, shape, given)
    wrong = [reason for reason in reasons if reason]
    return Anatomy(
        module=module,
        blocks=tuple(blocks),
        embedding=outer["embedding"],
        final_norm=outer["final_norm"],
        unembedding=outer["unembedding"],
        additive=not wrong,
        causal=anatomy_checks.is_causal(stream, ids, shape.vocabulary),
        d_model=calls[0].before.shape[-1],
        reason=wrong[0] if wrong else "",
    )


def _two_rows(example: Tensor, mask: Tensor | None) -> Tensor:
    """Two different rows without padding."""
    if example.ndim != 2 or len(example) < 2:
        raise SiteError("the example needs two rows of tokens")
    real = torch.ones_like(example, dtype=torch.bool) if mask is None else mask.bool()
    for row in range(1, len(example)):
        both = real[0] & real[row]
        two = example[[0, row]][:, both]
        if two.shape[1] >= 3 and not torch.equal(two[0], two[1]):
            return two
    raise SiteError("the example needs two different rows with three tokens in the same places")


def _block(layer: int, name: str, call: Call, given: Mapping[str, Any]) -> tuple[Block, str | None]:
    """One block's parts, checked, and why it is not additive if it isn't."""
    run = trace(call)
    gap = float((run.after - call.after).abs().max())
    if not gap <= 1e-3 * float(call.after.abs().max()):
        raise SiteError(f"at layer {layer}, the block run again gives something else ({gap:.1e})")
    altered = trace(call, anatomy_checks.shift_first(call.before))
    found = anatomy_parts.find_parts(run, altered)
    parts = _override(layer, call, run, altered, found, given)
    anatomy_checks.check_heads(layer, call, run, parts)
    reason = anatomy_checks.sums(layer, call, run, parts)
    were, are = ((p.attention_write, p.mlp_write) for p in (found, parts))
    if reason and were != are and any(were):
        raise SiteError(f"{reason}; the parts named do not fit this net")
    return _as_block(name, call.block, run, parts), reason


def _override(
    layer: int, call: Call, run: Trace, altered: Trace, parts: Parts, given: Mapping[str, Any]
) -> Parts:
    """The parts found, with those that the user names instead."""
    where = f"block {layer} ({type(call.block).__name__})"

    def named(key: str) -> str | None:
        if key not in given or not _has(call.block, given[key]):
            return None
        name = anatomy_names.named_in(call.block, given[key], key, where)[0]
        if name not in run.seen:
            raise SiteError(f"at layer {layer}, {name}, named as {key}, is never called")
        return name

    attention = named("attention")
    if attention:
        anatomy_checks.check_attention(layer, run, altered, attention)
        mixer = anatomy_parts.find_mixer(run, altered, attention)
        parts = anatomy_parts.assign(run, attention, mixer, parts.writes)
    parts = _override_heads(layer, run, parts, given, named("projection"))
    writes = {key: named(key) for key in ("attention_write", "mlp_write")}
    mlp = named("mlp")
    if mlp:
        parts = replace(parts, mlp=mlp)
        own = anatomy_parts.write_of(run, mlp, list(parts.writes))
        writes["mlp_write"] = writes["mlp_write"] or own or mlp
    attention_write = writes["attention_write"] or parts.attention_write
    mlp_write = writes["mlp_write"] or parts.mlp_write
    if (attention_write, mlp_write) == (parts.attention_write, parts.mlp_write):
        return parts
    together = (attention_write, parts.mixer_write, mlp_write)
    return replace(
        parts,
        attention_write=attention_write,
        mlp_write=mlp_write,
        writes=tuple(name for name in together if name is not None),
    )


def _override_heads(
    layer: int, run: Trace, parts: Parts, given: Mapping[str, Any], projection: str | None
) -> Parts:
    if parts.attention is None:
        return parts
    pattern = anatomy_parts.pattern_of(run, parts.attention)
    heads = parts.heads
    count, groups = given.get("heads"), given.get("groups")
    if count and pattern and count != pattern.heads:
        raise SiteError(
            f"at layer {layer}, {count} heads are named, but {parts.attention} makes "
            f"{pattern.heads} attention patterns"
        )
    if groups and pattern and pattern.groups and groups != pattern.groups:
        raise SiteError(
            f"at layer {layer}, {groups} groups are named, but {parts.attention} has "
            f"{pattern.groups} different sets of keys"
        )
    if projection or (heads is None and count):
        reads = projection or (heads.projection if heads else None)
        if reads is None:
            raise SiteError(f"at layer {layer}, heads are named but no projection was found")
        number = count or (pattern.heads if pattern else 0)
        if not number:
            raise SiteError(f"at layer {layer}, the number of heads was not found; name it")
        heads = anatomy_parts.head_names(run, parts.attention, reads, number, pattern)
    if heads is not None and groups:
        heads = replace(heads, groups=groups)
    return replace(parts, heads=heads)


def _has(block: nn.Module, name: str) -> bool:
    """Whether a block has a submodule of this name; in hybrids only some do."""
    return any(n == name or n.endswith("." + name) for n, _ in block.named_modules())


def _all_used(given: Mapping[str, Any], blocks: list[Block]) -> None:
    """Each part that was named is in at least one block.

    Raises:
        SiteError: otherwise, with what the first block has.
    """
    for key in anatomy_names.IN_BLOCK:
        if key in given and not any(_has(block.module, given[key]) for block in blocks):
            first = blocks[0].module
            anatomy_names.named_in(first, given[key], key, f"block 0 ({type(first).__name__})")


def _outer(
    module: nn.Module, shape: Shape, given: Mapping[str, Any]
) -> dict[str, nn.Module | None]:
    found = {
        "embedding": shape.embedding,
        "final_norm": shape.final_norm,
        "unembedding": shape.unembedding,
    }
    for key in found:
        if key in given:
            where = type(module).__name__
            found[key] = anatomy_names.named_in(module, given[key], key, where)[1]
    return found


def _as_block(name: str, block: nn.Module, run: Trace, parts: Parts) -> Block:
    def module(part: str | None) -> nn.Module | None:
        return None if part is None else run.seen[part].module

    heads = None
    if parts.heads is not None:
        projection = run.seen[parts.heads.projection].module
        heads = Heads(projection, parts.heads.count, parts.heads.width, parts.heads.groups)
    return Block(
        name=name,
        module=block,
        attention=module(parts.attention),
        heads=heads,
        mlp=module(parts.mlp),
        attention_write=module(parts.attention_write),
        mlp_write=module(parts.mlp_write),
        mixer=module(parts.mixer),
        mixer_write=module(parts.mixer_write),
    )
