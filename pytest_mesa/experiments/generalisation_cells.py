"""The work of the kind ``generalisation``: accuracy within the task and on each axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_mesa._explained import CellError
from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, concatenate, draw

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

STREAM = 0x67656E65  # separates these draws from every other use of the spec's seed
SURVEY = 20_000  # instances of the task that tell which answers it has
FAMILIAR = 1e-3  # an answer rarer than this within the task was hardly trained
PATIENCE = 100  # blocks drawn before an axis is taken to have no familiar answers


class AxisError(CellError, ValueError):
    """An axis whose answers the task does not have."""


def measure(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """One stratum an axis: 1 where the axis is answered as well as the task is, draw by draw."""
    subject = load(params["subject"], inputs, Subject)
    task = KnapsackTask.model_validate(params["task"])
    count = params["count"]
    rng = np.random.default_rng([params["seed"], STREAM])
    answers = familiar_answers(draw(task, SURVEY, rng))
    within = draw_familiar(task, answers, count, rng)[0]
    right_within = subject.answers(within) == optimum(within)
    strata = []
    detail: dict[str, Any] = {"task": _detail(within, right_within, 0)}
    for name, body in params["axes"]:
        axis = KnapsackTask.model_validate(body)
        instances, rejected = draw_familiar(axis, answers, count, rng)
        right = subject.answers(instances) == optimum(instances)
        strata.append(stratum(name, 1.0 - (right_within * 1.0 - right * 1.0), 0.0, 2.0))
        detail[name] = _detail(instances, right, rejected)
    return {"strata": strata, "weights_sha": subject.weights_sha, "detail": {"axes": detail}}


def familiar_answers(instances: Instances) -> Int[np.ndarray, " answer"]:
    """The answers that training showed often, so that no axis asks for an untrained token."""
    answers, counts = np.unique(optimum(instances), return_counts=True)
    return np.asarray(answers[counts >= FAMILIAR * len(instances)])


def draw_familiar(
    task: KnapsackTask,
    answers: Int[np.ndarray, " answer"],
    count: int,
    rng: np.random.Generator,
) -> tuple[Instances, int]:
    """Instances with one of these answers, and how many others were drawn on the way.

    Raises:
        AxisError: fewer than ``count`` after many draws.
    """
    kept: list[Instances] = []
    total = drawn = 0
    for _ in range(PATIENCE):
        block = draw(task, count, rng)
        keep = np.flatnonzero(np.isin(optimum(block), answers))
        if total + len(keep) >= count:
            keep = keep[: count - total]
            kept.append(block.take(keep))
            seen = int(keep[-1]) + 1
            return concatenate(kept), drawn + seen - count
        kept.append(block.take(keep))
        total += len(keep)
        drawn += count
    raise AxisError(
        f"only {total} of {drawn} instances have an answer that the task has "
        f"({answers.min()} to {answers.max()}); {count} are needed"
    )


def _detail(
    instances: Instances, right: Bool[np.ndarray, " batch"], rejected: int
) -> dict[str, Any]:
    """Accuracy in all and by capacity, and the heuristics' on the same instances."""
    exact = optimum(instances)
    return {
        "accuracy": round(float(right.mean()), 4),
        "n": len(instances),
        "rejected": rejected,
        "by_capacity": {
            str(capacity): round(float(right[instances.capacity == capacity].mean()), 4)
            for capacity in np.unique(instances.capacity)
        },
        "heuristics": {
            name: round(float((solve(instances) == exact).mean()), 4)
            for name, solve in SOLVERS.items()
            if name != "exact"
        },
    }
