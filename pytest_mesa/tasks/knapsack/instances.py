"""0/1 knapsack instances, many at a time, drawn from a registered seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.registry.kinds import KnapsackTask

if TYPE_CHECKING:
    from jaxtyping import Int


@dataclass(frozen=True, slots=True)
class Instances:
    """A batch of knapsacks with the same number of items.

    An item weighs at least 1; its order matters only to what reads it as a sequence.
    """

    weights: Int[np.ndarray, "batch item"]
    values: Int[np.ndarray, "batch item"]
    capacity: Int[np.ndarray, " batch"]

    def __len__(self) -> int:
        return len(self.capacity)

    @property
    def items(self) -> int:
        """Items in each knapsack."""
        return int(self.weights.shape[1])

    def take(self, index: np.ndarray) -> Instances:
        """The instances at ``index`` (integers or a boolean mask)."""
        return Instances(self.weights[index], self.values[index], self.capacity[index])

    def with_items(self, donor: Instances, columns: Sequence[int]) -> Instances:
        """These instances with the donor's items in the given columns."""
        weights, values = self.weights.copy(), self.values.copy()
        index = list(columns)
        weights[:, index] = donor.weights[:, index]
        values[:, index] = donor.values[:, index]
        return Instances(weights, values, self.capacity)


def concatenate(parts: Sequence[Instances]) -> Instances:
    """Batches with the same number of items, as one."""
    return Instances(
        np.concatenate([p.weights for p in parts]),
        np.concatenate([p.values for p in parts]),
        np.concatenate([p.capacity for p in parts]),
    )


def draw(task: KnapsackTask, count: int, rng: np.random.Generator) -> Instances:
    """Draw instances independently and uniformly from the task's ranges."""
    shape = (count, task.items)
    weights = rng.integers(task.weights[0], task.weights[1], shape, endpoint=True)
    if task.correlation == "none":
        values = rng.integers(task.values[0], task.values[1], shape, endpoint=True)
    else:
        # Pisinger's strongly correlated class, with the step that keeps values in range.
        step = rng.integers(-1, 1, shape, endpoint=True)
        values = np.clip(weights + step, task.values[0], task.values[1])
    capacity = rng.integers(task.capacity[0], task.capacity[1], count, endpoint=True)
    return Instances(weights, values, capacity)
