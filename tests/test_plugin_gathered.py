"""Several ``--mesa-model`` for a kind that gathers them: one item, one ladder, one name."""

from __future__ import annotations

from pathlib import Path

import pytest
from mesa_projects import Project

from pytest_mesa.subjects.references import short_name

GROWTH = """\
prediction: growth
title: Growth
claim: Measures grow without a jump.
subjects: [{released: true}]
competence: {at_least: 0.01}
experiment: {kind: scaling, measures: [accuracy]}
controls:
  must_detect: [{ref: "ladder:planted-step"}]
  must_not_detect: [{ref: "ladder:planted-smooth"}]
verdict:
  estimand: sharpest-window
  predicted: {below: 0.6}
  refuted: {above: 0.8}
"""


@pytest.fixture
def growth(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a claim about ladders and one about single models."""
    monkeypatch.setenv("COLUMNS", "400")
    project.spec("slot", subject="released: true")
    (project.root / "predictions/growth.yaml").write_text(GROWTH)
    return project


def given(*refs: str) -> tuple[str, ...]:
    return tuple(f"--mesa-model={ref}" for ref in refs)


def test_models_are_one_item_of_a_kind_that_gathers_and_one_each_of_others(growth: Project) -> None:
    name = short_name("ladder:a/m;b/m;bundled:tiny")
    assert name.startswith("3-models-")
    refs = ("b/m", "ladder:./nets", "bundled:tiny", "a/m", "ladder:c/m;d/m", "a/m")
    result = growth.pytest("--collect-only", "-q", *given(*refs))
    result.stdout.fnmatch_lines_random(
        [
            f"*growth[[]{name}]",
            "*growth[[]nets]",
            f"*growth[[]{short_name('ladder:c/m;d/m')}]",
            *(f"*slot[[]{one}]" for one in ("a/m", "b/m", "tiny", "nets")),
            "8 tests collected*",
        ]
    )


def test_the_same_models_make_the_same_item_whether_listed_or_named(growth: Project) -> None:
    name = short_name("ladder:a/m;b/m")
    for refs in (("a/m", "b/m"), ("b/m", "a/m"), ("ladder:b/m; a/m",), ("ladder:b/m;a/m", "a/m", "b/m")):
        result = growth.pytest("--collect-only", "-q", "-k", "growth", *given(*refs))
        result.stdout.fnmatch_lines([f"*growth[[]{name}]", "1/* tests collected*"])


def test_too_few_are_no_subject_and_leave_no_record(growth: Project) -> None:
    several = growth.pytest("-k", "growth", *given("a/m", "b/m"))
    several.stdout.fnmatch_lines(
        ["*no-subject: there are 2 models (a/m, b/m); a ladder takes 6 sizes and 3 models of each*"]
    )
    single = growth.pytest("-k", "growth", *given("a/m"))
    single.stdout.fnmatch_lines(
        ["growth[[]m] *a/m is one model; a ladder takes 6 sizes and 3 models of each at least*"]
    )
    assert several.ret == single.ret == 0
    assert growth.records() == []
