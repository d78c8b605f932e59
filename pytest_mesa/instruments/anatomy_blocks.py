"""The outer shape of a decoder: its list of blocks, and what is before and behind them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa.instruments.anatomy_trace import first_tensor
from pytest_mesa.instruments.runner import Runner
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclass(frozen=True, slots=True)
class Shape:
    """The blocks by name, in order, and the outer parts; None where not found.

    ``vocabulary``: how many ids the net can take.
    """

    names: tuple[str, ...]
    blocks: tuple[nn.Module, ...]
    embedding: nn.Module | None
    final_norm: nn.Module | None
    unembedding: nn.Module | None
    vocabulary: int


@dataclass(slots=True)
class _Used:
    """How a module was called: how often, with what shapes, and with which tensors."""

    module: nn.Module
    order: int
    calls: int = 0
    taken: Tensor | None = None
    given: Tensor | None = None


def find_shape(
    module: nn.Module, run: Runner, ids: Int[Tensor, "batch pos"], listed: str | None
) -> Shape:
    """Find the blocks, or take the list of that name, and what is around them.

    Blocks are the longest list whose modules each run once and map a ``(batch, pos, d_model)``
    stream to another; of equally long ones the outermost.

    Raises:
        SiteError: there is no such list, or the named one is none.
    """
    used, logits = _watch(module, run, ids)
    names = {id(child): name for name, child in module.named_modules()}
    lists = {
        name: list(child.children())
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList | nn.Sequential) and len(child)
    }
    if listed is not None:
        wrong = _not_blocks(lists.get(listed, []), used, ids)
        if wrong:
            raise SiteError(f"anatomy: blocks {listed!r} {wrong}; {_lists(lists, used, ids)}")
        chosen = listed
    else:
        fits = [name for name, blocks in lists.items() if not _not_blocks(blocks, used, ids)]
        if not fits:
            raise SiteError(f"anatomy: found no blocks; {_lists(lists, used, ids)}")
        chosen = max(fits, key=lambda name: (len(lists[name]), -name.count(".")))
    blocks = lists[chosen]
    outer = [u for u in used.values() if not any(True for _ in u.module.children())]
    embedding = _embedding(outer, ids)
    table = getattr(embedding, "weight", None)
    return Shape(
        tuple(names[id(block)] for block in blocks),
        tuple(blocks),
        embedding,
        _final_norm(outer, used[id(blocks[-1])]),
        _unembedding(outer, logits),
        len(table) if isinstance(table, Tensor) else logits.shape[-1],
    )


def _watch(module: nn.Module, run: Runner, ids: Tensor) -> tuple[dict[int, _Used], Tensor]:
    used: dict[int, _Used] = {}

    def enter(child: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen = used.setdefault(id(child), _Used(child, len(used)))
        seen.calls += 1
        given = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        seen.taken = next(given, None)

    def leave(child: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        used[id(child)].given = first_tensor(output)

    with torch.no_grad(), ExitStack() as stack:
        for child in module.modules():
            stack.callback(child.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(child.register_forward_hook(leave).remove)
        logits = run(ids)
    return used, logits


def _not_blocks(blocks: list[nn.Module], used: dict[int, _Used], ids: Tensor) -> str | None:
    """Why modules are no blocks; None if they are."""
    if not blocks:
        return "is no list of modules"
    widths = set()
    for index, block in enumerate(blocks):
        seen = used.get(id(block))
        if seen is None:
            return f"does not run (its module {index}, {type(block).__name__})"
        if seen.calls > 1:
            return f"runs its module {index} {seen.calls} times"
        for value in (seen.taken, seen.given):
            if value is None or value.ndim != 3 or value.shape[:2] != ids.shape[:2]:
                return (
                    f"holds no blocks: its module {index}, {type(block).__name__}, does not map "
                    "(batch, pos, d_model) to the same"
                )
            widths.add(value.shape[2])
    return None if len(widths) == 1 else "changes its width from block to block"


def _lists(lists: dict[str, list[nn.Module]], used: dict[int, _Used], ids: Tensor) -> str:
    """What there is to choose from."""
    good = [
        f"{name!r} ({len(blocks)} × {type(blocks[0]).__name__})"
        for name, blocks in lists.items()
        if not _not_blocks(blocks, used, ids)
    ]
    if good:
        return "lists of blocks here: " + ", ".join(good)
    bad = [f"{name!r} {_not_blocks(blocks, used, ids)}" for name, blocks in lists.items()]
    return "its lists: " + "; ".join(bad[:6]) if bad else "it has no lists of modules"


def _embedding(outer: list[_Used], ids: Tensor) -> nn.Module | None:
    """The first leaf that takes the ids themselves and gives vectors."""
    for seen in sorted(outer, key=lambda seen: seen.order):
        taken, given = seen.taken, seen.given
        if taken is None or given is None or taken.shape != ids.shape or given.ndim != 3:
            continue
        if torch.equal(taken, ids):
            return seen.module
    return None


def _final_norm(outer: list[_Used], last: _Used) -> nn.Module | None:
    """The leaf behind the last block that reads its output and keeps its width."""
    stream = last.given
    for seen in outer:
        if seen.order <= last.order or seen.taken is None or seen.given is None or stream is None:
            continue
        same = seen.taken.shape == stream.shape == seen.given.shape
        if same and torch.equal(seen.taken, stream):
            return seen.module
    return None


def _unembedding(outer: list[_Used], logits: Tensor) -> nn.Module | None:
    """The last weighted map to the vocabulary."""
    fits = [
        seen
        for seen in outer
        if seen.given is not None
        and seen.given.shape == logits.shape
        and isinstance(getattr(seen.module, "weight", None), Tensor)
    ]
    return max(fits, key=lambda seen: seen.order).module if fits else None
