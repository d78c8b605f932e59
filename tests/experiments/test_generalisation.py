"""The kind ``generalisation`` on nets whose algorithm is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study_runs import means, prediction, run

from pytest_mesa.experiments import exhibits
from pytest_mesa.experiments.generalisation import STUDY
from pytest_mesa.experiments.generalisation_cells import (
    AxisError,
    draw_familiar,
    familiar_answers,
)
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.instances import draw
from pytest_mesa.verdicts.reasons import Outcome, Reason

SPEC = """\
prediction: planted
title: Planted
claim: Planted.
subjects: [{subject}]
competence: {at_least: 0.95, budget: 300}
experiment:
  kind: generalisation
  task: {kind: knapsack}
  axes:
    more-items: {kind: knapsack, items: 7}
    larger-capacity: {kind: knapsack, capacity: [11, 15]}
controls:
  must_detect: [{compiled: prefix-dp, options: {items: 8}}]
  must_not_detect: [{compiled: truncated-dp, options: {items: 8}}]
verdict:
  estimand: retained-accuracy
  predicted: {below: 0.85}
  refuted: {above: 0.95}
  budget: 1000
"""
TASK = KnapsackTask(kind="knapsack")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exhibits are looked for among fewer instances."""
    monkeypatch.setattr(exhibits, "LOOKED_AT", 600)


def spec(subject: str) -> str:
    return SPEC.replace("{subject}", f"{{{subject}}}")


def test_an_algorithm_of_any_size_refutes_that_solving_does_not_carry_over(cache: Path) -> None:
    given = spec("compiled: suffix-recursion, options: {items: 7}")
    evidence, verdict = run(prediction(given), cache)
    assert means(evidence.subjects[0]) == {"more-items": 1.0, "larger-capacity": 1.0}
    assert verdict.outcome is Outcome.FAIL
    assert evidence.exhibit["departs_from"] != "exact"


def test_an_algorithm_of_one_size_upholds_it(cache: Path) -> None:
    given = spec("compiled: truncated-dp, options: {items: 7}")
    evidence, verdict = run(prediction(given), cache)
    assert means(evidence.subjects[0])["larger-capacity"] == 1.0
    assert means(evidence.subjects[0])["more-items"] < 0.7
    assert verdict.outcome is Outcome.PASS
    detail = evidence.subjects[0].detail["axes"]
    assert detail["task"]["accuracy"] == detail["larger-capacity"]["accuracy"] == 1.0
    assert detail["more-items"]["rejected"] > 0
    assert detail["larger-capacity"]["by_capacity"].keys() == {"11", "12", "13", "14", "15"}
    assert 0.7 < detail["task"]["heuristics"]["greedy-ratio"] < 1.0
    assert "on the axis more-items" in evidence.exhibit["title"]


def test_a_control_that_keeps_its_level_where_it_must_not_voids_the_verdict(cache: Path) -> None:
    given = spec("compiled: truncated-dp, options: {items: 7}")
    given = given.replace(
        "must_not_detect: [{compiled: truncated-dp", "must_not_detect: [{compiled: prefix-dp"
    )
    _, verdict = run(prediction(given), cache)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.CONTROL_FALSE_ALARM)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("{kind: knapsack, items: 7, capacity: [4, 10]}", "this one moves items and capacity"),
        ("{kind: knapsack}", "this one is the same"),
    ],
)
def test_an_axis_moves_exactly_one_field(axis: str, message: str) -> None:
    text = spec("compiled: prefix-dp").replace("{kind: knapsack, items: 7}", axis)
    with pytest.raises(SpecErrors) as caught:
        prediction(text)
    shown = caught.value.render()
    assert message in shown
    assert shown.startswith("spec.yaml:10:17: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[11, 15]", "[11, 19]", "experiment.axes.larger-capacity asks for capacity up to 19"),
        ("compiled: prefix-dp, options: {items: 8}", "compiled: prefix-dp", "give it 'options"),
        ("compiled: truncated-dp", "compiled: truncated", "no compiled net is called 'truncated'"),
    ],
)
def test_what_an_axis_cannot_ask_is_refused(old: str, new: str, message: str) -> None:
    text = spec("compiled: suffix-recursion, options: {items: 7}").replace(old, new)
    with pytest.raises(SubjectError, match=message):
        STUDY.plan(prediction(text))


def test_only_answers_that_the_task_often_has_are_asked_for() -> None:
    rng = np.random.default_rng(0)
    answers = familiar_answers(draw(TASK, 20_000, rng))
    assert answers.min() == 0 and 17 <= answers.max() <= 20
    axis = TASK.model_copy(update={"values": (6, 7)})
    kept, rejected = draw_familiar(axis, answers, 500, rng)
    assert len(kept) == 500 and rejected > 20
    assert np.isin(optimum(kept), answers).all()


def test_an_axis_of_unfamiliar_answers_is_refused() -> None:
    axis = TASK.model_copy(update={"values": (7, 7), "weights": (1, 1), "capacity": (10, 10)})
    with pytest.raises(AxisError, match=r"only 0 of .* \(0 to 9\); 50 are needed"):
        draw_familiar(axis, np.arange(10), 50, np.random.default_rng(0))


def test_rejected_instances_are_counted_to_the_last_one_taken() -> None:
    answers = np.arange(0, 9)
    _, rejected = draw_familiar(TASK, answers, 400, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    stream = np.concatenate([optimum(draw(TASK, 400, rng)) for _ in range(4)])
    last = np.flatnonzero(np.isin(stream, answers))[399]
    assert rejected == last + 1 - 400
