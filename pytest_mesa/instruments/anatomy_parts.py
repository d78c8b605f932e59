"""Which modules of a block are attention, heads, MLP and writes: read off one run of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_mesa.instruments.anatomy_trace import Pattern, Seen, Trace
from pytest_mesa.instruments.anatomy_writes import find_unsummed_writes, find_writes

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class HeadNames:
    """The output projection's name in its block, and the heads that it reads."""

    projection: str
    count: int
    width: int
    groups: int


@dataclass(frozen=True, slots=True)
class Parts:
    """A block's parts by name. ``writes`` sum to its change; empty where nothing does."""

    attention: str | None
    heads: HeadNames | None
    mixer: str | None
    mlp: str | None
    attention_write: str | None
    mixer_write: str | None
    mlp_write: str | None
    writes: tuple[str, ...]


def inside(name: str, outer: str) -> bool:
    """Whether a name is a module's own or that of a module within it."""
    return name == outer or name.startswith(outer + ".")


def find_attention(run: Trace) -> str | None:
    """The innermost module that makes an attention pattern and projects the heads back."""
    for pattern in run.patterns:
        name = pattern.module
        while name:
            if name in run.seen and _projections(run, name, pattern):
                return name
            name = name.rpartition(".")[0]
    return None


def _projections(run: Trace, attention: str, pattern: Pattern) -> list[str]:
    """Weighted maps within the attention that read whole heads after the pattern."""
    found = []
    for name, seen in run.seen.items():
        weight = getattr(seen.module, "weight", None)
        if (
            name != attention
            and inside(name, attention)
            and seen.start > pattern.time
            and seen.output is not None
            and seen.input is not None
            and isinstance(weight, Tensor)
            and weight.ndim == 2
            and seen.input.shape[-1] % pattern.heads == 0
        ):
            found.append(name)
    return sorted(found, key=lambda name: run.seen[name].start)


def pattern_of(run: Trace, attention: str) -> Pattern | None:
    """The first attention pattern made within a module."""
    return next((p for p in run.patterns if inside(p.module, attention)), None)


def find_heads(run: Trace, attention: str) -> HeadNames | None:
    """The heads of an attention module, read before its output projection."""
    pattern = pattern_of(run, attention)
    if pattern is None:
        return None
    found = _projections(run, attention, pattern)
    return head_names(run, attention, found[0], pattern.heads, pattern) if found else None


def head_names(
    run: Trace, attention: str, projection: str, count: int, pattern: Pattern | None
) -> HeadNames:
    """Width of the heads that a projection reads, and their key-value groups."""
    read = run.seen[projection].input
    width = (0 if read is None else read.shape[-1]) // count
    if pattern is None or not width:
        return HeadNames(projection, count, width, count)
    groups = pattern.groups or _groups_by_shape(run, attention, pattern, width)
    return HeadNames(projection, count, width, groups)


def _groups_by_shape(run: Trace, attention: str, pattern: Pattern, width: int) -> int:
    """Key-value groups from what the maps before the pattern make, where keys were unseen."""
    groups = [pattern.heads]
    for name, seen in run.seen.items():
        weight = getattr(seen.module, "weight", None)
        early = inside(name, attention) and seen.end < pattern.time
        if early and isinstance(weight, Tensor) and weight.ndim == 2 and seen.width % width == 0:
            heads = seen.width // width  # keys alone, or queries, keys and values in one
            groups.append(heads if heads <= pattern.heads else (heads - pattern.heads) // 2)
    return max(1, min(groups))


def mixes(run: Trace, altered: Trace, name: str) -> bool:
    """Whether a module moves information between positions.

    ``altered`` is a run whose stream differs at position 0 only. A module mixes if its output
    differs at a position where its input does not.
    """
    here, there = run.seen.get(name), altered.seen.get(name)
    if here is None or there is None or here.input is None or there.input is None:
        return False
    if here.output is None or there.output is None:
        return False
    same = (here.input == there.input).flatten(2).all(-1)
    moved = _moved(here.output, there.output)
    return bool((same & moved).any())


def _moved(one: Tensor, other: Tensor) -> Float[Tensor, "batch pos"]:
    return (one - other).abs().amax(-1) > 1e-5 * one.abs().amax()


def find_mixer(run: Trace, altered: Trace, attention: str | None) -> str | None:
    """The outermost module other than attention that moves information between positions."""
    found = [
        name
        for name in run.seen
        if not (attention and (inside(name, attention) or inside(attention, name)))
        and mixes(run, altered, name)
    ]
    return min(found, key=lambda name: (name.count("."), run.seen[name].start), default=None)


def find_parts(run: Trace, altered: Trace) -> Parts:
    """Everything about one block that a run of it shows."""
    attention = find_attention(run)
    mixer = find_mixer(run, altered, attention)
    return assign(run, attention, mixer, find_writes(run))


def assign(
    run: Trace,
    attention: str | None,
    mixer: str | None,
    writes: tuple[str, ...],
) -> Parts:
    """Say whose each write is. What belongs to no attention or mixer is the MLP's."""
    left = list(writes or find_unsummed_writes(run))
    owned: dict[str, str | None] = {"attention": None, "mixer": None}
    for role, owner in (("attention", attention), ("mixer", mixer)):
        if owner is not None:
            owned[role] = write_of(run, owner, left)
            left = [name for name in left if name != owned[role]]
    mlp_write = left[-1] if left else None
    return Parts(
        attention=attention,
        heads=None if attention is None else find_heads(run, attention),
        mixer=mixer,
        mlp=_module_of(run, mlp_write) if mlp_write else None,
        attention_write=owned["attention"],
        mixer_write=owned["mixer"],
        mlp_write=mlp_write,
        writes=writes,
    )


def write_of(run: Trace, owner: str, writes: list[str]) -> str | None:
    """The write of a module: itself, within it, or a norm that reads its output."""
    for name in writes:
        if inside(name, owner) or inside(owner, name):
            return name
    for name in writes:
        scales = all(weight.ndim < 2 for weight in run.seen[name].module.parameters())
        if scales and _is_source(run.seen[owner], run.seen[name].input):
            return name
    return None


def _module_of(run: Trace, write: str) -> str | None:
    """The module with inner parts that a write belongs to: around it, or before its norm."""
    top = write.partition(".")[0]
    if top != write or any(True for _ in run.seen[top].module.children()):
        return top
    given = run.seen[write].input
    for name, seen in run.seen.items():
        if _is_source(seen, given) and any(True for _ in seen.module.children()):
            return name
    return None


def _is_source(seen: Seen, given: Tensor | None) -> bool:
    return seen.output is not None and given is not None and torch.equal(seen.output, given)
