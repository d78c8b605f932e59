"""Exact algorithms as causal models: a state, and how it composes with what remains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from pytest_mesa.tasks.knapsack import exact
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Int

State: TypeAlias = 'Int[np.ndarray, "batch cell"]'


class CausalAlgorithm(Protocol):
    """An algorithm with one intermediate state a stage (Geiger et al. 2021)."""

    @property
    def name(self) -> str:
        """The name in specs."""

    def columns(self, items: int, stage: int) -> tuple[int, ...]:
        """The items that the state at ``stage`` depends on."""

    def state(self, instances: Instances, stage: int) -> State:
        """The state's value in a run on these instances."""

    def compose(self, state: State, base: Instances, stage: int) -> Int[np.ndarray, " batch"]:
        """The answer when the run on ``base`` continues from ``state``."""


@dataclass(frozen=True, slots=True)
class PrefixDP:
    """Dynamic programming forwards: row ``stage`` holds the best values of the first items."""

    capacities: int
    name: str = "prefix-dp"

    def columns(self, items: int, stage: int) -> tuple[int, ...]:
        """Items 0..stage-1."""
        return tuple(range(min(stage, items)))

    def state(self, instances: Instances, stage: int) -> State:
        """Best value of the first ``stage`` items within each capacity."""
        rows: np.ndarray = exact.prefix_rows(instances, self.capacities)[stage]
        return rows

    def compose(self, state: State, base: Instances, stage: int) -> Int[np.ndarray, " batch"]:
        """Extend the row by the base's items from ``stage`` on; read at the base's capacity."""
        row = state
        for item in range(stage, base.items):
            row = exact.extend_row(row, base.weights[:, item], base.values[:, item])
        return exact.read_row(row, base.capacity)


@dataclass(frozen=True, slots=True)
class SuffixRecursion:
    """Take/skip recursion: the state holds the subproblem values of the items after ``stage``."""

    capacities: int
    name: str = "suffix-recursion"

    def columns(self, items: int, stage: int) -> tuple[int, ...]:
        """Items stage..n-1."""
        return tuple(range(stage, items))

    def state(self, instances: Instances, stage: int) -> State:
        """Best value of the items after the first ``stage`` within each capacity."""
        rows: np.ndarray = exact.suffix_rows(instances, self.capacities)[stage]
        return rows

    def compose(self, state: State, base: Instances, stage: int) -> Int[np.ndarray, " batch"]:
        """Return through the base's first ``stage`` items, last first."""
        row = state
        for item in reversed(range(stage)):
            row = exact.extend_row(row, base.weights[:, item], base.values[:, item])
        return exact.read_row(row, base.capacity)


@dataclass(frozen=True, slots=True)
class ValueDP:
    """Dynamic programming over values: least weight of the first items for each value.

    Its counterfactual answers equal `PrefixDP`'s; the state's shape is what differs.
    """

    top: int
    name: str = "value-dp"

    def columns(self, items: int, stage: int) -> tuple[int, ...]:
        """Items 0..stage-1."""
        return tuple(range(min(stage, items)))

    def state(self, instances: Instances, stage: int) -> State:
        """Least weight of the first ``stage`` items for each value; unreachable is 10,000."""
        rows: np.ndarray = exact.value_rows(instances, self.top)[stage]
        return rows

    def compose(self, state: State, base: Instances, stage: int) -> Int[np.ndarray, " batch"]:
        """Extend by the base's items from ``stage`` on; the best value that fits."""
        row = state
        for item in range(stage, base.items):
            row = exact.extend_value_row(row, base.weights[:, item], base.values[:, item])
        return exact.read_value_row(row, base.capacity)


def algorithm(name: str, capacities: int, top: int) -> CausalAlgorithm:
    """Look up an algorithm by its name in specs.

    Raises:
        KeyError: no such algorithm; the message lists those there are.
    """
    known: dict[str, CausalAlgorithm] = {
        "prefix-dp": PrefixDP(capacities),
        "suffix-recursion": SuffixRecursion(capacities),
        "value-dp": ValueDP(top),
    }
    if name not in known:
        raise KeyError(f"unknown algorithm {name!r}; there are {', '.join(known)}")
    return known[name]
