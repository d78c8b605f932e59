"""Exhibits: real departures, as small as one step can make them, and always the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import find, settings

from pytest_mesa.experiments.exhibit_cells import find_exhibit, shrinkable, size
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.compiled import build
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw

TASK = KnapsackTask(kind="knapsack")
NOWHERE = Path()


def exhibit(name: str, depart_from: str, count: int = 600, **changes: object) -> dict[str, object]:
    task = TASK.model_copy(update=changes)
    params = {
        "subject": {"scheme": "compiled", "name": name, "seed": 0},
        "tasks": [["", task.model_dump(mode="json")]],
        "depart_from": depart_from,
        "count": count,
        "seed": 0,
    }
    return find_exhibit(params, (), NOWHERE)


def instance(shown: dict[str, object]) -> Instances:
    body = shown["instance"]
    assert isinstance(body, dict)
    return Instances(
        np.array([body["weights"]]), np.array([body["values"]]), np.array([body["capacity"]])
    )


def smaller(one: Instances) -> list[Instances]:
    """Every instance of the task with a single number one less."""
    found = []
    for field, low in (("weights", 1), ("values", 1), ("capacity", TASK.capacity[0])):
        for place in np.ndindex(getattr(one, field).shape):
            parts = {n: getattr(one, n).copy() for n in ("weights", "values", "capacity")}
            if parts[field][place] > low:
                parts[field][place] -= 1
                found.append(Instances(**parts))
    return found


def test_the_greedy_net_departs_from_exact_where_greedy_does() -> None:
    shown = exhibit("greedy-ratio", "exact")
    one = instance(shown)
    net = Subject("greedy", build("greedy-ratio", 0))
    assert shown["departs_from"] == "exact"
    assert shown["subject"] == int(net.answers(one)[0]) == int(SOLVERS["greedy-ratio"](one)[0])
    assert shown["answers"] == {name: int(solve(one)[0]) for name, solve in SOLVERS.items()}
    assert shown["subject"] != shown["answers"]["exact"]  # type: ignore[index]
    # Nothing that is one smaller in one number departs.
    for less in smaller(one):
        assert net.answers(less)[0] == SOLVERS["exact"](less)[0]
    drawn = draw(TASK, 600, np.random.default_rng([0, 0x65786869]))
    departs = drawn.take(SOLVERS["greedy-ratio"](drawn) != SOLVERS["exact"](drawn))
    assert shown["departures"] == len(departs)
    assert size(one)[0] <= size(departs).min()


def test_it_is_the_same_each_time() -> None:
    assert exhibit("greedy-ratio", "exact", 300) == exhibit("greedy-ratio", "exact", 300)


def test_the_text_says_everything() -> None:
    shown = exhibit("greedy-ratio", "exact", 300)
    text = str(shown["text"])
    one = instance(shown)
    for weight, value in zip(one.weights[0], one.values[0], strict=True):
        assert f"{weight}/{value}" in text
    assert f"capacity              {one.capacity[0]}\n" in text
    assert f"the subject answers   {shown['subject']}\n" in text
    assert "greedy-repair" in text and "of 300 instances drawn" in text


def test_an_exact_net_is_shown_against_the_closest_heuristic() -> None:
    shown = exhibit("prefix-dp", "exact", 2000)
    assert shown["departs_from"] == "greedy-repair"
    assert "The answers equal those of exact on all of them." in str(shown["text"])
    answers = shown["answers"]
    assert isinstance(answers, dict)
    assert shown["subject"] == answers["exact"] != answers["greedy-repair"]


def test_the_best_heuristic_can_be_asked_for() -> None:
    shown = exhibit("prefix-dp", "best-heuristic", 2000)
    assert shown["departs_from"] == "greedy-repair"
    assert "equal those of" not in str(shown["text"])


def test_a_net_that_departs_nowhere_says_so() -> None:
    shown = exhibit("prefix-dp", "exact", 50, items=2, weights=(1, 1), capacity=(3, 3))
    assert shown["departures"] == 0 and shown["looked_at"] == 50
    assert shown["text"] == "The answers equal those of exact on all of 50 instances drawn."


@pytest.mark.parametrize("seed", range(5))
def test_most_draws_are_known_departures_and_all_are_no_larger(seed: int) -> None:
    found = draw(TASK, 6, np.random.default_rng(seed))
    seen: list[Instances] = []

    def look(one: Instances) -> bool:
        seen.append(one)
        return len(seen) >= 60

    quiet = settings(database=None, max_examples=200, deadline=None)
    find(shrinkable(TASK, found), look, settings=quiet)
    known = {(*w, *v, c) for w, v, c in zip(found.weights.tolist(), found.values.tolist(),
                                            found.capacity.tolist(), strict=True)}  # fmt: skip
    keys = [(*o.weights[0].tolist(), *o.values[0].tolist(), int(o.capacity[0])) for o in seen]
    assert sum(key in known for key in keys) > 10
    for one in seen:
        assert one.weights.min() >= 1 and one.capacity[0] >= TASK.capacity[0]
        assert any(
            (one.weights[0] <= found.weights[row]).all()
            and (one.values[0] <= found.values[row]).all()
            and one.capacity[0] <= found.capacity[row]
            for row in range(len(found))
        )
