"""``mesa amend``, and what ``mesa check`` finds by planning."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mesa_projects import write_spec

from pytest_mesa.cli import main
from pytest_mesa.ledger.append import read
from pytest_mesa.registry.loader import load
from pytest_mesa.registry.lock import read_lock

Capture = pytest.CaptureFixture[str]
WHY = "The score was measured\n  on the wrong scale."


@pytest.fixture
def locked(fake_kind: Path) -> Path:
    for name in ("a", "b"):
        write_spec(fake_kind / "predictions", name)
    assert main(["lock"]) == 0
    return fake_kind


def test_an_amendment_is_recorded_and_locks_that_spec_alone(locked: Path, capsys: Capture) -> None:
    before = read_lock(locked / "mesa.lock").predictions
    for name in ("a", "b"):
        write_spec(locked / "predictions", name, "score: 0.1")
    assert main(["amend", "a", "--why", WHY]) == 0
    spec = load(locked / "predictions" / "a.yaml")
    (record,) = read(locked / "ledger.jsonl")
    assert record["kind"] == "amend"
    assert record["prediction"] == "a"
    assert record["reason"] == "The score was measured on the wrong scale."
    assert (record["was"], record["spec_sha"]) == (before["a"].sha, spec.sha)
    now = read_lock(locked / "mesa.lock").predictions
    assert now["a"].sha == spec.sha
    assert now["b"] == before["b"]
    assert "The score was measured on the wrong scale." in (locked / "RESULTS.md").read_text()
    capsys.readouterr()
    assert main(["verify"]) == 0
    assert main(["amend", "a", "--why", WHY]) == 1
    assert "a is as mesa.lock has it: there is nothing to amend" in capsys.readouterr().err
    assert len(read(locked / "ledger.jsonl")) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a", "--why", "  "], 2, "--why: an amendment says why the spec has changed"),
        (["c", "--why", "x"], 1, "there is no prediction 'c'; there are a, b"),
        (["new-one", "--why", "x"], 1, "new-one is not in mesa.lock, so there is nothing to amend"),
        (["broken", "--why", "x"], 1, "(1 files have errors: mesa check)"),
    ],
)
def test_nothing_is_written_without_a_reason_and_a_change(
    arguments: list[str], code: int, message: str, locked: Path, capsys: Capture
) -> None:
    if arguments[0] == "new-one":
        write_spec(locked / "predictions", "new-one")
    if arguments[0] == "broken":
        (locked / "predictions" / "broken.yaml").write_text("prediction: broken\n")
    lock = (locked / "mesa.lock").read_bytes()
    assert main(["amend", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not (locked / "ledger.jsonl").exists()
    assert (locked / "mesa.lock").read_bytes() == lock


def test_an_amendment_needs_a_reason_at_all(locked: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["amend", "a"])
    assert ended.value.code == 2
    assert "--why" in capsys.readouterr().err


def test_a_damaged_ledger_is_no_place_for_an_amendment(locked: Path, capsys: Capture) -> None:
    write_spec(locked / "predictions", "a", "score: 0.1")
    (locked / "ledger.jsonl").write_text(json.dumps({"kind": "nonsense"}) + "\n")
    lock = (locked / "mesa.lock").read_bytes()
    assert main(["amend", "a", "--why", "x"]) != 0
    assert "ledger.jsonl" in capsys.readouterr().err
    assert (locked / "mesa.lock").read_bytes() == lock


AGREEMENT = """\
prediction: claim
title: T
claim: C.
subjects: [{recipe: knapsack-decoder, seeds: 2}, {ref: /nowhere/model.gguf}]
competence: {at_least: 0.9}
experiment:
  kind: agreement
  task: {kind: knapsack}
  rivals: [greedy-ratio, lp-rounded]
controls:
  must_detect: [{compiled: prefix-dp}]
  must_not_detect: [{compiled: greedy-ratio}]
verdict: {estimand: exact-advantage, predicted: {below: 0.2}, refuted: {above: 0.5}}
"""


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("lp-rounded", "lp-round", "9:26", "experiment.rivals: there is no 'lp-round'"),
        ("prefix-dp", "prefix-dq", "11:17", "no compiled net is called 'prefix-dq'"),
        ("knapsack-decoder", "decoder", "4:12", "no recipe is called 'decoder'"),
        ("  rivals", "  algorithm: greedy-weight\n  rivals", "9:14", "the advantage of 'exact'"),
        ("nowhere", "nowhere/still", "4:56", "/nowhere/still/model.gguf"),
    ],
)
def test_check_finds_what_only_planning_knows(
    old: str, new: str, place: str, message: str, fake_kind: Path, capsys: Capture
) -> None:
    path = fake_kind / "predictions" / "claim.yaml"
    path.parent.mkdir()
    text = AGREEMENT.replace(old, new)
    if old != "nowhere":
        text = text.replace(", {ref: /nowhere/model.gguf}", "")
    path.write_text(text)
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert f"predictions/claim.yaml:{place}: " in out
    assert message in out
    assert "0 sound, 1 with errors" in out


def test_check_plans_other_packages_kinds_too(fake_kind: Path, capsys: Capture) -> None:
    write_spec(fake_kind / "predictions", "good")
    write_spec(fake_kind / "predictions", "odd", "fault: plan")
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "predictions/odd.yaml:8:20: the experiment cannot be planned: RuntimeError: " in out
    assert "1 sound, 1 with errors" in out


def test_checking_a_knapsack_spec_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "claim.yaml"
    path.write_text(AGREEMENT.replace(", {ref: /nowhere/model.gguf}", ""))
    code = (
        "import sys; from pytest_mesa.cli import main; "
        f"assert main(['check', {str(path)!r}]) == 0; "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
