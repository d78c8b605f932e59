"""``--mesa-model``: which items it makes, what they judge, and what the record says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mesa_projects import Project, write_spec

from pytest_mesa.registry.loader import load
from pytest_mesa.session import Settings, run_prediction

MIXED = "recipe: net\n  - {released: true}"
KNAPSACK = """\
prediction: words
title: Asked in words
claim: A claim.
subjects: [{recipe: knapsack-decoder}, {released: true}]
competence: {at_least: 0.9}
experiment:
  kind: causal-state
  task: {kind: knapsack}
  algorithm: prefix-dp
controls:
  must_detect: [{compiled: prefix-dp}]
  must_not_detect: [{compiled: greedy-ratio}]
verdict: {estimand: interchange-accuracy, predicted: {below: 0.25}, refuted: {above: 0.5}}
"""


def test_a_model_gets_items_of_its_own_beside_the_specs_line_up(project: Project) -> None:
    project.spec("mixed", subject=MIXED)
    project.spec("slot", subject="released: true")
    project.spec("plain")
    both = ("--mesa-model", "org/big@v2", "--mesa-model", "bundled:tiny")
    result = project.pytest("-v", *both)
    result.stdout.fnmatch_lines(
        [
            "predictions/mixed.yaml::mixed PASSED*",
            "predictions/mixed.yaml::mixed[[]big@v2] PASSED*",
            "predictions/mixed.yaml::mixed[[]tiny] PASSED*",
            "predictions/plain.yaml::plain PASSED*",
            "predictions/slot.yaml::slot[[]big@v2] PASSED*",
            "predictions/slot.yaml::slot[[]tiny] PASSED*",
        ]
    )
    judged = {(r["prediction"], r["lineup"]): r["model"] for r in project.records()}
    assert judged["mixed", ""]["ref"] == "recipe:net-mixed"
    assert judged["mixed", "org/big@v2"]["ref"] == "org/big@v2"
    assert judged["mixed", "org/big@v2"]["revision"] == "v2"
    chosen = project.pytest("-m", "released", "--collect-only", "-q", *both)
    chosen.stdout.fnmatch_lines(["*4/6 tests collected (2 deselected)*"])


def test_only_released_slots_are_measured_where_a_model_is_given(project: Project) -> None:
    project.spec("mixed", subject=MIXED)
    project.pytest("-m", "released", "--mesa-model", "bundled:tiny")
    assert "net-mixed" not in project.computed()
    project.pytest()
    assert project.computed() == ["net-mixed"]


def test_the_options_that_change_results_are_part_of_the_reference(project: Project) -> None:
    project.spec("slot", subject="released: true")
    project.pytest("--mesa-model=org/big@v2", "--mesa-dtype=bfloat16", "--mesa-trust-remote-code")
    (record,) = project.records()
    assert record["lineup"] == "org/big@v2?dtype=bfloat16&trust-remote-code"
    assert record["model"]["revision"] == "v2"


def test_two_references_of_one_name_are_told_apart(project: Project) -> None:
    project.spec("slot", subject="released: true")
    result = project.pytest(
        "--mesa-model=a/net", "--mesa-model=b/net", "--mesa-model=./net", "--co", "-q"
    )
    result.stdout.fnmatch_lines(["*slot[[]a/net]", "*slot[[]b/net]", "*slot[[]./net]"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--mesa-memory=lots", "*--mesa-memory: a positive number of GiB, not 'lots'*"),
        ("--mesa-memory=-1", "*--mesa-memory: a positive number*"),
        ("--mesa-dtype=int8", "*argument --mesa-dtype: invalid choice*"),
        ("--mesa-model=x/y?dtype=int8", "*--mesa-model: *dtype 'int8' is none of float32*"),
    ],
)
def test_values_that_are_not_understood(project: Project, option: str, message: str) -> None:
    project.spec("slot", subject="released: true")
    result = project.pytest(option)
    assert result.ret == 4
    result.stderr.fnmatch_lines([message])


def test_a_tag_cannot_pass_for_a_released_item(project: Project) -> None:
    project.spec("slot", tags="released")
    project.pytest().stdout.fnmatch_lines(["*the tag 'released' is a marker*"])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nosuch/model", "cannot load model nosuch/model: it is not on this machine*"),
        ("bundled:smolm2-135m", "no bundled model is called *; did you mean 'smollm2-135m'?*"),
        ("./nowhere", "cannot load model './nowhere': there is no directory *"),
    ],
)
def test_a_model_that_cannot_be_had_is_an_error_that_names_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, reference: str, message: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "300")
    (project.root / "predictions").mkdir()
    (project.root / "predictions/words.yaml").write_text(KNAPSACK)
    result = project.pytest("-m", "released", "--mesa-model", reference)
    assert result.ret == 1
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    (record,) = project.records()
    assert (record["verdict"], record["reason"]) == ("error", "plan-failed")
    from fnmatch import fnmatch

    assert fnmatch(record["message"], message)


def test_what_a_cell_says_of_its_subject_is_told_without_a_traceback(fake_kind: Path) -> None:
    loaded = load(write_spec(fake_kind / "predictions", "claim", "fault: told"))
    settings = Settings(
        root=fake_kind, cache_dir=fake_kind / "cache", fixtures=fake_kind / "no", workers=0
    )
    run = run_prediction(loaded, settings)
    assert run.message == "net: there is no memory for it: take a smaller one"
    assert run.trace == ""
    assert run.record is not None
    assert run.record["verdict"] == "error"
