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
    ``beside_random`` and ``random_only``: the same with random edges in the place of the other's,
    None where they were not cut.
    """

    alone: float
    own_only: float
    other_only: float
    beside_random: float | None = None
    random_only: float | None = None

    @property
    def against_other(self) -> float:
        """By how much its own edges are needed more than the other setting's."""
        return self.own_only - self.other_only

    @property
    def against_random(self) -> float:
        """By how much its own edges are needed more than random ones; 0 where none were cut."""
        return (self.beside_random or 0.0) - (self.random_only or 0.0)


def kept(
    player: Player,
    task: Task,
    edges: Sequence[Bool[np.ndarray, " edge"]],
    ablation: Ablation | None = None,
) -> Float[np.ndarray, " edges"]:
    """The share of a task's metric that is left with these edges alone.

    It is 1 with all edges and 0 with none, also where that is no difference.
    """
    graph = player.wiring.graph
    every = graph.edges
    masks = [every, every & False]
    for chosen in edges:
        mask = np.zeros_like(every)
        mask[every] = chosen
        masks.append(mask)
    values = evaluate(
        player.wiring, masks, task.pairs, task.metric, ablation or Resample(), TOKENS
    ).mean(1)
    full, empty = values[:2]
    share: np.ndarray = (values[2:] - empty) / (full - empty if full > empty else np.inf)
    return share


def faithfulness(
    player: Player,
    batches: Sequence[Batch],
    scores: Float[np.ndarray, "batch half setting edge"],
    sizes: Sequence[float],
) -> dict[float, list[float]]:
    """By size, what each setting's circuits keep alone in halves they do not come from."""
    graph = player.wiring.graph
    found = [
        [
            kept(
                player,
                playing(player, s, TESTED, batch[TESTED][s]),
                [circuit(graph, row, size) for size in sizes],
            )
            for s, row in enumerate(scores[b, SOURCE])
        ]
        for b, batch in enumerate(batches)
    ]
    means = np.mean(found, axis=0).T.round(4).tolist()
    return dict(zip(sizes, means, strict=True))


def cut_batches(
    player: Player,
    batches: Sequence[Batch],
    scores: Float[np.ndarray, "batch half setting edge"],
    size: float,
    cores: Sequence[Bool[np.ndarray, " edge"]],
    rng: np.random.Generator | None = None,
) -> list[list[Lost]]:
    """One record a batch and setting; ``cores`` are cut, circuits of ``size`` stand alone.

    Random edges are cut too where there is a generator to draw them.
    """
    graph = player.wiring.graph
    kinds = alike(graph)
    found = []
    for batch, row in zip(batches, scores[:, SOURCE], strict=True):
        both = []
        for s, (own, other) in enumerate(zip(cores, reversed(cores), strict=True)):
            cut = [own & ~other, other & ~own]
            if rng is not None:
                chance = shuffled(other, kinds, rng)
                cut += [own & ~chance, chance & ~own]
            task = playing(player, s, TESTED, batch[TESTED][s])
            alone, *left = kept(
                player, task, [circuit(graph, row[s], size), *(~edges for edges in cut)]
            )
            both.append(Lost(float(alone), *(float(1 - share) for share in left)))
        found.append(both)
    return found
