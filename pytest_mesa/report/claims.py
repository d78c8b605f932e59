"""One claim's section of the report: its history, and each line-up's verdict with its grounds."""

from __future__ import annotations

from urllib.parse import quote

from pytest_mesa.ledger import facts
from pytest_mesa.ledger.facts import exhibit_fields, interval, label
from pytest_mesa.ledger.history import Step
from pytest_mesa.ledger.records import Record
from pytest_mesa.ledger.sections import LOCKS, SYMBOLS, name
from pytest_mesa.report.figures import Mark, intervals
from pytest_mesa.report.history import changes
from pytest_mesa.report.markup import (
    Html,
    element,
    facts_table,
    joined,
    number,
    paragraph,
    table,
    text,
)
from pytest_mesa.report.selection import Claim
from pytest_mesa.subjects.listed_references import called


def claim_section(claim: Claim) -> Html:
    """A claim: what it says, where it stood in time, and what each verdict rests on."""
    newest = claim.history.steps[-1].record
    about = newest["claim"]
    more = (
        f"{claim.undetailed:,} more line-ups are in the table of verdicts above."
        if claim.undetailed
        else ""
    )
    parts = [
        element("h2", text(claim.prediction), id=claim_anchor(claim.prediction)),
        paragraph(str(about.get("title", ""))),
        element("blockquote", paragraph(str(about.get("claim", "")))),
        *(paragraph(f"Note: {note}", class_="note") for note in about.get("notes", [])),
        *map(_verdict, claim.detailed),
        paragraph(more, class_="note"),
        *_history(claim),
    ]
    return element("section", Html("\n"), joined(parts), Html("\n"))


def claim_anchor(prediction: str) -> str:
    """The id of a claim's section."""
    return f"claim-{quote(prediction, safe='')}"


def verdict_anchor(record: Record) -> str:
    """The id of a line-up's verdict."""
    lineup = quote(str(record.get("lineup", "")), safe="")
    return quote(str(record["prediction"]), safe="") + (f"--{lineup}" if lineup else "")


def verdict_mark(record: Record) -> Html:
    """The verdict as symbol and word, so that colour is no more than a help."""
    word = record["verdict"]
    exploratory = " (exploratory)" if record["locked"] in LOCKS else ""
    return element(
        "span", text(f"{SYMBOLS.get(word, '')} {word}{exploratory}"), class_=f"verdict {word}"
    )


def _verdict(record: Record) -> Html:
    """A line-up's newest verdict, from the sentence that tells it to its provenance."""
    who = called(str(record.get("lineup") or record["model"].get("ref", "")))
    reason = f"{record['reason']}: " if record["reason"] else ""
    message = str(record.get("message", ""))
    parts = [
        element("h3", verdict_mark(record), text(f" {who}"), id=verdict_anchor(record)),
        paragraph(reason + message),
        paragraph(f"What would settle it: {record['remedy']}." if record.get("remedy") else ""),
        paragraph(f"Exploratory: {LOCKS[record['locked']]}." if record["locked"] in LOCKS else ""),
    ]
    if record["verdict"] != "error":
        parts += _grounds(record)
    parts.append(element("p", *_provenance(record), class_="note"))
    return element("article", joined(parts), aria_label=name(record))


def _grounds(record: Record) -> list[Html]:
    estimand = str(record["claim"].get("estimand", "estimate"))
    able, seen = facts.sensitivity(record)
    marks = [
        Mark("all subjects", record, "whole"),
        *(Mark(label(entry), entry) for entry in record["subjects"]),
        *(Mark(f"control: {label(entry)}", entry, "control") for entry in record["controls"]),
    ]
    return [
        intervals(f"{estimand} of {name(record)}", marks, record["claim"].get("regions", {})),
        element(
            "ul",
            element(
                "li",
                text(f"{estimand}: {interval(record)} at alpha {record['alpha']:g}, "),
                text(f"n = {record['n']:,}"),
            ),
            element("li", text(able)),
            element("li", text(seen)),
        ),
        facts_table("Subjects", facts.subjects(record["subjects"])),
        facts_table("Strata", facts.strata(record["subjects"])),
        facts_table("Controls", facts.controls(record["controls"])),
        facts_table("Rival explanations", facts.rivals(record["subjects"])),
        _exhibit(record),
    ]


def _exhibit(record: Record) -> Html:
    exhibit = record.get("exhibit") or {}
    if not exhibit:
        return Html("")
    fields = [element("li", text(f"{key}: {value}")) for key, value in exhibit_fields(exhibit)]
    parts = [
        element("summary", text(f"Exhibit: {exhibit.get('title', 'an instance')}")),
        element("pre", text(exhibit["text"]), tabindex="0") if "text" in exhibit else Html(""),
        element("ul", *fields) if fields else Html(""),
    ]
    return Html(f"<details open>{joined(parts)}</details>")


def _provenance(record: Record) -> list[Html]:
    src, git = record["src"], record["git"]
    commit = str(git.get("commit", ""))[:12]
    pieces = [
        ("spec ", f"{src.get('file', '')}:{src.get('line', 1)}"),
        (f"({record['locked']}) ", record["spec_sha"][:12]),
        ("weights ", str(record["model"].get("weights_sha", ""))[:12]),
        ("plugin ", record["plugin"]),
        ("with changes to commit " if git.get("dirty") else "commit ", commit),
        ("record ", record["sha"][:12]),
    ]
    found = [Html(text(what) + element("code", text(value))) for what, value in pieces if value]
    said = text(f"seed {record['seed']}; {record['time']}, {record['duration_s']:g} s")
    return [Html(" · ".join([*found, said]))]


def _history(claim: Claim) -> list[Html]:
    """The last verdicts on a claim, drawn where the spec is the newest one's, and listed."""
    steps = claim.history.steps
    newest = steps[-1].record
    marks = [
        Mark(f"{step.record['time'][:10]} {_who(step)}", step.record)
        for step in steps
        if step.record["spec_sha"] == newest["spec_sha"]
    ]
    rows = [(step.line, _history_row(step)) for step in steps]
    rows += [
        (line, [number(str(line)), text(record["time"]), text("amendment"), Html(""), Html(""),
                text(record["reason"])])
        for line, record in claim.history.amendments
    ]  # fmt: skip
    rows.sort(key=lambda row: row[0])
    earlier = claim.history.earlier
    head = ("line", "time", "verdict", "estimate", "subjects", "what changed")
    title = f"History of {claim.prediction}"
    return [
        element("h3", text("History")),
        intervals(title, marks, newest["claim"].get("regions", {})) if len(marks) > 1 else Html(""),
        table(title, head, [row for _, row in rows]),
        paragraph(f"{earlier:,} earlier in the ledger." if earlier else "", class_="note"),
    ]


def _history_row(step: Step) -> list[Html]:
    record = step.record
    reason = f" ({record['reason']})" if record["reason"] else ""
    return [
        number(str(step.line)),
        text(record["time"]),
        Html(verdict_mark(record) + text(reason)),
        number(interval(record)),
        text(_who(step)),
        text(changes(step)),
    ]


def _who(step: Step) -> str:
    return called(str(step.record.get("lineup") or step.record["model"].get("ref", "")))
