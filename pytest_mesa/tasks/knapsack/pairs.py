"""Base and source instances on which an algorithm's swap can't be mistaken for a rival's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa._explained import CellError
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack.algorithms import CausalAlgorithm
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, concatenate, draw

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

SINGLE_ITEM = "single-item"
OTHER_ITEMS = "other-items"
LEVEL_SHIFT = "level-shift"
SLACK = 1.0  # a rival that lands next to the counterfactual meets it often with a little noise
BLOCK = 4096
PATIENCE = 400  # blocks drawn before the filters are called unsatisfiable


class PairsError(CellError, ValueError):
    """The rivals leave (almost) no pair on which the algorithm stands alone."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of runs, what the swap of the algorithm's state must give, and that state.

    ``hybrid`` is the instance whose optimum the counterfactual is: the ceiling of a swap is
    the subject's accuracy there.
    """

    base: Instances
    source: Instances
    hybrid: Instances
    counterfactual: Int[np.ndarray, " pair"]
    state: Int[np.ndarray, "pair cell"]

    def __len__(self) -> int:
        return len(self.counterfactual)

    def take(self, index: np.ndarray) -> Pairs:
        """The pairs at ``index`` (integers or a boolean mask)."""
        return Pairs(
            self.base.take(index),
            self.source.take(index),
            self.hybrid.take(index),
            self.counterfactual[index],
            self.state[index],
        )


def known_pair_rivals() -> tuple[str, ...]:
    """Rivals that filter pairs, as opposed to rival subspaces."""
    return (SINGLE_ITEM, OTHER_ITEMS, LEVEL_SHIFT, *(name for name in SOLVERS if name != "exact"))


def _linear_features(pairs: Pairs) -> np.ndarray:
    """What a net could add up: both answers and the state's cells."""
    answers = [np.ones(len(pairs)), optimum(pairs.base), optimum(pairs.source)]
    return np.column_stack([*answers, pairs.state])


def level_shift(sample: Pairs) -> Callable[[Pairs], Float[np.ndarray, " pair"]]:
    """The rival that moves the answer with the state's level: least squares on a sample.

    A net that holds no table may still hold how good the source's items are, and shift its
    answer by that; rounded, this meets one counterfactual in four.
    """
    slope = np.linalg.lstsq(
        _linear_features(sample), sample.counterfactual.astype(np.float64), rcond=None
    )[0]
    return lambda pairs: np.asarray(_linear_features(pairs) @ slope)


def _item_sets(rival: str, columns: tuple[int, ...], items: int) -> list[list[int]]:
    """The sets of items whose exchange a rival stands for.

    ``other-items``: all items, and the states of an algorithm that runs the other way. A net
    that carries those would meet many counterfactuals without carrying this state.
    """
    if rival == SINGLE_ITEM:
        return [[column] for column in columns]
    forwards = columns[0] == 0
    opposite = [
        list(range(cut, items)) if forwards else list(range(cut)) for cut in range(1, items)
    ]
    return [list(range(items)), *opposite]


def _misses(
    pairs: Pairs,
    rival: str,
    columns: tuple[int, ...],
    shifted: Callable[[Pairs], Float[np.ndarray, " pair"]],
) -> Bool[np.ndarray, " pair"]:
    """Pairs on which a rival predicts something other than the counterfactual."""
    wanted = pairs.counterfactual
    if rival in (SINGLE_ITEM, OTHER_ITEMS):
        missed = np.ones(len(pairs), dtype=bool)
        for exchanged in _item_sets(rival, columns, pairs.base.items):
            missed &= optimum(pairs.base.with_items(pairs.source, exchanged)) != wanted
        return missed
    near = shifted(pairs) if rival == LEVEL_SHIFT else SOLVERS[rival](pairs.hybrid)
    return np.asarray(np.abs(near - wanted) > SLACK)


def _alone(
    pairs: Pairs,
    columns: tuple[int, ...],
    rivals: tuple[str, ...],
    shifted: Callable[[Pairs], Float[np.ndarray, " pair"]],
) -> Pairs:
    """The pairs whose counterfactual is neither run's own answer nor any rival's."""
    pairs = pairs.take(optimum(pairs.base) != pairs.counterfactual)
    pairs = pairs.take(optimum(pairs.source) != pairs.counterfactual)
    for rival in sorted(rivals, key=lambda name: name != LEVEL_SHIFT):  # the cheapest first
        pairs = pairs.take(_misses(pairs, rival, columns, shifted))
    return pairs


def draw_pairs(
    task: KnapsackTask,
    algorithm: CausalAlgorithm,
    stage: int,
    rivals: tuple[str, ...],
    count: int,
    rng: np.random.Generator,
) -> Pairs:
    """Draw pairs independently and keep those on which the algorithm stands alone.

    Raises:
        PairsError: the filters keep fewer than ``count`` after many draws.
    """
    columns = algorithm.columns(task.items, stage)
    found: list[Pairs] = []
    total = 0
    shifted: Callable[[Pairs], Float[np.ndarray, " pair"]] | None = None
    for _ in range(PATIENCE):
        base, source = draw(task, BLOCK, rng), draw(task, BLOCK, rng)
        state = algorithm.state(source, stage)
        pairs = Pairs(
            base,
            source,
            base.with_items(source, columns),
            algorithm.compose(state, base, stage),
            state,
        )
        shifted = shifted or level_shift(pairs)
        found.append(_alone(pairs, columns, rivals, shifted))
        total += len(found[-1])
        if total >= count:
            break
    else:
        raise PairsError(
            f"stage {stage}: only {total} of {count} pairs set {algorithm.name} apart from "
            f"{', '.join(rivals) or 'base and source'}"
        )
    joined = Pairs(
        concatenate([p.base for p in found]),
        concatenate([p.source for p in found]),
        concatenate([p.hybrid for p in found]),
        np.concatenate([p.counterfactual for p in found]),
        np.concatenate([p.state for p in found]),
    )
    return joined.take(np.arange(count))
