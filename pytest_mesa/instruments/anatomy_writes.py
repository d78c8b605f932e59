"""Which modules write to the residual stream: those whose outputs sum to a block's change of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import torch
from torch import Tensor

from pytest_mesa.instruments.anatomy_trace import Trace

LARGEST_SUM = 3  # attention, a state-space mixer beside it, MLP
EXCESS = 4.0  # rounding steps of the summands by which a sum may miss
EXACT = 0.2  # of what a sum may miss: as close as float32 gets, so no larger sum is tried


def miss(run: Trace, names: Iterable[str]) -> float:
    """How far the named outputs are from summing to the block's change, in roundings.

    At most 1 where they do: the largest difference, as a multiple of what adding numbers of
    this size in this precision can lose.
    """
    outputs = [run.seen[name].output for name in names]
    if any(output is None for output in outputs):
        return float("inf")
    return _excess(run.after, [run.before, *(o for o in outputs if o is not None)])


def candidates(run: Trace) -> list[str]:
    """Modules called once with an output like the stream's, one for each different output.

    Of modules with equal outputs the outermost stands for all, the earliest of several.
    """
    kept: list[str] = []
    by_depth = sorted(run.seen, key=lambda name: (name.count("."), run.seen[name].end))
    for name in by_depth:
        seen = run.seen[name]
        if seen.output is None or seen.calls > 1 or not bool(seen.output.any()):
            continue
        if not any(_equal(seen.output, run.seen[other].output) for other in kept):
            kept.append(name)
    return sorted(kept, key=lambda name: run.seen[name].end)


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(one, other)


def find_writes(run: Trace) -> tuple[str, ...]:
    """The fewest outputs that sum to the block's change, in call order; empty if none do.

    A larger sum wins only where it fits far better: in low precision a small write can hide
    within the rounding of a large one.
    """
    names = candidates(run)
    best: tuple[float, tuple[str, ...]] = (1.0, ())
    for count in range(1, LARGEST_SUM + 1):
        if best[0] < EXACT:
            break
        for chosen in combinations(names, count):
            gap = miss(run, chosen)
            if gap < (best[0] / 4 if best[1] else best[0]):
                best = (gap, chosen)
    return best[1]


def find_unsummed_writes(run: Trace) -> tuple[str, ...]:
    """The writes of a block whose writes do not sum: norms follow them, or a factor scales them."""
    return _normed_writes(run) or _scaled_writes(run)


def _normed_writes(run: Trace) -> tuple[str, ...]:
    """The outputs that are added to the stream before norms, in post-norm blocks.

    Each norm reads the stream so far plus one output, and what it gives is the stream from
    there on; the last one gives the block's output. Empty where a block is not built so.
    """
    stream, writes = run.before, []
    names = candidates(run)
    for seen in sorted(run.seen.values(), key=lambda seen: seen.end):
        if seen.calls > 1 or seen.input is None or seen.output is None:
            continue
        if seen.input.shape != stream.shape:
            continue
        for name in names:
            write = run.seen[name]
            if write.end >= seen.start or write.output is None:
                continue
            if _is_sum(seen.input, [stream, write.output]):
                writes.append(name)
                stream = seen.output
                break
    return tuple(writes) if torch.equal(stream, run.after) else ()


def _scaled_writes(run: Trace) -> tuple[str, ...]:
    """The outputs whose sum, times one factor, is the block's change; empty if none are."""
    change = run.change
    for count in range(1, LARGEST_SUM + 1):
        for chosen in combinations(candidates(run), count):
            outputs = [run.seen[name].output for name in chosen]
            total = sum((o for o in outputs if o is not None), torch.zeros_like(change))
            factor = (total * change).sum() / (total.square().sum() + 1e-30)
            if _is_sum(run.after, [run.before, factor * total]):
                return chosen
    return ()


def _is_sum(whole: Tensor, summands: list[Tensor]) -> bool:
    """Whether a tensor is a sum, but for rounding."""
    return _excess(whole, summands) <= 1


def _excess(whole: Tensor, summands: list[Tensor]) -> float:
    """How far summands are from a tensor, as a multiple of what rounding can do."""
    size = whole.abs() + sum((s.abs() for s in summands), torch.zeros_like(whole))
    gap = whole - sum(summands, torch.zeros_like(whole))
    allowed = EXCESS * torch.finfo(whole.dtype).eps * size
    allowed = allowed + 1e-5 * (whole - summands[0]).abs().max()
    return float((gap.abs() / (allowed + 1e-30)).max())
