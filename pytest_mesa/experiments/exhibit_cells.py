"""Finds an instance on which a subject departs from an algorithm, and shrinks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from pytest_mesa.experiments.exhibits import BEST_HEURISTIC
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Answerer, Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw

STREAM = 0x65786869  # separates these draws from every other use of the spec's seed
START_FROM = 16  # smallest departures found by the scan, from which shrinking starts
AMPLE = 1 << 16  # far more than any number of an instance: see `shrinkable`
TRIES = 200


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to look: a task, what to depart from, and the departures that a scan found."""

    name: str
    task: KnapsackTask
    solver: str
    found: Instances


def find_exhibit(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """The smallest departure, as a title and a block of text; or a line that says there is none."""
    subject = load(params["subject"], inputs, Subject)
    rng = np.random.default_rng([params["seed"], STREAM])
    scans = []
    for name, body in params["tasks"]:
        task = KnapsackTask.model_validate(body)
        instances = draw(task, params["count"], rng)
        scans.append((name, task, instances, subject.answers(instances)))
    looked_at = sum(len(instances) for _, _, instances, _ in scans)
    best = _closest_heuristic([(instances, given) for _, _, instances, given in scans])
    asked = best if params["depart_from"] == BEST_HEURISTIC else params["depart_from"]
    for solver in dict.fromkeys((asked, best)):
        departures = [
            Departure(name, task, solver, instances.take(given != SOLVERS[solver](instances)))
            for name, task, instances, given in scans
        ]
        departure = max(departures, key=lambda d: len(d.found))
        if len(departure.found):
            smallest = shrink(subject, departure)
            departed = sum(len(d.found) for d in departures)
            return _payload(subject, departure, smallest, asked, departed, looked_at)
    return {
        "title": f"No departure from {asked}",
        "text": f"The answers equal those of {asked} on all of {looked_at:,} instances drawn.",
        "departs_from": asked,
        "departures": 0,
        "looked_at": looked_at,
    }


def _closest_heuristic(scans: list[tuple[Instances, np.ndarray]]) -> str:
    """The heuristic that gives the subject's answer most often."""
    agreement = {
        name: sum(int((solve(instances) == given).sum()) for instances, given in scans)
        for name, solve in SOLVERS.items()
        if name != "exact"
    }
    return max(agreement, key=agreement.__getitem__)


def size(instances: Instances) -> np.ndarray:
    """How much there is to read: the sum of all numbers."""
    return np.asarray(instances.weights.sum(1) + instances.values.sum(1) + instances.capacity)


def shrinkable(task: KnapsackTask, found: Instances) -> st.SearchStrategy[Instances]:
    """The instances that are nowhere larger than one of those found.

    Hypothesis first draws and then shrinks. Departures are rare, so a draw must hit a known one
    and its shrinking must leave it: each number is ``min(found, low + drawn)`` with ``drawn``
    from a range so wide that almost every draw is the number found, and small ones are smaller
    numbers.
    """

    @st.composite
    def instance(pick: st.DrawFn) -> Instances:
        row = pick(st.integers(0, len(found) - 1))

        def numbers(known: np.ndarray, low: int) -> np.ndarray:
            return np.array([[min(int(k), low + pick(st.integers(0, AMPLE))) for k in known]])

        capacity = numbers(found.capacity[row : row + 1], task.capacity[0])[0]
        weights = numbers(found.weights[row], task.weights[0])
        values = numbers(found.values[row], task.values[0])
        return Instances(weights, values, capacity)

    return instance()


def shrink(subject: Answerer, departure: Departure) -> Instances:
    """The smallest departure that Hypothesis reaches, one instance.

    Deterministic: nothing is read from or written to Hypothesis' database.
    """
    order = np.argsort(size(departure.found), kind="stable")[:START_FROM]
    start = departure.found.take(order)
    solve = SOLVERS[departure.solver]
    known: dict[bytes, bool] = {}

    def departs(instance: Instances) -> bool:
        key = np.concatenate([instance.weights[0], instance.values[0], instance.capacity]).tobytes()
        if key not in known:
            known[key] = bool(subject.answers(instance)[0] != solve(instance)[0])
        return known[key]

    return _search(shrinkable(departure.task, start), departs, start.take(np.array([0])))


def _search(
    strategy: st.SearchStrategy[Instances],
    departs: Callable[[Instances], bool],
    otherwise: Instances,
) -> Instances:
    quiet = settings(
        max_examples=TRIES,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        return hypothesis.find(strategy, departs, settings=quiet, random=Random(0))
    except NoSuchExample:
        # A batch and a single run may round differently at a tie; the scan's find stands.
        return otherwise


def _payload(
    subject: Answerer,
    departure: Departure,
    instance: Instances,
    asked: str,
    departed: int,
    looked_at: int,
) -> dict[str, Any]:
    solver = departure.solver
    given = int(subject.answers(instance)[0])
    answers = {name: int(solve(instance)[0]) for name, solve in SOLVERS.items()}
    where = f" on the axis {departure.name}" if departure.name else ""
    pairs = zip(instance.weights[0].tolist(), instance.values[0].tolist(), strict=True)
    lines = [
        "items (weight/value)  " + "  ".join(f"{w}/{v}" for w, v in pairs),
        f"capacity              {int(instance.capacity[0])}",
        f"the subject answers   {given}",
        *(f"{name:<22}{answer}" for name, answer in answers.items()),
        "",
        f"Departs from {solver} on {departed:,} of {looked_at:,} instances drawn; this one was "
        "shrunk from those.",
    ]
    if solver != asked:
        lines.append(f"The answers equal those of {asked} on all of them.")
    return {
        "title": f"Smallest departure from {solver}{where}",
        "text": "\n".join(lines),
        "departs_from": solver,
        "departures": departed,
        "looked_at": looked_at,
        "instance": {
            "weights": instance.weights[0].tolist(),
            "values": instance.values[0].tolist(),
            "capacity": int(instance.capacity[0]),
        },
        "subject": given,
        "answers": answers,
    }
