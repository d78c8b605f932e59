"""Circuits: sets of edges from the input to the logits, chosen by their scores."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa.instruments.attribution import EdgeScores
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.stream import SiteError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

Edge = tuple[str, str]  # a writer's name and a reader's
VERSION = 1


@dataclass(frozen=True)
class Circuit:
    """Edges of a graph, by name. Two circuits are equal where their edges are."""

    edges: frozenset[Edge]

    def __len__(self) -> int:
        return len(self.edges)

    @property
    def writers(self) -> frozenset[str]:
        """The writers that an edge leads from."""
        return frozenset(writer for writer, _ in self.edges)

    @property
    def readers(self) -> frozenset[str]:
        """The readers that an edge leads to."""
        return frozenset(reader for _, reader in self.edges)

    def mask(self, graph: Graph) -> Bool[np.ndarray, "writer reader"]:
        """Where the circuit has an edge.

        Raises:
            SiteError: an edge that the graph does not have.
        """
        table = np.zeros_like(graph.edges)
        for writer, reader in self.edges:
            row, column = graph.writer_index.get(writer), graph.reader_index.get(reader)
            if row is None or column is None or not graph.edges[row, column]:
                raise SiteError(f"the graph has no edge {writer} -> {reader}")
            table[row, column] = True
        return table

    def complement(self, graph: Graph) -> Circuit:
        """All other edges of the graph."""
        return from_mask(graph, graph.edges & ~self.mask(graph))

    def to_json(self) -> str:
        """The circuit as text; equal circuits give equal text."""
        return json.dumps({"v": VERSION, "edges": sorted(map(list, self.edges))})

    @classmethod
    def from_json(cls, text: str) -> Circuit:
        """The circuit in a text of `to_json`.

        Raises:
            ValueError: the text is no circuit, with what is wrong.
        """
        try:
            found: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"no circuit: not JSON ({error})") from error
        if not isinstance(found, dict) or found.get("v") != VERSION:
            raise ValueError(f"no circuit: expected an object with v = {VERSION}")
        edges = found.get("edges")
        if not isinstance(edges, list) or not all(
            isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, str) for end in edge)
            for edge in edges
        ):
            raise ValueError("no circuit: edges must be a list of [writer, reader]")
        return cls(frozenset((writer, reader) for writer, reader in edges))


def from_mask(graph: Graph, mask: Bool[np.ndarray, "writer reader"]) -> Circuit:
    """The circuit of the edges that are marked; marks where there is no edge are dropped."""
    rows, columns = np.nonzero(mask & graph.edges)
    writers, readers = graph.writers, graph.readers
    return Circuit(
        frozenset((writers[r].name, readers[c].name) for r, c in zip(rows, columns, strict=True))
    )


def full(graph: Graph) -> Circuit:
    """Every edge."""
    return from_mask(graph, graph.edges)


def top_edges(scores: EdgeScores, size: int) -> Circuit:
    """The ``size`` edges of the largest absolute scores, then only those on a whole path.

    So the circuit can be smaller than ``size``. Ties go to the earlier writer.
    """
    return from_mask(scores.graph, strongest(scores.graph, scores.scores, size))


def strongest(
    graph: Graph, scores: Float[np.ndarray, "writer reader"], size: int
) -> Bool[np.ndarray, "writer reader"]:
    """The edges of `top_edges`, as a mask."""
    weight = np.where(graph.edges, np.abs(scores), -1.0).ravel()
    count = min(max(size, 0), int(graph.edges.sum()))
    mask = np.zeros(weight.size, dtype=bool)
    mask[np.argsort(-weight, kind="stable")[:count]] = True
    return graph.connected(mask.reshape(graph.edges.shape))


def greedy_edges(scores: EdgeScores, size: int) -> Circuit:
    """Grow from the logits: always the largest edge into what is already in the circuit.

    The best-first search of Hanna et al. 2024, section 3.1; edges that no path from the input
    reaches are dropped at the end.
    """
    graph = scores.graph
    weight = np.abs(scores.scores)
    mask = np.zeros_like(graph.edges)
    queue: list[tuple[float, int, int]] = []
    opened = np.zeros(len(graph.readers), dtype=bool)

    def open_readers(places: Iterable[int]) -> None:
        for column in places:
            if not opened[column]:
                opened[column] = True
                for row in np.flatnonzero(graph.edges[:, column]).tolist():
                    heapq.heappush(queue, (-float(weight[row, column]), row, column))

    open_readers(place for place, r in enumerate(graph.readers) if r.port == "logits")
    for _ in range(max(size, 0)):
        if not queue:
            break
        _, row, column = heapq.heappop(queue)
        mask[row, column] = True
        open_readers(np.flatnonzero(graph.feeds[:, row]).tolist())
    return from_mask(graph, graph.connected(mask))
