"""What is lost when edges of circuits are cut, their writes resampled from other games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.experiments.circuit_scores import alike, circuit, shuffled
from pytest_mesa.experiments.circuit_tasks import Task, playing
from pytest_mesa.instruments.attribution_graph import Graph
from pytest_mesa.instruments.circuit_ablate import Ablation, Resample, ends, evaluate_by_group
from pytest_mesa.subjects.games_players import Player
from pytest_mesa.tasks.games.batches import Batch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

SOURCE, TESTED = 0, 1  # the half that circuits come from, and the half that they are tried on
TOKENS = 1024  # in one pass without gradients


@dataclass(frozen=True, slots=True)
class Lost:
    """One setting of a batch: shares of the metric, between all edges cut (1) and none (0).

    ``alone`` is what the batch's own circuit keeps by itself. ``own_only`` and ``other_only``:
    what is lost without the edges that only its own, or only the other setting's core has.
    """

    alone: float
    own_only: float
    other_only: float

    @property
    def against_other(self) -> float:
        """By how much its own edges are needed more than the other setting's."""
        return self.own_only - self.other_only


@dataclass(frozen=True, slots=True)
class LostAtRandom:
    """The same with random edges in the place of the other setting's core."""

    beside_random: float
    random_only: float

    @property
    def against_random(self) -> float:
        """By how much its own edges are needed more than random ones."""
        return self.beside_random - self.random_only


class Trial:
    """One setting's positions in some batches, on which sets of edges are tried.

    What is left of the metric is a share: 1 with all edges and 0 with none, also where that is
    no difference.
    """

    def __init__(self, player: Player, task: Task, ablation: Ablation | None = None) -> None:
        self.player = player
        self.task = task
        self.ablation = ablation or Resample()
        self.batches = int(task.batch.max()) + 1
        values = ends(player.wiring, task.pairs, task.metric, self.ablation, TOKENS)
        self.full, self.empty = self._means(values)

    def kept(
        self, edges: Sequence[Bool[np.ndarray, " edge"] | Bool[np.ndarray, "batch edge"]]
    ) -> Float[np.ndarray, "edges batch"]:
        """What is left in every batch with these edges alone, or with its own of these sets."""
        wiring, task = self.player.wiring, self.task
        every = wiring.graph.edges
        masks = []
        for each in edges:
            mask = np.zeros((each.size // each.shape[-1], *every.shape), dtype=bool)
            mask[:, every] = each
            masks.append(mask)
        values = evaluate_by_group(
            wiring, masks, task.pairs, task.metric, task.batch, self.ablation, TOKENS
        )
        span = np.where(self.full > self.empty, self.full - self.empty, np.inf)
        return np.asarray((self._means(values) - self.empty) / span)

    def _means(self, values: Float[np.ndarray, "row pair"]) -> Float[np.ndarray, "row batch"]:
        own = self.task.batch.cpu().numpy()
        return np.stack([values[:, own == batch].mean(1) for batch in range(self.batches)], axis=1)


def trials(player: Player, batches: Sequence[Batch]) -> list[Trial]:
    """The tested halves of batches, setting by setting."""
    settings = range(len(batches[0][TESTED]))
    return [Trial(player, playing(player, s, TESTED, batches)) for s in settings]


def faithfulness(
    asked: Sequence[Trial],
    scores: Float[np.ndarray, "batch half setting edge"],
    sizes: Sequence[float],
) -> dict[float, list[float]]:
    """By size, what each setting's circuits keep alone in halves they do not come from."""
    graph = asked[0].player.wiring.graph
    found = [
        trial.kept([_circuits(graph, scores[:, SOURCE, s], size) for size in sizes]).mean(1)
        for s, trial in enumerate(asked)
    ]
    means = np.transpose(found).round(4).tolist()
    return dict(zip(sizes, means, strict=True))


def _circuits(
    graph: Graph, scores: Float[np.ndarray, "batch edge"], size: float
) -> Bool[np.ndarray, "batch edge"]:
    """Each batch's own circuit."""
    return np.stack([circuit(graph, row, size) for row in scores])


def lost(
    asked: Sequence[Trial],
    scores: Float[np.ndarray, "batch half setting edge"],
    size: float,
    cores: Sequence[Bool[np.ndarray, " edge"]],
) -> list[list[Lost]]:
    """A record a batch and setting; ``cores`` are cut, circuits of ``size`` stand alone."""
    graph = asked[0].player.wiring.graph
    found = []
    for s, (trial, (own, other)) in enumerate(zip(asked, _own_and_other(cores), strict=True)):
        alone = _circuits(graph, scores[:, SOURCE, s], size)
        kept = trial.kept([alone, ~(own & ~other), ~(other & ~own)])
        found.append([Lost(a, 1 - one, 1 - two) for a, one, two in kept.T.tolist()])
    return [list(both) for both in zip(*found, strict=True)]


def lost_at_random(
    asked: Sequence[Trial],
    cores: Sequence[Bool[np.ndarray, " edge"]],
    rng: np.random.Generator,
) -> list[list[LostAtRandom]]:
    """A record a batch and setting."""
    kinds = alike(asked[0].player.wiring.graph)
    chance = [
        [shuffled(other, kinds, rng) for _, other in _own_and_other(cores)]
        for _ in range(asked[0].batches)
    ]
    found = []
    for trial, (own, _), drawn in zip(
        asked, _own_and_other(cores), zip(*chance, strict=True), strict=True
    ):
        other = np.stack(drawn)
        lost_there = 1 - trial.kept([~(own & ~other), ~(other & ~own)])
        found.append([LostAtRandom(*both) for both in lost_there.T.tolist()])
    return [list(both) for both in zip(*found, strict=True)]


def _own_and_other(cores: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(cores, reversed(cores), strict=True))
