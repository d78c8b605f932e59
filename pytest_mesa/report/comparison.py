"""Two releases side by side: as lines for a terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from pytest_mesa.ledger.compare import Cause, Change, Comparison, Difference
from pytest_mesa.ledger.markdown import interval, table
from pytest_mesa.ledger.markdown import text as escaped
from pytest_mesa.ledger.records import Record
from pytest_mesa.registry.errors import printable
from pytest_mesa.report.terminal import Line, bounds_text
from pytest_mesa.subjects.listed_references import called

REGRESSION = "regression"
ENVIRONMENT = Cause.ENVIRONMENT.value
# What a reader has to see first stands first.
ORDER = (REGRESSION, *(change.value for change in Change if change is not Change.SAME), ENVIRONMENT)
_COLOURS = {REGRESSION: "red", Change.FLIPPED: "yellow", Change.LOST: "yellow"}
_COMPARED = (Change.FLIPPED, Change.LOST, Change.GAINED, Change.MOVED)
_SIDES = ("lineup", "ref", "revision", "weights_sha")


def headline(comparison: Comparison) -> str:
    """The comparison in one word or two; what the environment did is never the model's."""
    if comparison.is_regression:
        return REGRESSION
    if comparison.change in _COMPARED and comparison.cause is Cause.ENVIRONMENT:
        return ENVIRONMENT
    return comparison.change.value


def told(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that are not the same, the gravest first."""
    changed = [each for each in comparisons if each.change is not Change.SAME]
    return sorted(changed, key=lambda each: ORDER.index(headline(each)))


def summary(comparisons: Sequence[Comparison]) -> str:
    """``3 predictions compared: 1 regression, 2 same``."""
    counts = Counter(map(headline, comparisons))
    words = [word for word in (*ORDER, Change.SAME.value) if counts[word]]
    plural = "verdict" if len(comparisons) == 1 else "verdicts"
    listed = ", ".join(f"{counts[word]} {word}" for word in words)
    return f"{len(comparisons)} {plural} compared" + (f": {listed}" if listed else "")


def lines(comparisons: Sequence[Comparison], width: int) -> list[Line]:
    """What changed, for a terminal; the last line counts everything."""
    found = []
    for comparison in told(comparisons):
        head = headline(comparison)
        name = printable(_name(comparison))
        found.append(Line(f"{head}: {name}", _COLOURS.get(head, "")))
        for label, record in (("before", comparison.before), ("after", comparison.after)):
            if record is not None:
                found.append(Line(f"    {label:<6}  {_terminal(record)}"))
        found += [Line(text) for text in _wrapped(because(comparison), width)]
    return [*found, Line(summary(comparisons))]


def because(comparison: Comparison) -> str:
    """What the change can be put down to, with what differs between the runs."""
    if comparison.cause is None:
        return comparison.change.meaning
    parts = [comparison.change.meaning if headline(comparison) != REGRESSION else ""]
    if comparison.change is not Change.OTHER_SPEC:
        parts.append(comparison.cause.value)
    if comparison.is_confounded and comparison.change in _COMPARED:
        parts.append("the environment changed too, so either may be why")
    said = "; ".join(part for part in parts if part)
    listed = ", ".join(map(str, _lasting(comparison.differences)))
    return f"{said} ({listed})" if listed else said


def markdown(comparisons: Sequence[Comparison], before: str, after: str) -> str:
    """What changed, as a table under one sentence."""
    rows = [
        [
            f"**{headline(each)}**" if headline(each) == REGRESSION else headline(each),
            escaped(_name(each)),
            _markdown_side(each.before),
            _markdown_side(each.after),
            escaped(because(each)),
        ]
        for each in told(comparisons)
    ]
    sentence = f"{escaped(before)} → {escaped(after)}. {summary(comparisons)}."
    head = ["change", "prediction", "before", "after", "why"]
    return f"{sentence}\n\n{table(head, rows)}" if rows else sentence


def as_json(comparisons: Sequence[Comparison], before: str, after: str) -> dict[str, Any]:
    """Every comparison, those that are the same included."""
    return {
        "before": before,
        "after": after,
        "counts": dict(sorted(Counter(map(headline, comparisons)).items())),
        "comparisons": [
            {
                "prediction": each.prediction,
                "lineup": each.lineup,
                "change": each.change.value,
                "cause": each.cause.value if each.cause else None,
                "regression": each.is_regression,
                "confounded": each.is_confounded,
                "before": _side(each.before),
                "after": _side(each.after),
                "differences": [
                    {"name": d.name, "before": d.before, "after": d.after} for d in each.differences
                ],
            }
            for each in comparisons
        ],
    }


def _name(comparison: Comparison) -> str:
    lineup = called(comparison.lineup)
    return f"{comparison.prediction}[{lineup}]" if lineup else comparison.prediction


def _lasting(differences: Sequence[Difference]) -> list[Difference]:
    # The reference says already what the line-up says.
    names = {difference.name for difference in differences}
    return [d for d in differences if d.name != "lineup" or "subject" not in names]


def _terminal(record: Mapping[str, Any]) -> str:
    parts = [record["verdict"], bounds_text(record), record["reason"], record["model"]["ref"]]
    return "  ".join(printable(str(part)) for part in parts if part)


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(
        printable(text),
        max(width, 20),
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _markdown_side(record: Record | None) -> str:
    if record is None:
        return ""
    reason = f" ({escaped(record['reason'])})" if record["reason"] else ""
    return f"{record['verdict']}{reason} {interval(record)}".strip()


def _side(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    model = {"lineup": record.get("lineup", "")} | record["model"]
    names = ("verdict", "reason", "estimate", "bounds", "n", "spec_sha", "locked", "time", "sha")
    return {name: model.get(name, "") for name in _SIDES} | {
        name: record[name] for name in names if name in record
    }
