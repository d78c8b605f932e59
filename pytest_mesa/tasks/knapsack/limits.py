"""What the token tables can express, for those who plan and should not import torch."""

from __future__ import annotations

from pytest_mesa.registry.kinds import KnapsackTask

TOP_WEIGHT = 7
TOP_VALUE = 7
TOP_CAPACITY = 15
TOP_ANSWER = 40


def beyond_tokens(task: KnapsackTask) -> str | None:
    """The first range of a task that has no token, in words; None where all have."""
    for name, given, top in (
        ("weights", task.weights[1], TOP_WEIGHT),
        ("values", task.values[1], TOP_VALUE),
        ("capacity", task.capacity[1], TOP_CAPACITY),
    ):
        if given > top:
            return f"{name} up to {given}, but there are tokens only up to {top}"
    return None
