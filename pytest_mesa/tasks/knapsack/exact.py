"""Exact solutions of 0/1 knapsacks, as tables that hold every intermediate state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Int

UNREACHABLE = 10_000  # heavier than any knapsack here, small enough to add without overflow
FEW = 8  # items whose subsets take less work to list than the table takes to fill


def extend_row(
    row: Int[np.ndarray, "batch capacity"],
    weight: Int[np.ndarray, " batch"],
    value: Int[np.ndarray, " batch"],
) -> Int[np.ndarray, "batch capacity"]:
    """One step of the weight-indexed table: ``row[c] = max(row[c], row[c - weight] + value)``."""
    count, size = row.shape
    wide = np.full((count, 2 * size), np.iinfo(np.int32).min, dtype=np.int64)  # nothing fits there
    wide[:, size:] = row
    start = np.arange(count) * 2 * size + size - np.minimum(weight, size)
    taken = wide.ravel().take(start[:, None] + np.arange(size)) + value[:, None]
    return np.asarray(np.maximum(row, taken))


def extend_value_row(
    row: Int[np.ndarray, "batch value"],
    weight: Int[np.ndarray, " batch"],
    value: Int[np.ndarray, " batch"],
) -> Int[np.ndarray, "batch value"]:
    """One step of the value-indexed table: least weight that reaches exactly each value."""
    start = np.arange(row.shape[1])[None, :] - value[:, None]
    taken = np.take_along_axis(row, np.maximum(start, 0), axis=1) + weight[:, None]
    return np.asarray(np.minimum(row, np.where(start >= 0, taken, UNREACHABLE)))


def prefix_rows(instances: Instances, capacities: int) -> Int[np.ndarray, "stage batch capacity"]:
    """Best value of the first ``stage`` items within each capacity 0..``capacities``."""
    row = np.zeros((len(instances), capacities + 1), dtype=np.int64)
    rows = [row]
    for item in range(instances.items):
        row = extend_row(row, instances.weights[:, item], instances.values[:, item])
        rows.append(row)
    return np.stack(rows)


def suffix_rows(instances: Instances, capacities: int) -> Int[np.ndarray, "stage batch capacity"]:
    """Best value of the items after the first ``stage``, within each capacity."""
    reverse = Instances(instances.weights[:, ::-1], instances.values[:, ::-1], instances.capacity)
    return prefix_rows(reverse, capacities)[::-1]


def value_rows(instances: Instances, top: int) -> Int[np.ndarray, "stage batch value"]:
    """Least weight of the first ``stage`` items that reaches exactly each value 0..``top``."""
    row = np.full((len(instances), top + 1), UNREACHABLE, dtype=np.int64)
    row[:, 0] = 0
    rows = [row]
    for item in range(instances.items):
        row = extend_value_row(row, instances.weights[:, item], instances.values[:, item])
        rows.append(row)
    return np.stack(rows)


def read_row(
    row: Int[np.ndarray, "batch capacity"], capacity: Int[np.ndarray, " batch"]
) -> Int[np.ndarray, " batch"]:
    """The table's entry at each instance's own capacity."""
    return np.take_along_axis(row, capacity[:, None], axis=1)[:, 0]


def read_value_row(
    row: Int[np.ndarray, "batch value"], capacity: Int[np.ndarray, " batch"]
) -> Int[np.ndarray, " batch"]:
    """The largest value whose least weight fits."""
    fits = row <= capacity[:, None]
    return np.asarray((row.shape[1] - 1) - np.argmax(fits[:, ::-1], axis=1))


def best_subset(instances: Instances) -> Int[np.ndarray, " batch"]:
    """The best total value of each instance, over a list of all subsets of its items.

    The list doubles with every item. Subsets come first and numbers are as small as their
    totals allow, so that each step is one long sum over few bytes.
    """
    totals = (instances.weights.sum(1), instances.values.sum(1), instances.capacity)
    small = np.min_scalar_type(-max(int(total.max(initial=0)) for total in totals) - 1)
    worth = load = np.zeros((1, len(instances)), dtype=small)
    for weight, value in zip(instances.weights.T, instances.values.T, strict=True):
        load = np.concatenate([load, load + weight.astype(small)])
        worth = np.concatenate([worth, worth + value.astype(small)])
    fits = load <= instances.capacity.astype(small)
    return np.asarray((worth * fits).max(0).astype(np.int64))


def optimum(instances: Instances) -> Int[np.ndarray, " batch"]:
    """The best total value of each instance."""
    if instances.items <= FEW:
        return best_subset(instances)
    top = int(instances.capacity.max(initial=0))
    return read_row(prefix_rows(instances, top)[-1], instances.capacity)
