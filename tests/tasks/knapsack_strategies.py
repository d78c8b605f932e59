"""Knapsacks for property tests, and the slow solution that all others are held to."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pytest_mesa.tasks.knapsack.instances import Instances

SUBSET_LIMIT = 6  # items: brute force looks at every subset


@st.composite
def batches(
    draw: st.DrawFn,
    *,
    items: st.SearchStrategy[int] | None = None,
    top: int = 7,
    capacity: tuple[int, int] = (0, 15),
) -> Instances:
    """A batch of a few knapsacks of one size."""
    count = draw(st.integers(1, 4))
    many = draw(st.integers(1, SUBSET_LIMIT) if items is None else items)
    shape = (count, many)
    table = arrays(np.int64, shape, elements=st.integers(1, top))
    room = arrays(np.int64, count, elements=st.integers(*capacity))
    return Instances(draw(table), draw(table), draw(room))


def brute_force(weights: np.ndarray, values: np.ndarray, capacity: int) -> int:
    """The best value over all subsets of one knapsack that fit."""
    return max(
        int(np.dot(taken, values))
        for taken in product((0, 1), repeat=len(weights))
        if np.dot(taken, weights) <= capacity
    )


def best(instances: Instances) -> list[int]:
    """`brute_force` of every knapsack."""
    rows = zip(instances.weights, instances.values, instances.capacity, strict=True)
    return [brute_force(w, v, int(c)) for w, v, c in rows]
