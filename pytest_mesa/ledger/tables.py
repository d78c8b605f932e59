"""What a verdict rests on, as tables: subjects, strata, controls, rivals, and the exhibit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_mesa.ledger.markdown import Bar, code, fence, interval, number, number_line, table, text
from pytest_mesa.ledger.records import Record


def drawing(record: Record) -> str:
    """Bounds of the verdict, its subjects and its controls against the regions."""
    regions = record["claim"].get("regions", {})
    labelled = [("all subjects", record)]
    labelled += [(_label(entry), entry) for entry in record["subjects"]]
    labelled += [(_label(entry), entry) for entry in record["controls"]]
    bars = [
        Bar(label, entry["estimate"], *entry["bounds"])
        for label, entry in labelled
        if interval(entry)
    ]
    return number_line(bars, regions.get("predicted", {}), regions.get("refuted", {}))


def sensitivity(record: Record) -> str:
    """Competence and limit of detection: what makes a small estimate mean something."""
    limit = record.get("detection_limit")
    seen = (
        f"limit of detection: {number(limit)} (a planted effect of that strength was seen in "
        "every subject)"
        if limit is not None
        else "limit of detection: not known (nothing was planted, or not seen in every subject)"
    )
    least = _competence(record["competence"]) or "not measured"
    return f"- competence of the least competent subject: {least}\n- {seen}"


def _competence(reading: Mapping[str, Any] | None) -> str:
    if not reading or not number(reading.get("estimate")):
        return ""
    needed = number(reading.get("at_least"))
    lower = number(reading.get("lower"))
    word = {True: ", reached", False: ", not reached"}.get(reading.get("ok", ""), "")
    bound = f", at least {lower}" if lower else ""
    return f"{number(reading['estimate'])}{bound} (needs {needed}{word})"


def subjects(entries: Sequence[Mapping[str, Any]]) -> str:
    """Each subject's part in the verdict."""
    head = ["subject", "verdict", "estimate", "n", "competence", "limit of detection", "weights"]
    rows = [
        [
            text(_label(entry)),
            text(entry.get("outcome", ""))
            + (f" ({text(entry['reason'])})" if entry.get("reason") else ""),
            interval(entry),
            f"{entry['n']:,}" if isinstance(entry.get("n"), int) else "",
            _competence(entry.get("competence")),
            number(entry.get("detection_limit")),
            code(str(entry.get("weights_sha", ""))[:12]),
        ]
        for entry in entries
    ]
    return table(head, rows) if rows else ""


def strata(entries: Sequence[Mapping[str, Any]]) -> str:
    """Each stratum over all subjects: the lowest lower and the highest upper bound."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        for stratum in entry.get("strata", []):
            if interval(stratum):
                found.setdefault(str(stratum.get("name", "")), []).append(stratum)
    rows = [
        [
            text(name),
            number(min(stratum["estimate"] for stratum in strata)),
            number(max(stratum["estimate"] for stratum in strata)),
            f"\\[{number(min(stratum['bounds'][0] for stratum in strata))}, "
            f"{number(max(stratum['bounds'][1] for stratum in strata))}\\]",
        ]
        for name, strata in found.items()
    ]
    head = ["stratum", "lowest subject", "highest subject", "all bounds lie in"]
    return table(head, rows) if len(rows) > 1 else ""


def controls(entries: Sequence[Mapping[str, Any]]) -> str:
    """What each control had to show, and whether it did."""
    rows = [
        [
            text(_label(entry)),
            "must be detected" if entry.get("expected") else "must not be detected",
            _seen(entry),
            interval(entry),
            "✓" if entry.get("ok") else "✗",
        ]
        for entry in entries
    ]
    return table(["control", "must", "was", "estimate", "as it must"], rows) if rows else ""


def _seen(entry: Mapping[str, Any]) -> str:
    """Whether a control was detected; where a rival accounts for it, which."""
    if entry.get("detected"):
        return "detected"
    names = sorted({str(name).partition("/")[0] for name in entry.get("explained_by", ())})
    return "not detected" + (f": accounted for by {text(', '.join(names))}" if names else "")


def rivals(entries: Sequence[Mapping[str, Any]]) -> str:
    """Each rival's best showing over all subjects and strata."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for rival in _rival_readings(entries):
        found.setdefault(str(rival.get("name", "")), []).append(rival)
    rows = [
        [
            text(rival),
            number(max(reading["estimate"] for reading in readings)),
            number(min(reading["lower"] for reading in readings)),
            f"{sum(reading['lower'] > 0 for reading in readings)} of {len(readings)}",
        ]
        for rival, readings in sorted(found.items())
    ]
    head = ["rival", "its highest score", "least margin over it (lower bound)", "left behind in"]
    return table(head, rows) if rows else ""


def _rival_readings(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        for stratum in entry.get("strata", []):
            for rival in stratum.get("rivals", []):
                if number(rival.get("estimate")) and number(rival.get("lower")):
                    yield rival


def exhibit(exhibit: Mapping[str, Any]) -> str:
    """``title``, then ``text`` as a block; the other fields only where no text tells them."""
    if not exhibit:
        return ""
    lines = [f"{text(exhibit['title'])}\n"] if exhibit.get("title") else []
    for key, value in exhibit.items():
        if key == "text":
            lines.append(f"{fence(str(value))}\n")
        elif key != "title" and "text" not in exhibit:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"- {text(str(key).replace('_', ' '))}: {text(shown)}")
    return "\n".join(lines).strip()


def _label(entry: Mapping[str, Any]) -> str:
    return str(entry.get("label", ""))
