"""What pipelines read: summary, workflow commands, badge and JUnit XML."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import error, verdict

from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.index import scan
from pytest_mesa.report import github, release
from pytest_mesa.report.badge import badge
from pytest_mesa.report.junit import junit
from pytest_mesa.report.release import Release
from pytest_mesa.report.summary import summary


def made(path: Path, *bodies: dict[str, Any], before: str | None = None) -> Release:
    for body in bodies:
        append(path, body)
    return release.release(scan(path), None, before, path.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def refuted(name: str, **more: Any) -> dict[str, Any]:
    return verdict(name, verdict="fail", estimate=0.7, bounds=[0.6, 0.8], **more)


def undecided(name: str, **more: Any) -> dict[str, Any]:
    return verdict(name, verdict="inconclusive", reason="budget-spent", **more)


def test_the_summary_opens_with_every_verdict_the_gravest_first(path: Path) -> None:
    page = summary(
        made(path, verdict("a"), refuted("b"), undecided("c"), error("d"), verdict("e", lineup="m"))
    )
    opening = page.split("## ")[0]
    assert opening.startswith("# Verdicts\n\n2 pass, 1 fail, 1 inconclusive, 1 error.\n\n| pred")
    assert re.findall(r"^\| `([^`]*)`", opening, re.MULTILINE) == ["b", "d", "c", "a", "e[m]"]
    assert "| `b` | recipe:knapsack-decoder (2 seeds) | ✗ **fail** | 0.700 \\[0.600" in opening
    assert page.count("<details>") == page.count("</details>") == 5


def test_the_summary_says_what_changed_since_the_verdicts_before(path: Path) -> None:
    page = summary(made(path, verdict("a"), verdict("new"), refuted("a")))
    assert "## What changed" in page
    assert "1 verdict compared: 1 flipped." in page
    assert "new" not in page.split("## What changed")[1].split("## Details")[0]


def test_a_model_is_published_at_its_newest_revision(path: Path) -> None:
    found = made(path, verdict("a", lineup="o/m@v1"), verdict("a", lineup="o/m@v2"), verdict("b"))
    assert [record["lineup"] for record in found.records] == ["o/m@v2", ""]
    old = release.release(scan(path), "@v1", None, path.parent)
    assert [record["lineup"] for record in old.records] == ["o/m@v1"]
    assert old.comparisons == ()


def test_a_release_is_compared_with_the_one_that_is_named(path: Path) -> None:
    weights = {"ref": "m", "revision": "", "weights_sha": "9" * 64}
    bodies = [verdict("a", lineup="o/m@v1"), verdict("gone", lineup="o/m@v1"), verdict("b")]
    found = made(path, *bodies, refuted("a", lineup="o/m@v2", model=weights), before="@v1")
    told = {each.prediction: each.change.value for each in found.comparisons}
    # The verdict on 'gone' is the model's newest there.
    assert told == {"a": "flipped"}
    assert found.comparisons[0].is_regression


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Release:
    path = tmp_path_factory.mktemp("long") / "ledger.jsonl"
    bodies = [verdict(f"claim-{i:03}", message="ä" * 500) for i in range(60)]
    return made(path, *bodies, *[refuted(f"claim-{i:03}") for i in range(40)])


@given(limit=st.integers(1_000, 400_000))
@settings(max_examples=60, deadline=None)
def test_a_limit_is_kept_and_rows_are_cut_last(long: Release, limit: int) -> None:
    whole, page = summary(long), summary(long, limit)
    assert len(page.encode()) <= limit
    rows = len(re.findall(r"^\| `claim", page, re.MULTILINE))
    details = page.count("<details>")
    assert details == page.count("</details>")
    if rows < 60:
        assert details == 0
        assert "## What changed" not in page
        assert f"{60 - rows} more verdicts are in the ledger." in page
    if details:
        assert "## What changed" in page
    if details < 60:
        assert f"{60 - details} more details are in the report." in page
    if len(whole.encode()) + 400 <= limit:
        assert page == whole


def test_where_nothing_fits_nothing_is_written(long: Release) -> None:
    assert summary(long, 300) == ""
    assert github.SUMMARY_BYTES == 1 << 20


def test_annotations_name_the_spec_and_the_reason(path: Path) -> None:
    found = github.commands(made(path, verdict("a"), refuted("b"), undecided("c")).records)
    assert found == [
        "::error file=predictions/b.yaml,line=1,col=1,title=Claim refuted%3A b::Knapsack solvers "
        "do not rediscover dynamic programming%0Ainterchange-accuracy 0.700 [0.600, 0.800]%0A"
        "Upheld: interchange-accuracy lies below 0.25 in 2 of 2 subjects.",
        "::warning file=predictions/c.yaml,line=1,col=1,title=Inconclusive%3A c::Knapsack solvers "
        "do not rediscover dynamic programming%0Abudget-spent%0Ainterchange-accuracy 0.060 "
        "[0.010, 0.110]%0AUpheld: interchange-accuracy lies below 0.25 in 2 of 2 subjects.",
    ]


@pytest.mark.parametrize(("count", "shown", "rest"), [(10, 10, 0), (11, 10, 2), (40, 10, 31)])
def test_no_more_annotations_than_github_shows(
    path: Path, count: int, shown: int, rest: int
) -> None:
    bodies = [refuted(f"a-{i}") for i in range(count)] + [undecided(f"b-{i}") for i in range(count)]
    found = github.commands(made(path, *bodies).records)
    for level in ("error", "warning"):
        those = [each for each in found if each.startswith(f"::{level} ")]
        assert len(those) == shown
        assert (f"{rest} more are in the step's summary" in those[-1]) is bool(rest)


def unescaped(value: str) -> str:
    """As GitHub's runner does it."""
    for code, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        value = value.replace(code, char)
    return value


