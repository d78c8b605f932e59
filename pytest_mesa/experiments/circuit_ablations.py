"""What is lost when edges of circuits are cut, their writes resampled from other games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.experiments.circuit_scores import alike, circuit, shuffled
from pytest_mesa.experiments.circuit_tasks import Task, playing
from pytest_mesa.instruments.circuit_ablate import Ablation, Resample, evaluate
from pytest_mesa.subjects.games_players import Player
from pytest_mesa.tasks.games.batches import Batch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

SOURCE, TESTED = 0, 1  # the half that circuits come from, and the half that they are tried on
TOKENS = 4096  # in one pass without gradients


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
        self.parts = [task.of_batch(batch) for batch in range(int(task.batch.max()) + 1)]
        every = player.wiring.graph.edges
        self.full, self.empty = self._means([every, every & False])

    def kept(self, edges: Sequence[Bool[np.ndarray, " edge"]]) -> Float[np.ndarray, "edges batch"]:
        """What is left in every batch with these edges alone."""
        return self._shares(self._means([self._mask(each) for each in edges]), slice(None))

    def kept_in(
        self, batch: int, edges: Sequence[Bool[np.ndarray, " edge"]]
    ) -> Float[np.ndarray, " edges"]:
        """What is left in one batch."""
        masks = [self._mask(each) for each in edges]
        return self._shares(self._values(self.parts[batch], masks).mean(1), batch)

    def _shares(self, means: np.ndarray, batch: slice | int) -> np.ndarray:
        full, empty = self.full[batch], self.empty[batch]
        span = np.where(full > empty, full - empty, np.inf)
        return np.asarray((means - empty) / span)

    def _mask(self, edges: np.ndarray) -> Bool[np.ndarray, "writer reader"]:
        every = self.player.wiring.graph.edges
        mask = np.zeros_like(every)
        mask[every] = edges
        return mask

    def _means(self, masks: Sequence[np.ndarray]) -> Float[np.ndarray, "mask batch"]:
        values = self._values(self.task, masks)
        own = self.task.batch.cpu().numpy()
        return np.stack(
            [values[:, own == batch].mean(1) for batch in range(len(self.parts))], axis=1
        )

    def _values(self, task: Task, masks: Sequence[np.ndarray]) -> Float[np.ndarray, "mask pair"]:
        wiring = self.player.wiring
        return evaluate(wiring, masks, task.pairs, task.metric, self.ablation, TOKENS)


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
        [
            trial.kept_in(b, [circuit(graph, row[s], size) for size in sizes])
            for s, trial in enumerate(asked)
        ]
        for b, row in enumerate(scores[:, SOURCE])
    ]
    means = np.mean(found, axis=0).T.round(4).tolist()
    return dict(zip(sizes, means, strict=True))


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
        cut = 1 - trial.kept([~(own & ~other), ~(other & ~own)])
        alone = [
            trial.kept_in(b, [circuit(graph, row[s], size)])[0]
            for b, row in enumerate(scores[:, SOURCE])
        ]
        found.append([Lost(float(a), *c) for a, c in zip(alone, cut.T.tolist(), strict=True)])
    return [list(both) for both in zip(*found, strict=True)]


def lost_at_random(
    asked: Sequence[Trial],
    cores: Sequence[Bool[np.ndarray, " edge"]],
    rng: np.random.Generator,
) -> list[list[LostAtRandom]]:
    """A record a batch and setting."""
    kinds = alike(asked[0].player.wiring.graph)
    found = []
    for batch in range(len(asked[0].parts)):
        both = []
        for trial, (own, other) in zip(asked, _own_and_other(cores), strict=True):
            chance = shuffled(other, kinds, rng)
            left = trial.kept_in(batch, [~(own & ~chance), ~(chance & ~own)])
            both.append(LostAtRandom(*(1 - left).tolist()))
        found.append(both)
    return found


def _own_and_other(cores: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(cores, reversed(cores), strict=True))
