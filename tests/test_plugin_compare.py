"""``--mesa-compare``: a run against a release before, and its gates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_mesa.ledger.append import append, read

if TYPE_CHECKING:
    from pathlib import Path

    from mesa_projects import Project


@pytest.fixture
def released(project: Project) -> Path:
    """A project whose last release, in a ledger of its own, upheld both claims."""
    project.spec("one")
    project.spec("two")
    assert project.pytest("--mesa-ledger=released.jsonl").ret == 0
    return project.root / "released.jsonl"


def rewritten(project: Project, path: Path, **changes: object) -> None:
    """The release again, as it would be had it been run otherwise."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.unlink()
    for record in records:
        append(path, record | (changes if record["kind"] == "verdict" else {}))


def records_of(path: Path) -> list[dict[str, Any]]:
    return [record for record in read(path) if record["kind"] == "verdict"]


def test_a_run_is_compared_with_the_release_and_unchanged_verdicts_are_counted(
    project: Project, released: Path
) -> None:
    result = project.pytest("--mesa-compare=released.jsonl", "--mesa-fail-on=drift,regression")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*= compared with released.jsonl =*", "2 verdicts compared: 2 same"]
    )


def test_a_claim_refuted_by_the_same_spec_on_other_weights_is_a_regression(
    project: Project, released: Path
) -> None:
    # The fake's score is a field of its spec, so the release is made to have had this one.
    project.spec("one", "score: 1.0")
    assert project.pytest("--mesa-ledger=now.jsonl", "--mesa-fail-on=none").ret == 0
    now = {r["prediction"]: r for r in records_of(project.root / "now.jsonl")}
    rewritten(project, released, spec_sha=now["one"]["spec_sha"])
    gated = project.pytest(
        "predictions/one.yaml", "--mesa-compare=released.jsonl", "--mesa-fail-on=regression", "-v"
    )
    assert gated.ret == 1
    gated.stdout.fnmatch_lines(
        [
            "predictions/one.yaml::one REGRESSED *",
            "The claim held before (was pass), and is refuted now: one",
            "*= compared with released.jsonl =*",
            "regression: one",
            "    before  pass  0.000 *",
            "    after   fail  1.000 *",
            "*other weights (weights *",
            "1 verdict compared: 1 regression",
            "*= 1 failed in *",
        ]
    )
    # On the same weights it is the machine's doing, or the code's.
    rewritten(project, released, model=now["one"]["model"], env={"cpu": "another"})
    passed = project.pytest(
        "predictions/one.yaml", "--mesa-compare=released.jsonl", "--mesa-fail-on=regression"
    )
    assert passed.ret == 0
    passed.stdout.fnmatch_lines(["environment change: one", "*1 environment change"])
    drifted = project.pytest(
        "predictions/one.yaml", "--mesa-compare=released.jsonl", "--mesa-fail-on=drift"
    )
    assert drifted.ret == 1
    drifted.stdout.fnmatch_lines(["The verdict has changed: it was pass, now fail: one"])


def test_two_processes_compare_as_one_does(project: Project, released: Path) -> None:
    project.spec("two", "score: 0.4")
    result = project.pytest("-n", "2", "--mesa-compare=released.jsonl", "--mesa-fail-on=drift")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["other spec: two", "2 verdicts compared: 1 other spec, 1 same"])


def test_an_unknown_release_ends_the_run_before_anything_is_computed(
    project: Project, released: Path
) -> None:
    project.computed()
    project.spec("three")
    result = project.pytest("--mesa-compare=@v9")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --mesa-compare: '@v9'*"])
    released.write_text("nonsense\n")
    result = project.pytest("--mesa-compare=released.jsonl")
    assert result.ret == 12
    result.stdout.fnmatch_lines(["*--mesa-compare: *released.jsonl:1: not a sound ledger record*"])
    assert project.computed() == []
