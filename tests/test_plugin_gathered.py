"""Several ``--mesa-model`` for a kind that gathers them: one item, one ladder, one name."""

from __future__ import annotations

from pathlib import Path

import pytest
from mesa_projects import Project

from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store
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

FROZEN = Path(__file__).parents[1] / "fixtures"


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
    for refs in (
        ("a/m", "b/m"),
        ("b/m", "a/m"),
        ("ladder:b/m; a/m",),
        ("ladder:b/m;a/m", "a/m", "b/m"),
    ):
        result = growth.pytest("--collect-only", "-q", "-k", "growth", *given(*refs))
        result.stdout.fnmatch_lines([f"*growth[[]{name}]", "1/* tests collected*"])


def test_too_few_are_no_subject_and_leave_no_record(growth: Project) -> None:
    several = growth.pytest("-k", "growth", *given("a/m", "b/m"))
    several.stdout.fnmatch_lines(
        ["*no-subject: there are 2 models (a/m, b/m); a ladder takes 6 sizes and 3 models of each*"]
    )
    single = growth.pytest("-k", "growth", *given("a/m"))
    single.stdout.fnmatch_lines(
        ["growth[[]m] *", "*no-subject: *a/m is one model; a ladder takes 6 sizes and 3 models*"]
    )
    assert several.ret == single.ret == 0
    assert growth.records() == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells in this process, on fewer instances than would tell anything."""
    from pytest_mesa._plugin import lab
    from pytest_mesa.experiments import scaling_cells

    def inline(store: Store, _workers: int | None) -> LocalExecutor:
        return LocalExecutor(store, workers=0)

    monkeypatch.setattr(lab, "LocalExecutor", inline)
    monkeypatch.setattr(scaling_cells, "ANSWERED", 200)
    for name in ("FIT", "CHOOSE", "MEASURE"):
        monkeypatch.setattr(scaling_cells, name, 100)


def decoders(*widths: int) -> list[str]:
    """Three frozen decoders of each width."""
    names = [f"knapsack-fixed-steps-{width}-seed{seed}" for width in widths for seed in range(3)]
    return [f"knapsack:{FROZEN / name}" for name in names]


@pytest.mark.usefixtures("quick")
def test_decoders_named_one_by_one_get_one_verdict(growth: Project) -> None:
    refs = decoders(4, 6, 10, 15, 21, 31)
    result = growth.pytester.runpytest_inprocess(
        "--mesa-predictions", "-k", "growth", "-p", "no:cacheprovider", *given(*reversed(refs))
    )
    name = short_name("ladder:" + ";".join(refs))
    result.stdout.fnmatch_lines([f"growth[[]{name}] *ladder:knapsack:*", "ledger *1 new*"])
    (record,) = growth.records()
    assert record["lineup"] == record["model"]["ref"] == "ladder:" + ";".join(sorted(refs))
    (subject,) = record["subjects"]
    assert subject["label"] == f"ladder {name}"
    assert [len(rung) for rung in subject["detail"]["ladder"]["models"]] == [3] * 6
    assert f"## growth\\[{name}\\]" in (growth.root / "RESULTS.md").read_text("utf-8")


@pytest.mark.usefixtures("quick")
def test_sizes_that_are_uneven_are_told_without_a_traceback(growth: Project) -> None:
    refs = decoders(4, 6, 10, 15, 21)
    four = [f"knapsack:{FROZEN / f'knapsack-fixed-steps-{w}-seed3'}" for w in (4, 6, 10)]
    result = growth.pytester.runpytest_inprocess(
        "--mesa-predictions", "-k", "growth", "-p", "no:cacheprovider", "-vv", *given(*refs, *four)
    )
    assert result.ret == 1
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    (record,) = growth.records()
    assert (record["verdict"], record["reason"]) == ("error", "cell-failed")
    assert "these models are no ladder: a ladder takes 6 sizes" in record["message"]
    assert "4 of 988 parameters (knapsack-fixed-steps-4-seed0, " in record["message"]
