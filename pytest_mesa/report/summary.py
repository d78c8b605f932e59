"""A release's verdicts as Markdown that opens with the table and fits under a limit."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mesa.ledger import facts
from pytest_mesa.ledger.markdown import code, interval, region, text
from pytest_mesa.ledger.records import OUTCOMES, Record
from pytest_mesa.ledger.sections import mark, meaning, name
from pytest_mesa.ledger.tables import drawing, rendered, sensitivity
from pytest_mesa.report import comparison
from pytest_mesa.report.release import NOW, Release
from pytest_mesa.report.selection import DETAILED
from pytest_mesa.report.terminal import controls_text

_HEAD = (
    "prediction",
    "subjects",
    "verdict",
    "estimate",
    "predicted",
    "refuted",
    "controls",
    "e-BH",
)
# For the sentence that says what was cut.
_SPARE = 400


def summary(release: Release, limit: int | None = None) -> str:
    """The page. Where ``limit`` bytes of UTF-8 do not hold it, details go first, then the
    comparison, and rows of the table last of all; a sentence says what was left out. Nothing
    where there is no room for a table."""
    title = "# Verdicts" + (f" of {text(release.name)}" if release.name else "")
    opening = f"{title}\n\n{_sentence(release)}"
    head = "| " + " | ".join(_HEAD) + " |\n|" + " --- |" * len(_HEAD)
    budget = _Budget(limit)
    if not budget.take(f"{opening}\n\n{head}\n"):
        return ""
    rows = budget.fitting([_row(record, release) for record in release.records])
    parts = [opening, "\n".join([head, *rows])]
    if left_out := release.left_out + len(release.records) - len(rows):
        parts.append(f"{left_out:,} more verdicts are in the ledger.")
    details = [_detail(record) for record in release.records[:DETAILED]]
    shown = details
    if release.comparisons:
        told = comparison.markdown(release.comparisons, release.before, release.name or NOW)
        fitting = budget.fitting([f"## What changed\n\n{told}"])
        parts += fitting or [
            f"What changed does not fit here: {comparison.summary(release.comparisons)}; "
            "'mesa diff' lists it."
        ]
        shown = details if fitting else []
    shown = budget.fitting(shown)
    if shown:
        parts += ["## Details", *shown]
    if rest := len(release.records) - len(shown):
        parts.append(f"{rest:,} more details are in the report.")
    return "\n\n".join(parts) + "\n"


class _Budget:
    """Bytes that are still free, if they are limited."""

    def __init__(self, limit: int | None) -> None:
        self._free = None if limit is None else limit - _SPARE

    def take(self, part: str) -> bool:
        """Whether a part fits, with the blank line after it; it is counted if it does."""
        if self._free is None:
            return True
        size = len(part.encode()) + 2
        if size > self._free:
            return False
        self._free -= size
        return True

    def fitting(self, parts: Sequence[str]) -> list[str]:
        """The parts up to the first one that does not fit."""
        found: list[str] = []
        for part in parts:
            if not self.take(part):
                break
            found.append(part)
        return found


def _sentence(release: Release) -> str:
    counts = release.counts
    told = ", ".join(f"{counts[word]} {word}" for word in OUTCOMES if counts[word])
    return f"{told}." if told else "The ledger holds no verdict yet."


def _row(record: Record, release: Release) -> str:
    regions = record["claim"].get("regions", {})
    reason = f" ({text(record['reason'])})" if record["reason"] else ""
    cells = [
        code(name(record)),
        text(record["model"].get("ref", "")),
        mark(record) + reason,
        interval(record),
        region(regions.get("predicted", {})),
        region(regions.get("refuted", {})),
        text(controls_text(record)),
        "✓" if name(record) in release.kept else "",
    ]
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


def _detail(record: Record) -> str:
    parts = [
        f"<details><summary>{_summary_line(record)}</summary>",
        f"{mark(record)}: {meaning(record)}",
        text(record.get("message", "")),
    ]
    if record["verdict"] != "error":
        controls = rendered(facts.controls(record["controls"]))
        parts += [drawing(record), sensitivity(record), controls]
    src = record["src"]
    spec = code(f"{src.get('file', '')}:{src.get('line', 1)}")
    parts.append(f"spec {spec} ({record['locked']}) · record {code(record['sha'][:12])}")
    return "\n\n".join([*(part for part in parts if part), "</details>"])


def _summary_line(record: Record) -> str:
    # Inside this element Markdown is not read, HTML is.
    title = str(record["claim"].get("title", ""))
    return f"{_html(name(record))}: {_html(title)}"


def _html(value: str) -> str:
    flat = " ".join(value.split())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
