"""Base and source instances on which an algorithm's swap can't be mistaken for a rival's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack.algorithms import CausalAlgorithm
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, concatenate, draw

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

SINGLE_ITEM = "single-item"
LEVEL_SHIFT = "level-shift"
BLOCK = 4096
PATIENCE = 400  # blocks drawn before the filters are called unsatisfiable


class PairsError(ValueError):
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


def known_pair_rivals() -> tuple[str, ...]:
    """Rivals that filter pairs, as opposed to rival subspaces."""
    return (SINGLE_ITEM, LEVEL_SHIFT, *(name for name in SOLVERS if name != "exact"))


def _linear_features(pairs: Pairs) -> np.ndarray:
    """What a net could add up: both answers and the state's cells."""
    answers = [np.ones(len(pairs)), optimum(pairs.base), optimum(pairs.source)]
    return np.column_stack([*answers, pairs.state])


def level_shift(sample: Pairs) -> Callable[[Pairs], Int[np.ndarray, " pair"]]:
    """The rival that moves the answer with the state's level: least squares on a sample.

    A net that holds no table may still hold how good the source's items are, and shift its
    answer by that; rounded, this meets one counterfactual in four.
    """
    slope = np.linalg.lstsq(
        _linear_features(sample), sample.counterfactual.astype(np.float64), rcond=None
    )[0]
    return lambda pairs: np.rint(_linear_features(pairs) @ slope).astype(np.int64)


def _kept(
    pairs: Pairs,
    columns: tuple[int, ...],
    rivals: tuple[str, ...],
    shifted: Callable[[Pairs], Int[np.ndarray, " pair"]],
) -> Bool[np.ndarray, " pair"]:
    """Pairs whose counterfactual differs from base, source and what each rival predicts."""
    wanted = pairs.counterfactual
    keep: np.ndarray = (optimum(pairs.base) != wanted) & (optimum(pairs.source) != wanted)
    for rival in rivals:
        if rival == SINGLE_ITEM:
            for column in columns:
                keep &= optimum(pairs.base.with_items(pairs.source, [column])) != wanted
        elif rival == LEVEL_SHIFT:
            keep &= shifted(pairs) != wanted
        else:
            keep &= SOLVERS[rival](pairs.hybrid) != wanted
    return keep


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
    shifted: Callable[[Pairs], Int[np.ndarray, " pair"]] | None = None
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
        keep = _kept(pairs, columns, rivals, shifted)
        found.append(
            Pairs(
                base.take(keep),
                source.take(keep),
                pairs.hybrid.take(keep),
                pairs.counterfactual[keep],
                state[keep],
            )
        )
        total += int(keep.sum())
        if total >= count:
            break
    else:
        raise PairsError(
            f"stage {stage}: only {total} of {count} pairs set {algorithm.name} apart from "
            f"{', '.join(rivals) or 'base and source'}"
        )
    return Pairs(
        concatenate([p.base for p in found]).take(np.arange(count)),
        concatenate([p.source for p in found]).take(np.arange(count)),
        concatenate([p.hybrid for p in found]).take(np.arange(count)),
        np.concatenate([p.counterfactual for p in found])[:count],
        np.concatenate([p.state for p in found])[:count],
    )
