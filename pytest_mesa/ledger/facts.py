"""What a verdict rests on, as tables without markup: the page and the report dress them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from pytest_mesa.ledger.records import Record


class Form(Enum):
    """How a cell is to be read: words of a user, numbers of ours, or a piece of a hash."""

    TEXT = "text"
    NUMBER = "number"
    CODE = "code"


class Cell(NamedTuple):
    """One cell; an empty one says that there is nothing to say."""

    value: str
    form: Form = Form.TEXT


class Facts(NamedTuple):
    """A table; one without rows is not worth showing."""

    head: tuple[str, ...]
    rows: list[list[Cell]]


def number(value: object) -> str:
    """An estimate as text: three decimals, or nothing for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    # Minus zero is no estimate that anyone would write.
    return f"{value:.3f}".replace("-0.000", "0.000")


def interval(entry: Mapping[str, Any]) -> str:
    """``0.020 [0.000, 0.110]``, or nothing where there is no estimate."""
    bounds = entry.get("bounds")
    if not number(entry.get("estimate")) or not isinstance(bounds, list) or len(bounds) != 2:
        return ""
    return f"{number(entry['estimate'])} [{number(bounds[0])}, {number(bounds[1])}]"


def region(value: Mapping[str, Any]) -> str:
    """``< 0.25`` or ``> 0.5``."""
    if isinstance(value.get("below"), int | float):
        return f"< {value['below']:g}"
    return f"> {value['above']:g}" if isinstance(value.get("above"), int | float) else ""


def label(entry: Mapping[str, Any]) -> str:
    """What a subject or control is called."""
    return str(entry.get("label", ""))


def readings(record: Record) -> list[tuple[str, Mapping[str, Any]]]:
    """The whole verdict, its subjects and its controls, by name, where they were measured."""
    named: list[tuple[str, Mapping[str, Any]]] = [("all subjects", record)]
    named += [(label(entry), entry) for entry in (*record["subjects"], *record["controls"])]
    return [(name, entry) for name, entry in named if interval(entry)]


def sensitivity(record: Record) -> tuple[str, str]:
    """Competence and limit of detection: what makes a small estimate mean something."""
    limit = record.get("detection_limit")
    seen = (
        f"limit of detection: {number(limit)} (a planted effect of that strength was seen in "
        "every subject)"
        if limit is not None
        else "limit of detection: not known (nothing was planted, or not seen in every subject)"
    )
    least = competence(record["competence"]) or "not measured"
    return f"competence of the least competent subject: {least}", seen


def competence(reading: Mapping[str, Any] | None) -> str:
    """``0.995, at least 0.988 (needs 0.950, reached)``, or nothing where it was not measured."""
    if not reading or not number(reading.get("estimate")):
        return ""
    needed = number(reading.get("at_least"))
    lower = number(reading.get("lower"))
    word = {True: ", reached", False: ", not reached"}.get(reading.get("ok", ""), "")
    bound = f", at least {lower}" if lower else ""
    return f"{number(reading['estimate'])}{bound} (needs {needed}{word})"


def subjects(entries: Sequence[Mapping[str, Any]]) -> Facts:
    """Each subject's part in the verdict."""
    head = ("subject", "verdict", "estimate", "n", "competence", "limit of detection", "weights")
    rows = []
    for entry in entries:
        count, reason = entry.get("n"), entry.get("reason")
        outcome = str(entry.get("outcome", "")) + (f" ({reason})" if reason else "")
        numbers = (
            interval(entry),
            f"{count:,}" if isinstance(count, int) else "",
            competence(entry.get("competence")),
            number(entry.get("detection_limit")),
        )
        rows.append(
            [Cell(label(entry)), Cell(outcome)]
            + [Cell(value, Form.NUMBER) for value in numbers]
            + [Cell(str(entry.get("weights_sha", ""))[:12], Form.CODE)]
        )
    return Facts(head, rows)


def strata(entries: Sequence[Mapping[str, Any]]) -> Facts:
    """Each stratum over all subjects: the lowest lower and the highest upper bound."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        for stratum in entry.get("strata", []):
            if interval(stratum):
                found.setdefault(str(stratum.get("name", "")), []).append(stratum)
    rows = [
        [
            Cell(name),
            Cell(number(min(stratum["estimate"] for stratum in those)), Form.NUMBER),
            Cell(number(max(stratum["estimate"] for stratum in those)), Form.NUMBER),
            Cell(
                f"[{number(min(stratum['bounds'][0] for stratum in those))}, "
                f"{number(max(stratum['bounds'][1] for stratum in those))}]",
                Form.NUMBER,
            ),
        ]
        for name, those in found.items()
    ]
    head = ("stratum", "lowest subject", "highest subject", "all bounds lie in")
    return Facts(head, rows if len(rows) > 1 else [])


def controls(entries: Sequence[Mapping[str, Any]]) -> Facts:
    """What each control had to show, and whether it did."""
    rows = [
        [
            Cell(label(entry)),
            Cell(_must(entry)),
            Cell(_seen(entry)),
            Cell(interval(entry), Form.NUMBER),
            Cell("✓" if entry.get("ok") else "✗"),
        ]
        for entry in entries
    ]
    return Facts(("control", "must", "was", "estimate", "as it must"), rows)


def _must(entry: Mapping[str, Any]) -> str:
    """What is known to be true of a control."""
    if reason := entry.get("must_withhold"):
        return f"must be left open: {reason}"
    return "must be detected" if entry.get("expected") else "must not be detected"


def _seen(entry: Mapping[str, Any]) -> str:
    """Whether a control was detected; where a rival accounts for it, which."""
    if entry.get("must_withhold") and entry["must_withhold"] == entry.get("blocked"):
        return "left open"
    if entry.get("detected"):
        return "detected"
    names = sorted({str(name).partition("/")[0] for name in entry.get("explained_by", ())})
    return "not detected" + (f": accounted for by {', '.join(names)}" if names else "")


def rivals(entries: Sequence[Mapping[str, Any]]) -> Facts:
    """Each rival's best showing over all subjects and strata."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for rival in _rival_readings(entries):
        found.setdefault(str(rival.get("name", "")), []).append(rival)
    rows = [
        [
            Cell(rival),
            Cell(number(max(reading["estimate"] for reading in those)), Form.NUMBER),
            Cell(number(min(reading["lower"] for reading in those)), Form.NUMBER),
            Cell(f"{sum(reading['lower'] > 0 for reading in those)} of {len(those)}", Form.NUMBER),
        ]
        for rival, those in sorted(found.items())
    ]
    head = ("rival", "its highest score", "least margin over it (lower bound)", "left behind in")
    return Facts(head, rows)


def _rival_readings(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        for stratum in entry.get("strata", []):
            for rival in stratum.get("rivals", []):
                if number(rival.get("estimate")) and number(rival.get("lower")):
                    yield rival


def exhibit_fields(exhibit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An exhibit's fields by name, where no text of its own tells them."""
    if "text" in exhibit:
        return []
    return [
        (
            str(key).replace("_", " "),
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
        )
        for key, value in exhibit.items()
        if key != "title"
    ]
