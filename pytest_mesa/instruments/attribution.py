"""Edge and node attribution with integrated gradients, for any decoder that writes additively.

An edge's score estimates by how much the metric changes when its reader gets the writer's
corrupted write in place of the clean one: the sum over positions of that change of the write
times the metric's gradient at the reader's input in the stream, before its norm.
Sources: Syed et al. 2023 (edge attribution patching), Hanna et al. 2024 (EAP-IG, inputs).

All gradients of a path are summed on the readers' side, in ``width`` numbers a head and
position, before they meet the writers: a norm's part of the gradient is a formula, so one
product a layer serves every point of the path. See `attribution_norm`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.instruments.attribution_edges import collect_edges
from pytest_mesa.instruments.attribution_frame import Frame
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.attribution_nodes import collect_nodes
from pytest_mesa.instruments.attribution_parts import Wiring
from pytest_mesa.instruments.attribution_paths import Path, path
from pytest_mesa.instruments.attribution_prefix import Share, shares
from pytest_mesa.instruments.attribution_runs import (
    Metric,
    Pairs,
    for_inputs_only,
    measured,
    on_input,
)
from pytest_mesa.instruments.attribution_trunks import at_answers
from pytest_mesa.instruments.attribution_writes import Writes, differences, spelled_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int

TOKENS = 512  # in one pass: enough to keep matrix products busy, little to hold for gradients


@dataclass(frozen=True)
class EdgeScores:
    """Scores of all edges, means over the pairs; 0 where there is no edge.

    ``clean`` and ``corrupt`` are the metric's means without and with corruption.
    """

    graph: Graph
    scores: Float[np.ndarray, "writer reader"]
    clean: float
    corrupt: float

    @cached_property
    def nodes(self) -> Float[np.ndarray, " writer"]:
        """Each writer's own score: the sum over its edges."""
        total: np.ndarray = self.scores.sum(axis=1)
        return total

    def frame(self) -> Frame:
        """One edge a row: ``writer``, ``reader``, ``port``, both layers, ``score``."""
        sources, targets = np.nonzero(self.graph.edges)
        writers, readers = self.graph.writers, self.graph.readers
        return Frame(
            {
                "writer": np.array([writer.name for writer in writers])[sources],
                "reader": np.array([reader.name for reader in readers])[targets],
                "port": np.array([reader.port for reader in readers])[targets],
                "writer_layer": np.array([writer.layer for writer in writers])[sources],
                "reader_layer": np.array([reader.layer for reader in readers])[targets],
                "score": self.scores[sources, targets],
            }
        )


@dataclass(frozen=True)
class NodeScores:
    """Scores of all writers by position, means over the pairs. Metrics as in `EdgeScores`."""

    graph: Graph
    by_position: Float[np.ndarray, "writer pos"]
    clean: float
    corrupt: float

    @cached_property
    def scores(self) -> Float[np.ndarray, " writer"]:
        """Each writer's score, summed over positions."""
        total: np.ndarray = self.by_position.sum(axis=1)
        return total

    def frame(self, *, positions: bool = False) -> Frame:
        """One writer a row, or one writer and position: ``writer``, ``part``, ``score`` …"""
        count, length = self.by_position.shape
        repeat = length if positions else 1
        places = np.repeat(np.arange(count), repeat)
        writers = self.graph.writers
        columns = {
            "writer": np.array([writer.name for writer in writers])[places],
            "part": np.array([writer.part for writer in writers])[places],
            "layer": np.array([writer.layer for writer in writers])[places],
            "head": np.array([writer.head for writer in writers])[places],
        }
        if positions:
            columns["position"] = np.tile(np.arange(length), count)
        columns["score"] = self.by_position.ravel() if positions else self.scores
        return Frame(columns)


def edge_attribution(
    wiring: Wiring,
    pairs: Pairs,
    metric: Metric,
    along: Path | None = None,
    tokens: int = TOKENS,
) -> EdgeScores:
    """Score every edge. ``tokens``: run at most so many at a time, all points of a path.

    Raises:
        SiteError: pairs without corrupted prompts, or a metric that is no number for each run.
    """
    groups = torch.zeros(len(pairs), dtype=torch.long, device=pairs.clean.device)
    return edge_attribution_by_group(wiring, pairs, metric, groups, along, tokens)[0]