@given(st.text(), st.text(), st.text())
def test_no_text_ends_a_command_or_starts_another(message: str, file: str, title: str) -> None:
    line = github.command("error", message, file=file, title=title)
    assert "\n" not in line
    assert "\r" not in line
    head, properties, data = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
    assert head == "error"
    assert unescaped(data) == message
    assert [pair.partition("=")[0] for pair in properties.split(",")] == ["file", "title"]
    values = [unescaped(pair.partition("=")[2]) for pair in properties.split(",")]
    assert values == [file, title]


@pytest.mark.parametrize(
    ("bodies", "message", "colour"),
    [
        ([], "no verdicts", "lightgrey"),
        ([verdict("a"), verdict("b")], "2 pass", "brightgreen"),
        ([verdict("a"), undecided("b")], "1 pass, 1 inconclusive", "yellow"),
        ([error("a"), undecided("b")], "1 inconclusive, 1 error", "orange"),
        ([verdict("a"), refuted("b"), error("c")], "1 pass, 1 fail, 1 error", "red"),
    ],
)
def test_a_badge_has_the_colour_of_the_gravest(
    path: Path, bodies: list[dict[str, Any]], message: str, colour: str
) -> None:
    assert json.loads(badge(made(path, *bodies))) == {
        "schemaVersion": 1,
        "label": "mesa",
        "message": message,
        "color": colour,
    }


def test_junit_tells_each_verdict_with_its_numbers(path: Path) -> None:
    page = junit(made(path, verdict("a"), refuted("b"), undecided("c"), error("d")))
    suites = ET.fromstring(page.encode())
    (suite,) = suites
    sizes = {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")}
    assert sizes == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    cases = {case.attrib["name"]: case for case in suite}
    told = {name: [child.tag for child in case][1:] for name, case in cases.items()}
    assert told == {"a": [], "b": ["failure"], "c": ["skipped"], "d": ["error"]}
    properties = {p.attrib["name"]: p.attrib["value"] for p in cases["b"].iter("property")}
    assert properties["verdict"] == "fail"
    assert (properties["lower"], properties["upper"]) == ("0.6", "0.8")
    assert properties["weights_sha"] == "7" * 64
    assert cases["b"].attrib["file"] == "predictions/b.yaml"


@given(st.text(), st.text())
@settings(max_examples=50, deadline=None)
def test_hostile_text_stays_text_in_xml_and_markdown(
    tmp_path_factory: pytest.TempPathFactory, one: str, other: str
) -> None:
    path = tmp_path_factory.mktemp("hostile") / "ledger.jsonl"
    claim = verdict()["claim"] | {"title": other}
    hostile = undecided("a", message=one, claim=claim, lineup=one, src={"file": other, "line": 1})
    found = made(path, hostile | {"reason": other})
    (case,) = ET.fromstring(junit(found).encode())[0]
    assert [child.tag for child in case] == ["properties", "skipped"]
    page = summary(found)
    tags = re.findall(r"<(?!/?(?:details|summary)>)", re.sub(r"`[^`\n]*`", "", page))
    fenced = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    assert tags == [] or "<" not in re.sub(r"`[^`\n]*`|</?(details|summary)>", "", fenced)
