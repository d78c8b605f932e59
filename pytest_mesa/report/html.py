"""The ledger as one HTML file: nothing is fetched, nothing is run, and equal ledgers give
equal bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pytest_mesa.ledger.facts import interval, region
from pytest_mesa.ledger.index import Index
from pytest_mesa.ledger.records import OUTCOMES, Record
from pytest_mesa.ledger.results import REGISTRY_ALPHA
from pytest_mesa.ledger.sections import name
from pytest_mesa.report.claims import claim_anchor, claim_section, verdict_anchor, verdict_mark
from pytest_mesa.report.markup import Html, element, joined, number, paragraph, table, text
from pytest_mesa.report.selection import Selection, select
from pytest_mesa.report.terminal import controls_text

_STYLE = Path(__file__).with_name("style.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TITLE = "Verdicts on optimisation inside neural networks"
_CAPTION = "The newest verdict on each claim and line-up"
_LEGEND = (
    "pass: the claim is upheld, its bounds lie in the predicted region. fail: it is refuted. "
    "inconclusive: neither, for the reason given. error: the run broke, which says nothing "
    "about the claim. Bounds hold at each prediction's own alpha, however often scores were "
    "looked at; those over nets of a ladder hold for each record by itself. "
    "e-BH: the conclusion survives among all in this table at a false discovery "
    f"rate of {REGISTRY_ALPHA:g}. Exploratory: the spec was not locked as it was run."
)


def render(index: Index) -> str:
    """The report on a ledger.

    Raises:
        LedgerError: a record that is shown is damaged.
    """
    shown = select(index)
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            element("title", text(_TITLE)),
            element("style", Html(_STYLE.read_text("utf-8"))),
        ]
    )
    body = joined(
        [
            Html('<a class="skip" href="#verdicts">To the verdicts</a>'),
            element("header", element("h1", text(_TITLE)), paragraph(_summary(shown))),
            element("main", Html("\n"), joined(_main(shown)), Html("\n")),
            element("footer", paragraph(_footer(shown))),
        ]
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _main(shown: Selection) -> list[Html]:
    if not shown.rows:
        return [element("p", text("The ledger holds no verdict yet."), id="verdicts")]
    return [
        element("section", _verdicts(shown), id="verdicts", aria_label="All verdicts"),
        *map(claim_section, shown.claims),
        _amendments(shown),
    ]


def _summary(shown: Selection) -> str:
    counts = Counter(record["verdict"] for record in shown.rows)
    told = ", ".join(f"{counts[word]} {word}" for word in OUTCOMES if counts[word])
    plural = "verdict" if len(shown.rows) == 1 else "verdicts"
    return f"{len(shown.rows):,} {plural}: {told}." if told else ""


def _verdicts(shown: Selection) -> Html:
    head = ("prediction", "subjects", "verdict", "estimate", "predicted", "refuted", "n")
    detailed = {id(record) for claim in shown.claims for record in claim.detailed}
    rows = [
        _row(record, is_detailed=id(record) in detailed, survives=name(record) in shown.kept)
        for record in shown.rows
    ]
    left_out = (
        f"{shown.left_out:,} line-ups that were measured longer ago are in the ledger; "
        "'mesa history CLAIM' lists them."
        if shown.left_out
        else ""
    )
    return joined(
        [
            table(_CAPTION, (*head, "controls", "e-BH"), rows),
            paragraph(left_out, class_="note"),
            paragraph(_LEGEND, class_="note"),
        ]
    )


def _row(record: Record, *, is_detailed: bool, survives: bool) -> list[Html]:
    target = verdict_anchor(record) if is_detailed else claim_anchor(record["prediction"])
    regions = record["claim"].get("regions", {})
    count = record.get("n")
    return [
        element("a", text(name(record)), href=f"#{target}"),
        text(record["model"].get("ref", "")),
        verdict_mark(record),
        number(interval(record)),
        number(region(regions.get("predicted", {}))),
        number(region(regions.get("refuted", {}))),
        number(f"{count:,}" if isinstance(count, int) else ""),
        text(controls_text(record)),
        text("yes" if survives else ""),
    ]


def _amendments(shown: Selection) -> Html:
    if not shown.amendments:
        return Html("")
    rows = [
        [number(str(line)), text(record["time"]), text(record["reason"])]
        for line, record in shown.amendments
    ]
    return element(
        "section",
        element("h2", text("Amendments to the ledger")),
        table("Amendments to the ledger itself", ("line", "time", "reason"), rows),
    )


def _footer(shown: Selection) -> str:
    plural = "record" if shown.size == 1 else "records"
    last = f", the last of them {shown.head[:12]}" if shown.head else ""
    return f"Rendered from {shown.size:,} {plural}{last}."
