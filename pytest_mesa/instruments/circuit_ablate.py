"""What a circuit does alone, and what the net does without it: faithfulness and completeness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.instruments.attribution import TOKENS
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_prefix import Share, shares
from pytest_mesa.instruments.attribution_runs import Metric, Pairs, measured
from pytest_mesa.instruments.attribution_trunks import at_answers
from pytest_mesa.instruments.attribution_writes import Writes, capture
from pytest_mesa.instruments.circuit import Circuit
from pytest_mesa.instruments.circuit_run import run_masked
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class Ablation(Protocol):
    """What ablated edges carry."""

    @property
    def keeps_prefix(self) -> bool:
        """Whether ablation changes nothing before a pair's first differing token."""
        ...

    def base(self, wiring: Wiring, share: Share) -> Writes:
        """Writes that broadcast to the (pair, pos) of the share's pairs."""
        ...


@dataclass(frozen=True, slots=True)
class Resample:
    """Ablated edges carry the corrupted prompt's writes, pair by pair."""

    keeps_prefix: ClassVar[bool] = True

    def base(self, wiring: Wiring, share: Share) -> Writes:
        """The corrupted run."""
        pairs = share.pairs
        if pairs.corrupt is None:
            raise SiteError("resample ablation needs corrupted prompts")
        return capture(wiring, pairs.corrupt, pairs.mask, share.answers, run=share.run)


@dataclass(frozen=True, slots=True)
class Mean:
    """Ablated edges carry each writer's mean write. Made by `mean_ablation`."""

    writes: Writes
    keeps_prefix: ClassVar[bool] = False

    def base(self, wiring: Wiring, share: Share) -> Writes:  # noqa: ARG002
        """The means.

        Raises:
            SiteError: means by position over prompts of another length.
        """
        length = self.writes.stream.shape[1]
        width = share.pairs.clean.shape[1]
        if length not in (1, width):
            raise SiteError(f"means over {length} positions do not fit prompts of {width}")
        return self.writes


def mean_ablation(
    wiring: Wiring,
    ids: Int[Tensor, "prompt pos"],
    mask: Int[Tensor, "prompt pos"] | None = None,
    *,
    by_position: bool = False,
    tokens: int = TOKENS,
) -> Mean:
    """Every writer's mean over prompts, and over positions too unless ``by_position``.

    Padding does not count. A position that is padding in every prompt has mean 0.
    """
    pairs = Pairs(ids, mask=mask)
    real = torch.ones_like(ids) if mask is None else mask
    axes = (0,) if by_position else (0, 1)
    total: list[Tensor] = []
    for share in shares(wiring, pairs, 1, tokens, prefix=False, apart=True):
        some = share.pairs
        weight = real[share.rows][..., None].float()
        writes = capture(
            wiring,
            some.clean,
            some.mask,
            share.answers,
            lambda value, w=weight: (value.float() * w).sum(axes, keepdim=True),  # type: ignore[misc]
        )
        values = [writes.stream, *writes.parts]
        total = values if not total else [a + b for a, b in zip(total, values, strict=True)]
    count = real.float().sum(axes, keepdim=True)[..., None].clamp_min(1)
    stream, *parts = (value / count for value in total)
    return Mean(Writes(stream, tuple(parts), stream.new_zeros(1, 0)))


@dataclass(frozen=True)
class Restored:
    """How much of the metric a set of edges brings back: 0 as with none, 1 as with all.

    ``alone``, ``full`` and ``empty`` are the metric pair by pair: with these edges, with all,
    and with none. ``value`` is the ratio of means.
    """

    alone: Float[np.ndarray, " pair"]
    full: Float[np.ndarray, " pair"]
    empty: Float[np.ndarray, " pair"]

    @property
    def value(self) -> float:
        """``(alone - empty) / (full - empty)``.

        Raises:
            SiteError: ablating all changes nothing, so there is nothing to restore.
        """
        span = float(self.full.mean() - self.empty.mean())
        if span == 0:
            raise SiteError("ablating every edge leaves the metric as it is; nothing to restore")
        return float(self.alone.mean() - self.empty.mean()) / span


