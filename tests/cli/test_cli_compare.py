"""``mesa diff`` and ``mesa history``, from arguments to output and exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_bodies import error, verdict

from pytest_mesa.cli import main
from pytest_mesa.ledger.append import append

Capture = pytest.CaptureFixture[str]
HOSTILE = "x\x1b[31m<script>\u202e|`"


def release(number: int, verdict_: str = "pass", **more: Any) -> dict[str, Any]:
    estimate = {"pass": 0.06, "fail": 0.7}[verdict_]
    lineup = f"hf:org/m@v{number}"
    model = {"ref": lineup, "revision": f"v{number}", "weights_sha": f"{number}" * 64}
    bounds = [round(estimate - 0.05, 2), round(estimate + 0.05, 2)]
    body = verdict(lineup=lineup, model=model, verdict=verdict_, estimate=estimate, bounds=bounds)
    return body | more


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A claim that held of the first release and is refuted of the second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    path = tmp_path / "ledger.jsonl"
    append(path, release(1))
    append(path, release(2, "fail"))
    return path


def test_diff_shows_a_regression_with_both_intervals(ledger: Path, capsys: Capture) -> None:
    assert main(["diff", "@v1", "@v2"]) == 0
    assert capsys.readouterr().out == (
        "before  @v1\n"
        "after   @v2\n"
        "\n"
        "regression: knapsack-no-dp[hf:org/m@v2]\n"
        "    before  pass  0.060 [0.010, 0.110]  hf:org/m@v1\n"
        "    after   fail  0.700 [0.650, 0.750]  hf:org/m@v2\n"
        "    other weights (subject hf:org/m@v1 → hf:org/m@v2, weights 111111111111 → "
        "222222222222)\n"
        "1 verdict compared: 1 regression\n"
    )


@pytest.mark.parametrize(
    ("gate", "status"),
    [("regression", 1), ("flipped", 1), ("lost,moved,missing,broken", 0), ("", 0)],
)
def test_diff_fails_only_on_what_is_gated(ledger: Path, gate: str, status: int) -> None:
    assert main(["diff", "--fail-on", gate]) == status


def test_another_machine_is_an_environment_change_and_passes_the_gate(
    ledger: Path, capsys: Capture
) -> None:
    append(ledger, release(1, "fail", env={"python": "3.12", "cpu": "another"}))
    assert main(["diff", str(ledger), "@v1", "--fail-on", "regression"]) == 0
    before = ledger.with_name("before.jsonl")
    append(before, release(1))
    capsys.readouterr()
    assert main(["diff", "before.jsonl", "@v1", "--fail-on", "regression"]) == 0
    out = capsys.readouterr().out
    assert "environment change: knapsack-no-dp[hf:org/m@v1]" in out
    assert "env cpu none → another, env python 3.11 → 3.12" in " ".join(out.split())
    assert "regression" not in out
    # The same verdicts on other weights are one.
    weights = {"ref": "m", "revision": "", "weights_sha": "9" * 64}
    append(before, release(1, model=weights, env={"python": "3.9"}))
    assert main(["diff", "before.jsonl", "@v1", "--fail-on", "regression"]) == 1
    assert "the environment changed too, so either may be why" in " ".join(
        capsys.readouterr().out.split()
    )


def test_another_spec_is_called_so_and_not_compared(ledger: Path, capsys: Capture) -> None:
    append(ledger, release(3, spec_sha="6" * 64))
    assert main(["diff", "--fail-on", "regression,flipped,moved"]) == 0
    out = capsys.readouterr().out
    assert "other spec: knapsack-no-dp[hf:org/m@v3]" in out
    assert "spec 555555555555 → 666666666666" in out


def test_new_missing_and_broken_are_told(ledger: Path, capsys: Capture) -> None:
    append(ledger, release(2, prediction="only-new"))
    append(ledger, release(1, prediction="only-old"))
    append(ledger, release(1, prediction="breaks"))
    append(ledger, error("breaks") | {"lineup": "hf:org/m@v2"})
    assert main(["diff", "@v1", "@v2", "--fail-on", "missing"]) == 1
    assert main(["diff", "@v1", "@v2", "--fail-on", "broken"]) == 1
    out = capsys.readouterr().out
    assert "missing: only-old[hf:org/m@v1]" in out
    assert "new: only-new[hf:org/m@v2]" in out
    assert "broken: breaks[hf:org/m@v2]" in out
    assert out.endswith("4 verdicts compared: 1 regression, 1 new, 1 missing, 1 broken\n")


def test_diff_as_json_and_markdown(ledger: Path, capsys: Capture) -> None:
    assert main(["diff", "@v1", "@v2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (only,) = found["comparisons"]
    assert found["counts"] == {"regression": 1}
    assert (only["change"], only["cause"], only["regression"]) == ("flipped", "other weights", True)
    assert only["before"]["bounds"] == [0.01, 0.11]
    assert only["after"]["verdict"] == "fail"
    assert main(["diff", "@v1", "@v2", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| **regression** | knapsack-no-dp\\[hf:org/m@v2\\] | pass 0.060 " in out


def test_hostile_text_reaches_no_terminal(ledger: Path, capsys: Capture) -> None:
    hostile = {"lineup": HOSTILE, "model": {"ref": HOSTILE, "revision": "", "weights_sha": "1"}}
    append(ledger, release(1, **hostile, reason=HOSTILE, env={HOSTILE: HOSTILE}))
    for arguments in (["diff"], ["history", "knapsack-no-dp"]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert "<script>" in out
        assert all(char.isprintable() or char == "\n" for char in out)
    assert main(["diff", "--markdown"]) == 0
    assert "<script>" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["diff", "@v1"], 2, "name two sides"),
        (["diff", "@v1", "@v9"], 1, "'@v9' is no line-up"),
        (["diff", "--fail-on", "flip"], 2, "there are regression, flipped"),
        (["diff", "--ledger", "no.jsonl"], 1, "there is no such ledger"),
        (["history", "knapsack"], 1, "did you mean 'knapsack-no-dp'?"),
        (["history", "knapsack-no-dp", "--last", "0"], 2, "is not positive"),
    ],
)
def test_a_users_slip_is_told_in_a_sentence(
    ledger: Path, capsys: Capture, arguments: list[str], status: int, said: str
) -> None:
    assert main(arguments) == status
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_damaged_ledger_is_refused(ledger: Path, capsys: Capture) -> None:
    ledger.write_bytes(ledger.read_bytes().replace(b'"estimate":0.06', b'"estimate":0.05', 1))
    for arguments in (["diff"], ["history", "knapsack-no-dp"], ["report"]):
        assert main(arguments) == 12
        assert "ledger.jsonl:1: not a sound ledger record" in capsys.readouterr().err


def test_history_draws_the_intervals_and_lists_what_changed(ledger: Path, capsys: Capture) -> None:
    append(ledger, {"kind": "amend", "reason": "a slip", "prediction": "knapsack-no-dp"})
    append(ledger, error() | {"lineup": "hf:org/m@v3"})
    assert main(["history", "knapsack-no-dp"]) == 0
    out = capsys.readouterr().out
    assert "interchange-accuracy, predicted < 0.25 · refuted > 0.5" in out
    assert "2026-01-02 hf:org/m@v1               [==*==]\n" in out
    assert "1  2026-01-02T03:04:05Z  pass  0.060 [0.010, 0.110]  hf:org/m@v1\n" in out
    assert "       regression; subject hf:org/m@v1 → hf:org/m@v2, weights 1111" in out
    assert "amendment  a slip\n" in out
    assert "error  worker lost  hf:org/m@v3\n" in out
    assert main(["history", "knapsack-no-dp", "--last", "1"]) == 0
    assert "2 earlier: --all lists them" in capsys.readouterr().out
    assert main(["history", "knapsack-no-dp[hf:org/m@v1]"]) == 0
    assert "hf:org/m@v2" not in capsys.readouterr().out


def test_history_as_json_holds_every_verdict(ledger: Path, capsys: Capture) -> None:
    assert main(["history", "knapsack-no-dp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [step["verdict"] for step in found["verdicts"]] == ["pass", "fail"]
    assert found["verdicts"][0]["since"] is None
    assert found["verdicts"][1]["since"]["regression"] is True
    assert found["verdicts"][1]["since"]["sha"] == found["verdicts"][0]["sha"]
