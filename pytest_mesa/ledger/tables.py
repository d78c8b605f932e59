"""What a verdict rests on, in Markdown: subjects, strata, controls, rivals, and the exhibit."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mesa.ledger import facts
from pytest_mesa.ledger.facts import Cell, Facts, Form, exhibit_fields, readings
from pytest_mesa.ledger.markdown import Bar, bracketed, code, fence, number_line, table, text
from pytest_mesa.ledger.records import Record

_FORMS = {Form.TEXT: text, Form.NUMBER: bracketed, Form.CODE: code}


def rendered(found: Facts) -> str:
    """The facts as a table; nothing where there are none."""
    if not found.rows:
        return ""
    return table(found.head, [[_cell(cell) for cell in row] for row in found.rows])


def drawing(record: Record) -> str:
    """Bounds of the verdict, its subjects and its controls against the regions."""
    regions = record["claim"].get("regions", {})
    bars = [Bar(name, entry["estimate"], *entry["bounds"]) for name, entry in readings(record)]
    return number_line(bars, regions.get("predicted", {}), regions.get("refuted", {}))


def sensitivity(record: Record) -> str:
    """Competence and limit of detection, as a list."""
    return "\n".join(f"- {line}" for line in facts.sensitivity(record))


def exhibit(exhibit: Mapping[str, object]) -> str:
    """``title``, then ``text`` as a block; the other fields only where no text tells them."""
    if not exhibit:
        return ""
    lines = [f"{text(exhibit['title'])}\n"] if exhibit.get("title") else []
    if "text" in exhibit:
        lines.append(f"{fence(str(exhibit['text']))}\n")
    lines += [f"- {text(name)}: {text(value)}" for name, value in exhibit_fields(exhibit)]
    return "\n".join(lines).strip()


def _cell(cell: Cell) -> str:
    return _FORMS[cell.form](cell.value)
