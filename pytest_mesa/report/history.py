"""A claim's verdicts in time: a strip of intervals and a list for a terminal, and JSON."""

from __future__ import annotations

from typing import Any

from pytest_mesa.ledger.compare import Comparison, Difference
from pytest_mesa.ledger.history import History, Step
from pytest_mesa.ledger.markdown import Bar, number_rows
from pytest_mesa.registry.errors import printable
from pytest_mesa.report.comparison import headline
from pytest_mesa.report.terminal import bounds_text, region_text
from pytest_mesa.subjects.listed_references import called

# A strip longer than a screen or two says less than the list.
_STRIP = 60


def lines(history: History) -> list[str]:
    """The strip of the last verdicts with a number, then every step, oldest first."""
    return [*_title(history), *_strip(history), "", *_list(history)]


def as_json(history: History) -> dict[str, Any]:
    """Everything that the list says, as data."""
    return {
        "prediction": history.prediction,
        "lineup": history.lineup,
        "earlier": history.earlier,
        "verdicts": [_step_json(step) for step in history.steps],
        "amendments": [
            {"line": line, "time": record["time"], "reason": record["reason"]}
            for line, record in history.amendments
        ],
    }


def changes(step: Step) -> str:
    """What changed since the verdict before: in the run, and then in the result."""
    since = step.since
    if since.before is None:
        return "the first verdict"
    causes = [str(difference) for difference in since.differences if not _is_implied(difference)]
    result = headline(since)
    return f"{result}; {', '.join(causes) or 'nothing on record differs'}"


def _title(history: History) -> list[str]:
    record = history.steps[-1].record
    regions = record["claim"].get("regions", {})
    both = " · ".join(
        f"{side} {region_text(regions[side])}"
        for side in ("predicted", "refuted")
        if regions.get(side)
    )
    claim = record["claim"]
    return [
        f"{history.prediction}: {printable(str(claim.get('title', '')))}",
        printable(f"{claim.get('estimand', '')}, {both}"),
        "",
    ]


def _strip(history: History) -> list[str]:
    newest = history.steps[-1].record
    regions = newest["claim"].get("regions", {})
    # Another spec may have other regions, or another scale.
    bars = [
        Bar(_label(step), step.record["estimate"], *step.record["bounds"])
        for step in history.steps[-_STRIP:]
        if "estimate" in step.record and step.record["spec_sha"] == newest["spec_sha"]
    ]
    if not bars:
        return []
    rows = number_rows(bars, regions.get("predicted", {}), regions.get("refuted", {}))
    return [row.rstrip() for row in rows]


def _label(step: Step) -> str:
    return printable(f"{step.record['time'][:10]} {_who(step)}")


def _list(history: History) -> list[str]:
    rows = [(step.line, _step(step)) for step in history.steps]
    rows += [
        (line, [f"{record['time']}  amendment  {printable(record['reason'])}"])
        for line, record in history.amendments
    ]
    found = [f"{history.earlier:,} earlier: --all lists them"] if history.earlier else []
    width = max(len(str(line)) for line, _ in rows)
    for line, (first, *rest) in sorted(rows, key=lambda row: row[0]):
        found.append(f"{line:>{width}}  {first}")
        found += [f"{'':>{width}}      {text}" for text in rest]
    return found


def _step(step: Step) -> list[str]:
    record = step.record
    mark = "" if record["locked"] == "locked" else "*"
    parts = [record["time"], record["verdict"] + mark, bounds_text(record), record["reason"]]
    first = "  ".join(part for part in (*parts, _who(step)) if part)
    return [printable(first), printable(changes(step))]


def _who(step: Step) -> str:
    return called(str(step.record.get("lineup") or step.record["model"].get("ref", "")))


def _is_implied(difference: Difference) -> bool:
    return difference.name == "lineup"


def _step_json(step: Step) -> dict[str, Any]:
    record, since = step.record, step.since
    names = ("time", "verdict", "reason", "estimate", "bounds", "n", "locked", "spec_sha", "sha")
    return (
        {"line": step.line, "lineup": record.get("lineup", ""), "model": record["model"]}
        | {name: record[name] for name in names if name in record}
        | {"since": _since_json(since)}
    )


def _since_json(since: Comparison) -> dict[str, Any] | None:
    if since.before is None:
        return None
    return {
        "sha": since.before.get("sha", ""),
        "change": since.change.value,
        "cause": since.cause.value if since.cause else None,
        "regression": since.is_regression,
        "differences": [
            {"name": d.name, "before": d.before, "after": d.after} for d in since.differences
        ],
    }
