"""RESULTS.md: the same bytes for the same ledger, and no text that can break the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import control, error, subject, verdict
from markdown_it import MarkdownIt

from pytest_mesa.ledger import markdown
from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.facts import number
from pytest_mesa.ledger.markdown import Bar, code, fence, number_line, table, text
from pytest_mesa.ledger.records import GENESIS, Record, seal
from pytest_mesa.ledger.results import render, survivors

GOLDEN = Path(__file__).with_name("golden_results.md")
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def chain(*bodies: dict[str, Any]) -> list[Record]:
    records: list[Record] = []
    for body in bodies:
        records.append(seal(body, records[-1]["sha"] if records else GENESIS))
    return records


def every_kind() -> list[Record]:
    """A ledger with each outcome, each lock state, a history, line-ups and amendments."""
    claim = verdict()["claim"]
    missed = control("compiled:prefix-dp", 0.4, expected=True, ok=False)
    return chain(
        error(),
        verdict(locked="unlocked", time="2026-01-02T04:00:00Z"),
        verdict(),
        verdict(
            "knapsack-no-recursion",
            verdict="inconclusive",
            reason="control-missed",
            remedy="sharpen the instrument",
            message="compiled:prefix-dp was not detected.",
            e_value=1.0,
            detection_limit=None,
            controls=[missed],
        ),
        verdict(
            "chess-go-circuits",
            lineup="gemma3-270m",
            claim=claim | {"title": "Two | games, <b>two</b> circuits", "claim": "*None* shared"},
            verdict="fail",
            locked="differs",
            estimate=0.9,
            bounds=[0.8, 1.0],
            e_value=5000.0,
            subjects=[subject(0, 0.9, "fail")],
            exhibit={},
        ),
        error("maze-no-search"),
        {"kind": "amend", "time": "2026-01-03T00:00:00Z", "reason": "a write was cut off"},
        {
            "kind": "amend",
            "time": "2026-01-04T00:00:00Z",
            "prediction": "knapsack-no-dp",
            "reason": "the budget was raised",
        },
    )


def test_the_page_is_the_golden_one() -> None:
    page = render(every_kind())
    if "MESA_WRITE_GOLDEN" in os.environ:
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")


def test_the_page_is_the_same_in_another_process_and_place(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for record in every_kind():
        append(path, record)
    script = (
        "import sys; from pathlib import Path; from pytest_mesa.ledger.append import read; "
        "from pytest_mesa.ledger.results import render; "
        "sys.stdout.buffer.write(render(read(Path(sys.argv[1]))).encode())"
    )
    pages = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            capture_output=True,
            check=True,
            cwd="/",
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    # Only the amendments' own hashes differ from the golden page: none, as bodies are the same.
    assert pages == {render(every_kind()).encode()}


def test_an_empty_ledger_has_a_page() -> None:
    assert "no verdict yet" in render([])


def test_the_newest_verdict_is_the_last_in_the_ledger_whatever_the_clock_said() -> None:
    later = verdict(verdict="fail", estimate=0.9, bounds=[0.8, 1.0], time="2020-01-01T00:00:00Z")
    page = render(chain(verdict(), later))
    row = next(line for line in page.splitlines() if line.startswith("| [knapsack"))
    assert "**fail**" in row
    history = page.partition("### History")[2]
    assert history.index("**fail**") < history.index("**pass**")


def test_long_histories_are_cut() -> None:
    page = render(chain(*[verdict(seed=number) for number in range(30)]))
    assert "10 earlier in the ledger." in page
    assert "| 30 |" in page
    assert "| 10 |" not in page


def test_every_link_in_the_overview_has_its_section() -> None:
    page = render(every_kind())
    targets = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert targets == set(re.findall(r'<a id="([^"]*)"></a>', page))
    assert len(targets) == 4


@pytest.mark.parametrize("locked", ["differs", "unlocked"])
def test_what_was_not_locked_is_exploratory(locked: str) -> None:
    page = render(chain(verdict(locked=locked)))
    assert page.count("*(exploratory)*") == 3  # table, section, history
    assert "*(exploratory)*" not in render(chain(verdict()))


def test_survivors_are_conclusions_with_enough_evidence() -> None:
    newest = chain(
        verdict("a", e_value=100.0),
        verdict("b", e_value=30.0),
        verdict("c", e_value=1e6, verdict="inconclusive", reason="budget-spent"),
        error("d"),
    )
    # Thresholds for 4 claims: 80 for one survivor, 40 each for two.
    assert survivors(newest, 0.05) == {"a"}
    assert survivors(newest[:2], 0.05) == {"a", "b"}
    assert survivors([], 0.05) == frozenset()


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=40
) | st.text("*_`[]()<>&|~#+-=.:!\\$1a \n\t\"'{}^@/", max_size=25)


def shown(source: str) -> list[str]:
    """The text of each block that Markdown makes of a source; fails at any markup."""
    texts = []
    for token in PARSER.parse(source):
        assert token.type in ("paragraph_open", "inline", "paragraph_close"), token.type
        if token.type == "inline":
            for child in token.children or []:
                assert child.type in ("text", "text_special"), child.type
            texts.append("".join(child.content for child in token.children or []))
    return texts


@given(value=TEXT)
@settings(max_examples=400, deadline=None)
def test_user_text_shows_as_itself(value: str) -> None:
    flat = " ".join(value.split())
    assert shown(text(value)) == ([flat] if flat else [])


@given(cells=st.lists(TEXT.filter(str.strip), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_user_text_stays_in_its_table_cell(cells: list[str]) -> None:
    source = table(["x"] * len(cells), [[text(cell) for cell in cells]])
    inlines = [token for token in PARSER.parse(source) if token.type == "inline"]
    found = ["".join(c.content for c in token.children or []) for token in inlines]
    assert found[len(cells) :] == [" ".join(cell.split()) for cell in cells]


@given(value=st.text(st.sampled_from("`~\nx #|"), max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_block_ends_where_it_should(value: str) -> None:
    tokens = PARSER.parse(fence(value) + "\n\nafter")
    assert [token.type for token in tokens] == [
        *("fence", "paragraph_open", "inline", "paragraph_close")
    ]
    assert tokens[2].content == "after"


@given(value=TEXT)
@settings(max_examples=200, deadline=None)
def test_a_code_span_holds_all_its_text(value: str) -> None:
    children = [c for token in PARSER.parse(f"a {code(value)} b") for c in token.children or []]
    types = {child.type for child in children}
    assert types <= {"text", "code_inline"}
    assert ("code_inline" in types) == bool(value.split())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, "0.250"),
        (1, "1.000"),
        (-0.0001, "0.000"),
        (-0.5, "-0.500"),
        (123456.0, "123456.000"),
        (2e9, "2e+09"),
        (None, ""),
        (True, ""),
        ("1", ""),
    ],
)
def test_numbers_are_short_and_never_minus_zero(value: object, expected: str) -> None:
    assert number(value) == expected


def test_the_number_line_is_drawn_to_scale() -> None:
    line = number_line(
        [Bar("a", 0.1, 0.0, 0.2), Bar("b", 1.0, 0.5, 1.0)], {"below": 0.25}, {"above": 0.5}
    )
    rows = [row[markdown._LABEL_WIDTH + 2 :] for row in line.splitlines()[1:-1]]
    assert rows[0] == "0              0.25           0.5                           1"
    assert rows[1] == "+" * 15 + "." * 16 + "-" * 30
    assert rows[2] == "[=====*=====]"
    assert rows[3] == " " * 30 + "[" + "=" * 29 + "*"


@given(
    estimate=st.floats(-10, 10),
    spread=st.tuples(st.floats(0, 5), st.floats(0, 5)),
    edges=st.lists(st.floats(-3, 3), min_size=2, max_size=2, unique=True).map(sorted),
)
@settings(max_examples=150, deadline=None)
def test_the_number_line_stays_in_its_columns(
    estimate: float, spread: tuple[float, float], edges: list[float]
) -> None:
    bar = Bar(
        "a very long label that has to be cut short",
        estimate,
        estimate - spread[0],
        estimate + spread[1],
    )
    rows = number_line([bar], {"below": edges[0]}, {"above": edges[1]}).splitlines()
    full = markdown._LABEL_WIDTH + 2 + markdown._LINE_WIDTH
    assert len(rows[2]) == full
    assert max(map(len, rows[2:])) <= full
    assert rows[3].count("*") == 1


def test_a_control_that_must_be_left_open_says_so() -> None:
    reason = "breakthroughs-across-seeds"
    known = control("ladder planted-bimodal", 0.4, expected=True) | {"must_withhold": reason}
    for blocked, seen, mark in ((reason, "left open", "✓"), (None, "detected", "✗")):
        shown = known | {"blocked": blocked, "ok": mark == "✓", "detected": blocked is None}
        page = render(chain(verdict(controls=[shown])))
        assert f"| ladder planted-bimodal | must be left open: {reason} | {seen} |" in page
        assert mark in page
