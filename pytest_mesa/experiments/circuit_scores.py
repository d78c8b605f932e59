"""From edge scores to one number a batch: how much the circuits of two settings share.

A circuit's edges carry weights, their absolute scores, which sum to one; two circuits share the
intersection over the union of their weights. Random circuits are alike in all but which heads
do it: weights trade places among edges between the same kinds of parts in the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.circuit import strongest

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

RANDOM = 8  # random circuits for each real one


@dataclass(frozen=True, slots=True)
class Shared:
    """What circuits of one batch share: in 0..1, always between its halves.

    ``across`` the settings; ``within`` one; ``chance`` with random circuits, and ``again`` with
    other ones; ``unrelated`` with another task's circuit, None where there is none.
    """

    across: float
    within: float
    chance: float
    again: float
    unrelated: float | None = None


def alike(graph: Graph) -> Int[np.ndarray, " edge"]:
    """A number for each edge, as they stand in score arrays: equal parts, ports and layers."""
    numbers: dict[tuple[object, ...], int] = {}
    found = []
    for row, column in zip(*np.nonzero(graph.edges), strict=True):
        writer, reader = graph.writers[row], graph.readers[column]
        kind = (writer.part, writer.layer, reader.port, reader.layer)
        found.append(numbers.setdefault(kind, len(numbers)))
    return np.array(found)


def circuit(
    graph: Graph, scores: Float[np.ndarray, " edge"], share: float
) -> Bool[np.ndarray, " edge"]:
    """The strongest ``share`` of all edges, as far as they lie on whole paths."""
    table = np.zeros(graph.edges.shape)
    table[graph.edges] = scores
    return np.asarray(strongest(graph, table, round(share * len(scores)))[graph.edges])


def weights(
    graph: Graph, scores: Float[np.ndarray, " edge"], share: float
) -> Float[np.ndarray, " edge"]:
    """A circuit's weights; an empty one has none."""
    kept = np.where(circuit(graph, scores, share), np.abs(scores).astype(float), 0.0)
    total = kept.sum()
    return kept / total if total else kept


def overlap(one: Float[np.ndarray, " edge"], other: Float[np.ndarray, " edge"]) -> float:
    """Intersection over union of weights; two empty circuits share everything."""
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union else 1.0


def shuffled(
    values: np.ndarray, kinds: Int[np.ndarray, " edge"], rng: np.random.Generator
) -> np.ndarray:
    """Values that have traded places among edges that are alike."""
    found = np.empty_like(values)
    found[np.argsort(kinds, kind="stable")] = values[np.lexsort((rng.random(len(kinds)), kinds))]
    return found


def shared(
    graph: Graph,
    kinds: Int[np.ndarray, " edge"],
    scores: Float[np.ndarray, "half setting edge"],
    share: float,
    rng: np.random.Generator,
    unrelated: Float[np.ndarray, "half edge"] | None = None,
) -> Shared:
    """Compare the circuits of one batch, whose two halves have two settings each.

    ``kinds`` are those of `alike`.
    """
    one, two = ([weights(graph, row, share) for row in half] for half in scores)
    crossed = [(one[0], two[1]), (two[0], one[1])]
    chance = [
        [overlap(shuffled(a, kinds, rng), b) for a, b in crossed for _ in range(RANDOM)]
        for _ in range(2)
    ]
    tasks = None
    if unrelated is not None:
        first, second = (weights(graph, row, share) for row in unrelated)
        tasks = [overlap(first, each) for each in two] + [overlap(second, each) for each in one]
    return Shared(
        across=_mean([overlap(*pair) for pair in crossed]),
        within=_mean([overlap(*pair) for pair in zip(one, two, strict=True)]),
        chance=_mean(chance[0]),
        again=_mean(chance[1]),
        unrelated=None if tasks is None else _mean(tasks),
    )


def planted(
    scores: Float[np.ndarray, "batch half setting edge"], strength: float
) -> Float[np.ndarray, "batch half setting edge"]:
    """As if ``strength`` of the second setting's positions were other games of the first.

    Edge scores are means over positions, so that those of the mixture are the mixed ones.
    """
    found = scores.copy()
    found[:, :, 1] *= 1 - strength
    found[:, :, 1] += strength * np.roll(scores[:, :, 0], 1, axis=0)
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
