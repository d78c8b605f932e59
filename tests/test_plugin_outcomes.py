"""Verdicts as pytest outcomes: letters, words, counts, statuses, reports."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mesa_projects import Project


@pytest.fixture
def four(project: Project) -> Project:
    """One claim of each outcome."""
    project.spec("broken", "fault: raise")
    project.spec("open", "score: 0.4")
    project.spec("upheld")
    project.spec("wrong", "score: 1.0")
    return project


def test_each_outcome_has_its_own_look_and_a_second_run_computes_nothing(four: Project) -> None:
    result = four.pytest("-v", "--junitxml=junit.xml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "predictions/broken.yaml::broken ERROR *",
            "predictions/open.yaml::open INCONCLUSIVE (indifference*",
            "predictions/upheld.yaml::upheld PASSED *",
            "predictions/wrong.yaml::wrong REFUTED *",
            "*ERROR at call of broken*",
            "No verdict, the run broke (cell-failed): broken",
            "  spec * predictions/broken.yaml:1",
            "  net-broken: RuntimeError: the cell is bad",
            "*(-vv shows the traceback)",
            "Claim refuted: wrong",
            "  share * 1.000 [[]0.9*, 1.000] * n 400",
            "  predicted * < 0.25",
            "*= verdicts =*",
            "prediction * verdict * estimate [[]bounds] *",
            "upheld * pass[*] * 0.000 [[]0.000, 0.0*]*",
            "5 cells computed, 6 from the store, 0 frozen",
            "ledger   ledger.jsonl: 4 new, 0 unchanged",
            "results  RESULTS.md",
            "*= 1 failed, 1 passed, 1 error, 1 inconclusive in *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert len(four.computed()) == 6
    assert {r["prediction"]: r["verdict"] for r in four.records()} == {
        "broken": "error",
        "open": "inconclusive",
        "upheld": "pass",
        "wrong": "fail",
    }
    check_junit(four)

    before = four.ledger.read_bytes(), (four.root / "RESULTS.md").read_bytes()
    again = four.pytest("--deselect", "predictions/broken.yaml::broken", "--mesa-fail-on", "none")
    assert again.ret == 0
    again.stdout.fnmatch_lines(
        [
            "predictions/open.yaml ?*",
            "predictions/upheld.yaml .*",
            "predictions/wrong.yaml r*",
            "0 cells computed, 9 from the store, 0 frozen",
            "ledger   ledger.jsonl: 0 new, 3 unchanged",
            "*= 1 passed, 1 deselected, 1 inconclusive, 1 refuted in *",
        ]
    )
    assert four.computed() == []
    assert (four.ledger.read_bytes(), (four.root / "RESULTS.md").read_bytes()) == before


def check_junit(project: Project) -> None:
    cases = {c.get("name"): c for c in ET.parse(project.root / "junit.xml").iter("testcase")}
    upheld = {p.get("name"): p.get("value") for p in cases["upheld"].iter("property")}
    assert upheld["verdict"] == "pass"
    assert upheld["n"] == "400"
    assert float(upheld["lower"] or "nan") <= float(upheld["estimate"] or "nan")
    assert len(upheld["spec_sha"] or "") == 64
    assert upheld["estimand"] == "share"
    assert len(upheld["weights_sha"] or "") == 64
    skipped = cases["open"].find("skipped")
    assert skipped is not None
    assert (skipped.get("message") or "").startswith("indifference-zone: ")
    assert cases["wrong"].find("failure") is not None
    reasons = [
        p.get("value") for p in cases["broken"].iter("property") if p.get("name") == "reason"
    ]
    assert reasons == ["cell-failed"]


def test_a_touched_field_recomputes_only_its_cells(project: Project) -> None:
    project.spec("one")
    project.spec("two")
    project.pytest()
    assert project.computed() == ["blank", "net-one", "net-two", "planted"]
    project.spec("two", "score: 0.1")
    result = project.pytest()
    assert project.computed() == ["net-two"]
    result.stdout.fnmatch_lines(["1 cells computed, 5 from the store*", "*1 new, 1 unchanged"])


def test_details_of_an_error_need_two_vs(project: Project) -> None:
    project.spec("broken", "fault: raise")
    result = project.pytest("-vv")
    result.stdout.fnmatch_lines(['*raise RuntimeError("the cell is bad")*'])


@pytest.mark.parametrize(
    ("extra", "gate", "status", "counted"),
    [
        ("score: 0.4", "inconclusive", 10, "1 inconclusive"),
        ("score: 0.4", "fail,error", 0, "1 inconclusive"),
        ("fault: plan", "fail", 0, "1 errored"),
        ("fault: empty", "fail,error", 1, "1 error"),
    ],
)
def test_gates_decide_the_status(
    project: Project, extra: str, gate: str, status: int, counted: str
) -> None:
    project.spec("claim", extra)
    result = project.pytest("--mesa-fail-on", gate)
    assert result.ret == status
    result.stdout.fnmatch_lines([f"*= {counted} in *"])
    assert [r["prediction"] for r in project.records()] == ["claim"]


def test_a_changed_verdict_is_drift(project: Project) -> None:
    project.spec("claim")
    assert project.pytest().ret == 0
    project.spec("claim", "score: 0.4")
    result = project.pytest("--mesa-fail-on", "drift")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["The verdict has changed: it was pass, now inconclusive: claim"])
    assert [r["verdict"] for r in project.records()] == ["pass", "inconclusive"]


def test_x_stops_at_a_refuted_claim_and_lf_runs_it_again(project: Project) -> None:
    project.spec("a", "score: 1.0")
    project.spec("b")
    first = project.pytest("-x")
    first.stdout.fnmatch_lines(["*stopping after 1 failures*", "*= 1 failed in *"])
    assert [r["prediction"] for r in project.records()] == ["a"]
    project.spec("a")
    again = project.pytest("--lf")
    again.stdout.fnmatch_lines(["*= 1 passed in *"])
    assert [r["prediction"] for r in project.records()] == ["a", "a"]


def test_released_slots_make_one_item_a_model(project: Project) -> None:
    project.spec("slot", subject="released: true")
    waiting = project.pytest()
    assert waiting.ret == 0
    waiting.stdout.fnmatch_lines(["slot * inconclusive*", "*= 1 inconclusive in *"])
    assert project.records() == []
    assert project.pytest("--mesa-fail-on=inconclusive").ret == 10

    result = project.pytest(
        "-v", "--mesa-model", "bundled:tiny", "--mesa-model", "hf:org/big@v2", "-k", "tiny or big"
    )
    result.stdout.fnmatch_lines(
        [
            "predictions/slot.yaml::slot[[]tiny] PASSED*",
            "predictions/slot.yaml::slot[[]big@v2] PASSED*",
        ]
    )
    assert [(r["lineup"], r["model"]["revision"]) for r in project.records()] == [
        ("hf:org/big@v2", "v2"),
        ("bundled:tiny", ""),
    ]
