"""Instances on which two solvers give different answers, drawn from a task's distribution."""

from __future__ import annotations

import numpy as np

from pytest_mesa._explained import CellError
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.tasks.knapsack.heuristics import disagreement
from pytest_mesa.tasks.knapsack.instances import Instances, concatenate, draw

BLOCK = 16_384  # a good heuristic errs in 1 of 200, so most of what is drawn goes to waste
PATIENCE = 200  # blocks drawn before two solvers are taken to agree


class ContrastError(CellError, ValueError):
    """Two solvers that (almost) never give different answers on a task."""


def draw_disagreeing(
    task: KnapsackTask, names: tuple[str, ...], count: int, rng: np.random.Generator
) -> Instances:
    """Draw from the task; keep where the first named solver differs from every other.

    Raises:
        ContrastError: fewer than ``count`` found after many draws.
        KeyError: no such solver.
    """
    found: list[Instances] = []
    total = 0
    for _ in range(PATIENCE):
        block = draw(task, BLOCK, rng)
        block = block.take(disagreement(block, names))
        found.append(block)
        total += len(block)
        if total >= count:
            return concatenate(found).take(np.arange(count))
    raise ContrastError(
        f"{names[0]} differs from {', '.join(names[1:])} on only {total} of "
        f"{PATIENCE * BLOCK} instances; {count} are needed"
    )