def edge_attribution_by_group(
    wiring: Wiring,
    pairs: Pairs,
    metric: Metric,
    groups: Int[Tensor, " pair"],
    along: Path | None = None,
    tokens: int = TOKENS,
) -> list[EdgeScores]:
    """The same for many groups of pairs at once, numbered from 0; none may be without pairs.

    Raises:
        SiteError: as `edge_attribution`.
    """
    along = along or path()
    graph = wiring.graph
    sizes = groups.bincount()
    table = (len(sizes), len(graph.writers), len(graph.readers))
    totals = torch.zeros(table, device=pairs.clean.device)
    values = torch.zeros(2, len(pairs), dtype=torch.float64, device=pairs.clean.device)
    with for_inputs_only(wiring.anatomy.module):
        for share in shares(wiring, pairs, len(along), tokens, groups=groups):
            change, both = differences(wiring, share.pairs, share.answers, share.run)
            values[:, share.rows] = _metrics(metric, both.logits, share.rows).double()
            spelled = spelled_out(wiring, change)
            taps = collect_edges(wiring, spelled, len(along), _grouped(share, totals))
            _backward(wiring, share, metric, both, along, taps)
    found = (totals / sizes[:, None, None]).double().cpu().numpy()
    return [
        EdgeScores(graph, scores, *values[:, groups == group].mean(1).tolist())
        for group, scores in enumerate(found)
    ]


def _grouped(share: Share, totals: Tensor) -> list[tuple[slice, Tensor]]:
    """Which of a share's pairs count for which total."""
    names, counts = share.own_groups.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0).tolist()
    return [
        (slice(end - count, end), totals[name])
        for name, count, end in zip(names.tolist(), counts.tolist(), ends, strict=True)
    ]


def node_attribution(
    wiring: Wiring,
    pairs: Pairs,
    metric: Metric,
    along: Path | None = None,
    tokens: int = TOKENS,
) -> NodeScores:
    """Score every writer at every position: far cheaper than edges.

    Raises:
        SiteError: as `edge_attribution`.
    """
    along = along or path()
    size = (len(wiring.graph.writers), pairs.clean.shape[1])
    total = torch.zeros(size, device=pairs.clean.device)
    values = []
    with for_inputs_only(wiring.anatomy.module):
        for share in shares(wiring, pairs, len(along), tokens):
            change, both = differences(wiring, share.pairs, share.answers, share.run)
            values.append(_metrics(metric, both.logits, share.rows))
            taps = collect_nodes(wiring, change, len(along), total[:, share.start :])
            _backward(wiring, share, metric, both, along, taps)
    clean, corrupt = _means(values)
    return NodeScores(wiring.graph, (total / len(pairs)).double().cpu().numpy(), clean, corrupt)


def _backward(
    wiring: Wiring,
    share: Share,
    metric: Metric,
    both: Writes,
    along: Path,
    taps: list[Callable[[], Callable[[], None]]],
) -> None:
    """Run all points of the path at once, and back; the taps take what they need on the way."""
    pairs = share.pairs
    steps, count = len(along), len(pairs)
    clean, corrupt = both.stream[:count], both.stream[count:]
    points = torch.tensor(along.points, device=clean.device).to(clean)[:, None, None, None]
    start = (corrupt + points * (clean - corrupt)).flatten(0, 1).requires_grad_()
    mask = None if pairs.mask is None else pairs.mask.repeat(steps, 1)
    answers = share.answers
    weights = torch.tensor(along.weights, device=clean.device).repeat_interleave(len(answers))
    with torch.enable_grad(), ExitStack() as stack:
        stack.callback(on_input(wiring.first_block, lambda _value: start))
        stack.callback(at_answers(wiring.unembedding, answers.copies(steps, count)))
        for tap in taps:
            stack.callback(tap())
        logits = share.run(pairs.clean.repeat(steps, 1), mask)[:, 0]
        total = (measured(metric, logits, share.rows.repeat(steps)) * weights).sum()
        torch.autograd.backward(total, inputs=[start])


def _metrics(metric: Metric, logits: Tensor, rows: Tensor) -> Float[Tensor, "2 pair"]:
    values = measured(metric, logits, torch.cat([rows, rows])).detach()
    return values.reshape(2, -1)


def _means(values: list[Tensor]) -> tuple[float, float]:
    clean, corrupt = torch.cat(values, dim=1).double().mean(1).tolist()
    return clean, corrupt
