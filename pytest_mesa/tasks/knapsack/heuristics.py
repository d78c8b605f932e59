"""Rules that solve knapsacks well but not exactly: the rivals of every exact algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Answers: TypeAlias = 'Int[np.ndarray, " batch"]'


def order_by(key: Float[np.ndarray, "batch item"]) -> Int[np.ndarray, "batch item"]:
    """Item indices by falling key; equal keys keep their order."""
    return np.argsort(-key, axis=1, kind="stable")


def ratio_key(instances: Instances) -> Float[np.ndarray, "batch item"]:
    """Value per weight. Equal ratios are equal floats: both sides are correctly rounded."""
    return np.asarray(instances.values / instances.weights)


def _fill(instances: Instances, order: Int[np.ndarray, "batch item"]) -> tuple[Answers, Answers]:
    """Take items in order, skipping those that do not fit; total value and room left."""
    room = instances.capacity.astype(np.int64)
    total = np.zeros(len(instances), dtype=np.int64)
    for column in order.T:
        pick = column[:, None]
        weight = np.take_along_axis(instances.weights, pick, 1)[:, 0]
        value = np.take_along_axis(instances.values, pick, 1)[:, 0]
        fits = weight <= room
        room = room - np.where(fits, weight, 0)
        total = total + np.where(fits, value, 0)
    return total, room


def greedy_ratio(instances: Instances) -> Answers:
    """Greedy by value per weight (Dantzig 1957), skipping items that do not fit."""
    return _fill(instances, order_by(ratio_key(instances)))[0]


def greedy_value(instances: Instances) -> Answers:
    """Greedy by value."""
    return _fill(instances, order_by(instances.values.astype(np.float64)))[0]


def greedy_weight(instances: Instances) -> Answers:
    """Greedy by lightness."""
    return _fill(instances, order_by(-instances.weights.astype(np.float64)))[0]


def lp_bound(instances: Instances) -> Float[np.ndarray, " batch"]:
    """Value of the linear relaxation: the greedy prefix and a fraction of the next item."""
    order = order_by(ratio_key(instances))
    weights = np.take_along_axis(instances.weights, order, 1)
    values = np.take_along_axis(instances.values, order, 1)
    before = np.cumsum(weights, axis=1) - weights
    share = np.clip((instances.capacity[:, None] - before) / weights, 0.0, 1.0)
    return np.asarray((values * share).sum(axis=1))


def lp_rounded(instances: Instances) -> Answers:
    """The linear relaxation's value, rounded down: an upper bound read as an answer."""
    return np.floor(lp_bound(instances) + 1e-9).astype(np.int64)


def greedy_repair(instances: Instances) -> Answers:
    """Greedy by ratio, then the best single exclusion: one item left out and greedy rerun."""
    best = greedy_ratio(instances)
    for left_out in range(instances.items):
        values = instances.values.copy()
        weights = instances.weights.copy()
        values[:, left_out] = 0
        weights[:, left_out] = instances.capacity + 1  # never fits
        best = np.maximum(best, greedy_ratio(Instances(weights, values, instances.capacity)))
    return best


SOLVERS: dict[str, Callable[[Instances], Answers]] = {
    "exact": optimum,
    "greedy-ratio": greedy_ratio,
    "greedy-value": greedy_value,
    "greedy-weight": greedy_weight,
    "lp-rounded": lp_rounded,
    "greedy-repair": greedy_repair,
}


def disagreement(instances: Instances, names: tuple[str, ...]) -> np.ndarray:
    """Mask of the instances on which the first named solver differs from every other."""
    first = SOLVERS[names[0]](instances)
    mask = np.ones(len(instances), dtype=bool)
    for name in names[1:]:
        mask &= SOLVERS[name](instances) != first
    return mask
