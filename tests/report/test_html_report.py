"""The HTML report: self-contained, accessible, deterministic, and deaf to what claims say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_bodies import control, error, subject, verdict
from report_pages import Node, parse

from pytest_mesa.ledger.append import append
from pytest_mesa.ledger.errors import LedgerError
from pytest_mesa.ledger.index import scan
from pytest_mesa.report import html as html_module
from pytest_mesa.report import selection
from pytest_mesa.report.figures import Mark, intervals
from pytest_mesa.report.html import render

STYLE = Path(html_module.__file__).with_name("style.css")
# Everything that a report may be made of: nothing here fetches, runs or submits.
TAGS = frozenset(
    ["html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "main",
     "section", "article", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span",
     "code", "blockquote", "ul", "li", "figure", "figcaption", "svg", "desc", "g", "rect", "line",
     "circle", "text", "details", "summary", "pre", "footer"]
)  # fmt: skip


def full(path: Path) -> Path:
    """A ledger with every outcome, an amendment to a claim and one to the ledger."""
    append(path, {"kind": "run", "plugin": "1", "git": {}, "env": {}, "counts": {}})
    append(path, verdict())
    append(path, verdict("knapsack-no-dp", estimate=0.2, bounds=[0.15, 0.24]))
    append(path, verdict("lm-claim", lineup="hf:org/m@v1", locked="differs"))
    append(
        path,
        verdict("lm-claim", lineup="hf:org/m@v2", verdict="fail", estimate=0.7, bounds=[0.6, 0.8]),
    )
    append(path, verdict("open", verdict="inconclusive", reason="budget-spent", remedy="more"))
    append(path, error("broken", "worker lost"))
    append(path, {"kind": "amend", "reason": "a slip", "prediction": "knapsack-no-dp"})
    append(path, {"kind": "amend", "reason": "a write was cut off"})
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return full(tmp_path / "ledger.jsonl")


def check_sound(page: str) -> Node:
    """What holds of every report, whatever the ledger says."""
    root = parse(page)
    nodes = root.all()
    assert {node.tag for node in nodes} <= TAGS
    for node in nodes:
        assert not any(name.startswith("on") or name == "style" for name in node.attributes)
        assert not {"src", "srcset", "action", "data", "ping"} & node.attributes.keys()
        for name in ("href", "xlink:href"):
            assert node.attributes.get(name, "#").startswith("#")
    ids = [node.attributes["id"] for node in nodes if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    assert {node.attributes["href"][1:] for node in root.all("a")} <= set(ids)
    policies = [n.attributes.get("content", "") for n in root.all("meta")]
    assert any(policy.startswith("default-src 'none'") for policy in policies)
    assert "url(" not in STYLE.read_text()
    assert "@import" not in STYLE.read_text()
    check_accessible(root)
    return root


def check_accessible(root: Node) -> None:
    assert root.all("html")[0].attributes["lang"] == "en"
    assert len(root.all("h1")) == len(root.all("main")) == 1
    for table in root.all("table"):
        (caption,) = table.all("caption")
        assert caption.text.strip()
        heads = table.all("th")
        assert heads
        assert all(head.attributes["scope"] in ("col", "row") for head in heads)
        widths = {len([c for c in row.children if isinstance(c, Node)]) for row in table.all("tr")}
        assert len(widths) == 1
    for drawing in root.all("svg"):
        assert drawing.attributes["role"] == "img"
        assert drawing.attributes["aria-label"]
        tags = [child.tag for child in drawing.children if isinstance(child, Node)]
        assert tags[:2] == ["title", "desc"]
    for frame in root.all("div"):
        assert frame.attributes["tabindex"] == "0"
        assert frame.attributes["aria-label"]


def test_the_report_shows_everything_that_a_verdict_rests_on(path: Path) -> None:
    root = check_sound(render(scan(path)))
    text = " ".join(root.text.split())
    for said in (
        "5 verdicts: 2 pass, 1 fail, 1 inconclusive, 1 error.",
        "Knapsack solvers do not rediscover dynamic programming",
        "Note: The table's rows are the best value per capacity.",
        "interchange-accuracy: 0.200 [0.150, 0.240] at alpha 0.05, n = 6,000",
        "competence of the least competent subject: 0.996, at least 0.985 (needs 0.900, reached)",
        "limit of detection: 0.200 (a planted effect",
        "recipe:knapsack-decoder seed 1",
        "control: compiled:prefix-dp",
        "Exhibit: The smallest knapsack that the subject gets wrong",
        "raw-items",
        "What would settle it: more.",
        "Exploratory: the spec has changed since it was locked.",
        "worker lost: it was killed by SIGKILL",
        "a slip",
        "a write was cut off",
        "moved; nothing on record differs",
        "Rendered from 9 records",
    ):
        assert said in text, said
    (overview, *_) = root.all("table")
    rows = [link.text for link in overview.all("a")]
    assert rows == [
        "broken", "knapsack-no-dp", "lm-claim[hf:org/m@v1]", "lm-claim[hf:org/m@v2]", "open"
    ]  # fmt: skip
    items = {item.attributes["id"] for item in root.all("h3") if "id" in item.attributes}
    assert items == {
        "broken", "knapsack-no-dp", "lm-claim--hf%3Aorg%2Fm%40v1", "lm-claim--hf%3Aorg%2Fm%40v2",
        "open",
    }  # fmt: skip


def test_equal_ledgers_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    assert render(scan(copy)) == render(scan(path))


def test_an_empty_ledger_has_a_report_too(tmp_path: Path) -> None:
    root = check_sound(render(scan(tmp_path / "none.jsonl")))
    assert "The ledger holds no verdict yet." in root.text


HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><a href="javascript:alert(1)">',
    "' onmouseover='alert(1)",
    "<!-- ",
    "]]> <![CDATA[",
    "&lt;b&gt; &amp; &#x3c;",
    "\x00\x1b[31m\u202e\ud7ff",
    "{{7*7}} ${7*7}",
]


WORD = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20), st.text("<>&\"'/=- a", max_size=9))


@given(st.lists(WORD, min_size=8, max_size=8))
@settings(max_examples=40, deadline=None)
def test_hostile_text_stays_text(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    path = tmp_path_factory.mktemp("hostile") / "ledger.jsonl"
    a, b, c, d, e, f, g, h = words
    claim = verdict()["claim"] | {"title": a, "claim": b, "notes": [c], "estimand": d}
    append(
        path,
        verdict(
            "x" + a, lineup=e, claim=claim, reason=f, message=g, plugin=h, remedy=a,
            model={"ref": b, "revision": c, "weights_sha": d}, src={"file": e, "line": 1},
            exhibit={"title": f, "text": g}, env={h: a}, git={"commit": b, "dirty": True},
            subjects=[subject(0, 0.1) | {"label": c, "reason": d, "weights_sha": e}],
            controls=[control(f, 0.9, expected=True) | {"explained_by": [g]}],
        ),
    )  # fmt: skip
    append(path, verdict("y", lineup=h, claim=claim, exhibit={a: b, c: [d]}))
    append(path, error("z", reason="r" + e) | {"message": f})
    append(path, {"kind": "amend", "reason": g, "prediction": "y"})
    page = render(scan(path))
    root = check_sound(page)
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page) is None
    blocks = [quote.text.strip() for quote in root.all("blockquote")]
    if b.strip() and b.isprintable():
        assert b.strip() in blocks


def test_a_long_ledger_is_shown_by_its_newest_verdicts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "ROWS", 3)
    monkeypatch.setattr(selection, "DETAILED", 1)
    monkeypatch.setattr(selection, "HISTORY", 1)
    append(path, verdict("lm-claim", lineup="hf:org/m@v3"))
    root = check_sound(render(scan(path)))
    rows = [link.text for link in root.all("table")[0].all("a")]
    assert rows == ["broken", "lm-claim[hf:org/m@v3]", "open"]
    assert "3 line-ups that were measured longer ago are in the ledger" in root.text
    assert [node.text.split()[-1] for node in root.all("h3")] == [
        "History", "hf:org/m@v3", "History", "History"
    ]  # fmt: skip
    assert "1 more line-ups are in the table of verdicts above." in root.text
    assert "2 earlier in the ledger." in root.text


def test_a_damaged_record_is_refused_not_shown(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"estimate":0.7', b'"estimate":0.1', 1))
    with pytest.raises(LedgerError, match=r"ledger\.jsonl:5"):
        render(scan(path))


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_all_text_has_contrast_enough(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
    for ink in ("ink", "soft", "pass", "fail", "open", "error", "link"):
        for paper in ("paper", "raised"):
            light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
    for paper in ("held", "broke"):
        light, dark = sorted((luminance(colours["ink"]), luminance(colours[paper])))[::-1]
        assert (light + 0.05) / (dark + 0.05) >= 4.5, paper


REGIONS = {"predicted": {"below": 0.25}, "refuted": {"above": 0.5}}
READING = st.tuples(*[st.floats(-3, 3)] * 3).map(
    lambda v: {"bounds": sorted(v)[::2], "estimate": sorted(v)[1]}
)


@given(st.lists(READING, min_size=1, max_size=5))
def test_a_figure_keeps_the_order_of_numbers(readings: list[dict[str, Any]]) -> None:
    drawing = parse(intervals("t", [Mark(f"m{i}", r) for i, r in enumerate(readings)], REGIONS))
    ticks = [n for n in drawing.all("text") if n.attributes.get("class") == "soft"]
    values = [*(v for r in readings for v in (*r["bounds"], r["estimate"])), 0.0, 1.0]
    low, high = min(values), max(values)
    for node, reading in zip(drawing.all("g"), readings, strict=True):
        bar, dot = node.all("line")[0].attributes, node.all("circle")[0].attributes
        places = [float(bar["x1"]), float(dot["cx"]), float(bar["x2"])]
        expected = [reading["bounds"][0], reading["estimate"], reading["bounds"][1]]
        for place, value in zip(places, expected, strict=True):
            assert place == pytest.approx(280 + (value - low) / (high - low) * 440, abs=0.06)
    assert {"predicted", "refuted"} <= {tick.text for tick in ticks}
    shapes = {n.attributes["class"]: n.attributes for n in drawing.all("rect")}
    edge = float(shapes["predicted"]["x"]) + float(shapes["predicted"]["width"])
    assert edge == pytest.approx(280 + (0.25 - low) / (high - low) * 440, abs=0.15)


def test_nothing_measured_is_no_figure() -> None:
    assert intervals("t", [Mark("m", {"label": "m"})], REGIONS) == ""
