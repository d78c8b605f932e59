"""How much two circuits share, and random circuits that share only their shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.instruments.attribution import EdgeScores
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.circuit import Circuit

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares of two circuits, each 0 where nothing and 1 where everything is shared.

    ``edges`` and ``nodes`` are intersection over union; ``smaller`` is the share of the smaller
    circuit's edges that the other has.
    """

    edges: float
    nodes: float
    smaller: float


def overlap(one: Circuit, other: Circuit) -> Overlap:
    """What two circuits share. Two empty ones share everything."""
    common = len(one.edges & other.edges)
    least = min(len(one), len(other))
    return Overlap(
        edges=_share(common, len(one.edges | other.edges)),
        nodes=_share(len(one.writers & other.writers), len(one.writers | other.writers)),
        smaller=_share(common, least),
    )


def weighted_overlap(
    one: EdgeScores, other: EdgeScores, among: Bool[np.ndarray, "writer reader"] | None = None
) -> float:
    """Intersection over union of absolute scores, each set's summing to one: in 0..1.

    ``among``: count only these edges. Needs no threshold, so it cannot hang on one.
    """
    edges = one.graph.edges if among is None else one.graph.edges & among
    left, right = (np.abs(scores.scores[edges]) for scores in (one, other))
    if not left.sum() or not right.sum():
        return float(left.sum() == right.sum())
    left, right = left / left.sum(), right / right.sum()
    return float(np.minimum(left, right).sum() / np.maximum(left, right).sum())


def matched_random(
    circuit: Circuit, graph: Graph, generator: np.random.Generator, tries: int = 20
) -> Circuit:
    """A random circuit of the same size with as many edges between the same kinds and layers.

    An edge's kind is its writer's part and layer and its reader's port and layer, so that two
    such circuits differ in nothing but which heads they use. Of several draws, the one with
    the most edges on whole paths from input to logits.
    """
    mask = circuit.mask(graph)
    kinds = _kinds(graph)
    wanted = Counter(kinds[mask].tolist())
    places = {kind: np.flatnonzero((kinds == kind) & graph.edges) for kind in wanted}
    best, most = np.zeros_like(mask), -1
    for _ in range(max(tries, 1)):
        drawn = np.zeros(mask.size, dtype=bool)
        for kind, count in sorted(wanted.items()):
            drawn[generator.choice(places[kind], count, replace=False)] = True
        found = drawn.reshape(mask.shape)
        whole = int(graph.connected(found).sum())
        if whole > most:
            best, most = found, whole
    rows, columns = np.nonzero(best)
    return Circuit(
        frozenset(
            (graph.writers[row].name, graph.readers[column].name)
            for row, column in zip(rows, columns, strict=True)
        )
    )


def _kinds(graph: Graph) -> Int[np.ndarray, "writer reader"]:
    """A number for each kind of edge."""
    writers = _numbered((writer.part, writer.layer) for writer in graph.writers)
    readers = _numbered((reader.port, reader.layer) for reader in graph.readers)
    kinds: np.ndarray = writers[:, None] * (int(readers.max()) + 1) + readers
    return kinds


def _numbered(keys: Iterable[tuple[str, int]]) -> Int[np.ndarray, " key"]:
    numbers: dict[tuple[str, int], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