def evaluate(
    wiring: Wiring,
    masks: Sequence[Bool[np.ndarray, "writer reader"]],
    pairs: Pairs,
    metric: Metric,
    ablation: Ablation,
    tokens: int = TOKENS,
) -> Float[np.ndarray, "mask pair"]:
    """The metric of each pair where only the edges of a mask carry clean writes."""
    groups = torch.zeros(len(pairs), dtype=torch.long, device=pairs.clean.device)
    return evaluate_by_group(
        wiring, [mask[None] for mask in masks], pairs, metric, groups, ablation, tokens
    )


def evaluate_by_group(
    wiring: Wiring,
    masks: Sequence[Bool[np.ndarray, "#group writer reader"]],
    pairs: Pairs,
    metric: Metric,
    groups: Int[Tensor, " pair"],
    ablation: Ablation,
    tokens: int = TOKENS,
) -> Float[np.ndarray, "mask pair"]:
    """The same where masks may differ from group to group of pairs, which are numbered from 0."""
    on_device = [torch.from_numpy(mask).to(pairs.clean.device) for mask in masks]
    found = torch.empty(len(masks), len(pairs), dtype=torch.float64)
    for share in shares(wiring, pairs, 1, tokens, groups=groups, prefix=ablation.keeps_prefix):
        base = ablation.base(wiring, share)
        here, own = share.own_groups.unique(return_inverse=True)
        for row, mask in enumerate(on_device):
            differs = len(mask) > 1
            logits = run_masked(
                wiring,
                mask[here] if differs else mask,
                own if differs else torch.zeros_like(own),
                share.pairs,
                base,
                share.run,
                share.answers,
            )
            found[row, share.rows.cpu()] = measured(metric, logits, share.rows).double().cpu()
    return found.numpy()


def ends(
    wiring: Wiring, pairs: Pairs, metric: Metric, ablation: Ablation, tokens: int = TOKENS
) -> Float[np.ndarray, "2 pair"]:
    """The metric with all edges and with none."""
    edges = wiring.graph.edges
    if not isinstance(ablation, Resample) or pairs.corrupt is None:
        return evaluate(wiring, [edges, edges & False], pairs, metric, ablation, tokens)
    found = torch.empty(2, len(pairs), dtype=torch.float64)
    for share in shares(wiring, pairs, 1, tokens):
        for row, ids in enumerate((share.pairs.clean, share.pairs.corrupt)):
            with torch.no_grad(), ExitStack() as stack:
                stack.callback(at_answers(wiring.unembedding, share.answers))
                logits = share.run(ids, share.pairs.mask)[:, 0]  # type: ignore[arg-type]
            found[row, share.rows.cpu()] = measured(metric, logits, share.rows).double().cpu()
    return found.numpy()


def faithfulness(
    wiring: Wiring, circuit: Circuit, pairs: Pairs, metric: Metric, ablation: Ablation
) -> Restored:
    """What the circuit does alone, all other edges ablated: near 1 where it is faithful."""
    return _restored(wiring, circuit.mask(wiring.graph), pairs, metric, ablation)


def completeness(
    wiring: Wiring, circuit: Circuit, pairs: Pairs, metric: Metric, ablation: Ablation
) -> Restored:
    """What is left with the circuit's own edges ablated: near 0 where it is complete."""
    rest = wiring.graph.edges & ~circuit.mask(wiring.graph)
    return _restored(wiring, rest, pairs, metric, ablation)


def ablate(
    wiring: Wiring, nodes: Iterable[str], pairs: Pairs, metric: Metric, ablation: Ablation
) -> Restored:
    """What is left of the metric with whole writers ablated, by name.

    Raises:
        SiteError: there is no such writer.
    """
    return _restored(wiring, without(wiring.graph, nodes), pairs, metric, ablation)


def without(graph: Graph, nodes: Iterable[str]) -> Bool[np.ndarray, "writer reader"]:
    """All edges but those of the named writers.

    Raises:
        SiteError: there is no such writer.
    """
    mask = graph.edges.copy()
    for name in nodes:
        if name not in graph.writer_index:
            raise SiteError(f"the graph has no writer {name}")
        mask[graph.writer_index[name]] = False
    return mask


def _restored(
    wiring: Wiring,
    mask: Bool[np.ndarray, "writer reader"],
    pairs: Pairs,
    metric: Metric,
    ablation: Ablation,
) -> Restored:
    edges = wiring.graph.edges
    return Restored(*evaluate(wiring, [mask, edges, edges & False], pairs, metric, ablation))
