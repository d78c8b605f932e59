"""Quantities that an optimiser computes on its way, as targets of probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pytest_mesa.tasks.knapsack import exact, heuristics
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Float

Aspect: TypeAlias = 'Float[np.ndarray, "batch output"]'


def _column(values: np.ndarray) -> Aspect:
    return np.asarray(values, dtype=np.float64)[:, None]


def lp_bound(instances: Instances) -> Aspect:
    """Value of the linear relaxation, as branch and bound prunes by."""
    return _column(heuristics.lp_bound(instances))


def greedy_answer(instances: Instances) -> Aspect:
    """What greedy by ratio would answer."""
    return _column(heuristics.greedy_ratio(instances))


def ratio_order(instances: Instances) -> Aspect:
    """Value per weight of the best item, the second best, and so on."""
    return np.asarray(-np.sort(-heuristics.ratio_key(instances), axis=1))


def best_item(instances: Instances) -> Aspect:
    """Weight and value of the item with the best ratio."""
    first = heuristics.order_by(heuristics.ratio_key(instances))[:, :1]
    columns = [np.take_along_axis(part, first, 1) for part in (instances.weights, instances.values)]
    return np.concatenate(columns, axis=1).astype(np.float64)


def critical_ratio(instances: Instances) -> Aspect:
    """Value per weight of the item that no longer fits whole; 0 where all fit.

    The linear relaxation's shadow price of capacity.
    """
    key = heuristics.ratio_key(instances)
    order = heuristics.order_by(key)
    filled = np.cumsum(np.take_along_axis(instances.weights, order, 1), axis=1)
    over = np.greater(filled, instances.capacity[:, None])
    ratio = np.take_along_axis(np.take_along_axis(key, order, 1), over.argmax(1)[:, None], 1)
    return np.asarray(np.where(over.any(1)[:, None], ratio, 0.0))


def other_capacities(instances: Instances) -> Aspect:
    """The table's last row: the optimum within each capacity from 1 to the largest drawn."""
    top = int(instances.capacity.max(initial=0))
    return np.asarray(exact.prefix_rows(instances, top)[-1][:, 1:], dtype=np.float64)


ASPECTS: dict[str, Callable[[Instances], Aspect]] = {
    "lp-bound": lp_bound,
    "greedy-answer": greedy_answer,
    "ratio-order": ratio_order,
    "best-item": best_item,
    "critical-ratio": critical_ratio,
    "other-capacities": other_capacities,
}
