"""The verdict table for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

_GAP = "  "
_COLOURS = {"pass": "green", "fail": "red", "error": "red", "inconclusive": "yellow"}
# Columns that always stay in the row; the others move to lines of their own, last first,
# where the terminal is too narrow.
_FIXED = 3
_HEADS = (
    "prediction",
    "verdict",
    "estimate [bounds]",
    "subject",
    "predicted / refuted",
    "n",
    "controls",
    "competence",
    "reason",
)
_SUBJECT_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One item's outcome. ``record`` is the body of its ledger record, if it left one."""

    nodeid: str
    category: str
    note: str
    record: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table and its colour, which is empty for the terminal's own."""

    text: str
    colour: str = ""


def verdict_table(rows: Sequence[Row], width: int) -> list[Line]:
    """The table's lines, none wider than ``width`` as far as single words allow."""
    if not rows:
        return []
    cells = [_cells(row) for row in rows]
    kept = _fitting(cells, width)
    widths = [max(len(line[i]) for line in (_HEADS, *cells)) for i in range(kept)]
    lines = [Line(_joined(_HEADS[:kept], widths))]
    for row, values in zip(rows, cells, strict=True):
        lines.append(Line(_joined(values[:kept], widths), _colour(row)))
        lines += [Line(text) for text in _rest(values[kept:], _HEADS[kept:], width)]
    if any(row.record is not None and row.record["locked"] != "locked" for row in rows):
        lines.append(Line("* exploratory: the spec is not as mesa.lock has it"))
    return lines


def bounds_text(record: Mapping[str, Any]) -> str:
    """``0.031 [0.012, 0.064]``, or nothing where nothing was measured."""
    if "estimate" not in record:
        return ""
    lower, upper = record["bounds"]
    return f"{record['estimate']:.3f} [{lower:.3f}, {upper:.3f}]"


def region_text(region: Mapping[str, float]) -> str:
    """``< 0.25`` or ``> 0.5``."""
    return f"< {region['below']:g}" if "below" in region else f"> {region['above']:g}"


def controls_text(record: Mapping[str, Any]) -> str:
    """``3 of 4 ok``, with the labels of those that were misread."""
    controls = record.get("controls", [])
    wrong = [control["label"] for control in controls if not control["ok"]]
    text = f"{len(controls) - len(wrong)} of {len(controls)} ok" if controls else ""
    return f"{text} (not: {', '.join(wrong)})" if wrong else text


def _cells(row: Row) -> tuple[str, ...]:
    record = row.record
    name = row.nodeid.partition("::")[2] or row.nodeid
    if record is None:
        return (name, row.category, "", "", "", "", "", "", row.note)
    verdict = record["verdict"] + ("" if record["locked"] == "locked" else "*")
    regions = record["claim"]["regions"]
    both = f"{region_text(regions['predicted'])} / {region_text(regions['refuted'])}"
    subject = record["model"]["ref"]
    if len(subject) > _SUBJECT_WIDTH:
        subject = subject[: _SUBJECT_WIDTH - 1] + "…"
    count = f"{record['n']:,}" if "n" in record else ""
    reason = "; ".join(part for part in (record["reason"], row.note) if part)
    return (
        name,
        verdict,
        bounds_text(record),
        subject,
        both,
        count,
        controls_text(record),
        _competence_text(record),
        reason,
    )


def _competence_text(record: Mapping[str, Any]) -> str:
    competence = record.get("competence")
    if not competence:
        return ""
    relation = "≥" if competence["ok"] else "not ≥"
    return f"{competence['lower']:.3f} {relation} {competence['at_least']:g}"


def _fitting(cells: Iterable[Sequence[str]], width: int) -> int:
    """How many columns fit into the width, the fixed ones at least."""
    widths = [max(map(len, column)) for column in zip(_HEADS, *cells, strict=True)]
    kept = len(_HEADS)
    while kept > _FIXED and sum(widths[:kept]) + len(_GAP) * (kept - 1) > width:
        kept -= 1
    return kept


def _joined(values: Sequence[str], widths: Sequence[int]) -> str:
    padded = (value.ljust(size) for value, size in zip(values, widths, strict=True))
    return _GAP.join(padded).rstrip()


def _rest(values: Sequence[str], heads: Sequence[str], width: int) -> list[str]:
    """What did not fit, as named values below the row."""
    text = " · ".join(f"{head} {value}" for head, value in zip(heads, values, strict=True) if value)
    return wrap(
        text,
        max(width, 20),
        initial_indent="    ",
        subsequent_indent="    ",
        # Reasons and recipes have hyphens, and are searched for as one word.
        break_on_hyphens=False,
        break_long_words=False,
    )


def _colour(row: Row) -> str:
    if row.record is None:
        return "yellow" if row.category == "inconclusive" else "red"
    return _COLOURS[row.record["verdict"]]
