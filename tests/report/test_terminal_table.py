"""The verdict table at any width, and progress as lines."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.report.progress import LiveProgress, PlainProgress, duration_text
from pytest_mesa.report.terminal import Row, verdict_table
from pytest_mesa.runs.cells import Cell
from pytest_mesa.runs.compute import Failure
from pytest_mesa.runs.execute import Event


def record(verdict: str = "pass", **more: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "locked": "locked",
        "reason": "",
        "claim": {"regions": {"predicted": {"below": 0.25}, "refuted": {"above": 0.5}}},
        "model": {"ref": "recipe:knapsack-decoder (5 seeds)"},
        "estimate": 0.0312,
        "bounds": [0.0124, 0.0641],
        "n": 3000,
        "controls": [{"label": "prefix-dp", "ok": True}, {"label": "greedy", "ok": False}],
        "competence": {"lower": 0.981, "ok": True, "at_least": 0.95, "estimate": 0.99, "n": 500},
    } | more


def row(name: str = "knapsack-no-dp", category: str = "passed", **more: Any) -> Row:
    return Row(f"predictions/{name}.yaml::{name}", category, "", record(**more))


def test_a_wide_terminal_gets_one_line_a_verdict() -> None:
    lines = verdict_table([row()], 300)
    assert [line.text for line in lines] == [
        "prediction      verdict  estimate [bounds]     subject                            "
        "predicted / refuted  n      controls                 competence    reason",
        "knapsack-no-dp  pass     0.031 [0.012, 0.064]  recipe:knapsack-decoder (5 seeds)  "
        "< 0.25 / > 0.5       3,000  1 of 2 ok (not: greedy)  0.981 ≥ 0.95",
    ]


@given(width=st.integers(60, 220), names=st.lists(st.sampled_from(["a", "b" * 30]), min_size=1))
def test_no_width_loses_a_fact_or_overflows(width: int, names: list[str]) -> None:
    rows = [row(name, verdict="inconclusive", reason="budget-spent") for name in names]
    lines = [line.text for line in verdict_table(rows, width)]
    text = " ".join(" ".join(lines).split())
    facts = ("0.031 [0.012, 0.064]", "3,000", "1 of 2 ok (not: greedy)", "0.981", "budget-spent")
    for fact in facts:
        assert text.count(fact) == len(names)
    assert max(map(len, lines)) <= max(width, 68)


def test_verdicts_have_their_colours_and_unlocked_ones_a_star() -> None:
    rows = [row(verdict=v) for v in ("pass", "fail", "inconclusive")]
    rows.append(row(verdict="pass", locked="differs"))
    rows.append(Row("predictions/slot.yaml::slot", "inconclusive", "", None))
    lines = verdict_table(rows, 300)
    assert [line.colour for line in lines] == ["", "green", "red", "yellow", "green", "yellow", ""]
    assert " pass* " in lines[4].text
    assert lines[-1].text.startswith("* exploratory")
    assert verdict_table([], 80) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61.7, "1 min 02 s"), (3900, "1 h 05 min")],
)
def test_durations_read_as_one_says_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def cell(label: str) -> Cell:
    return Cell("fake", 1, {"label": label}, "m:f", label=label)


def test_plain_progress_tells_of_what_took_long_or_failed() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    progress.begin("claim")
    progress.note(Event("cached", cell("a"), 1, 5))
    progress.note(Event("started", cell("b"), 1, 5))
    progress.note(Event("finished", cell("b"), 2, 5, elapsed_s=0.2))
    progress.note(Event("finished", cell("c"), 3, 5, elapsed_s=75.0))
    root = Failure(cell("d"), "raised", "ValueError: no")
    progress.note(Event("failed", cell("d"), 4, 5, 0.1, root))
    # What only follows from a failure would repeat it.
    follows = Failure(cell("e"), "input-failed", "needs d", cause=root)
    progress.note(Event("failed", cell("e"), 5, 5, 0.0, follows))
    progress.end()
    assert lines == ["  claim [3/5] c (1 min 15 s)", "  claim [4/5] d failed: ValueError: no"]


def test_live_progress_draws_only_while_something_is_computed() -> None:
    stream, calls = io.StringIO(), list[str]()
    progress = LiveProgress(stream, lambda: calls.append("before"), lambda: calls.append("after"))
    progress.begin("stored")
    progress.note(Event("cached", cell("a"), 1, 1))
    progress.end()
    assert (stream.getvalue(), calls) == ("", [])
    progress.begin("claim")
    progress.note(Event("started", cell("train net"), 0, 2))
    progress.end()
    assert calls == ["before", "after"]
    assert "train net" in stream.getvalue()
    assert "0 of 2 cells" in stream.getvalue()
