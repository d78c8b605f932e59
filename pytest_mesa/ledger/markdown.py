"""Markdown from untrusted text: escapes, tables, fences, and a number line in plain characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pytest_mesa.ledger import facts

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_BLOCK_START = re.compile(r"^([#>+=:-]|\d+(?=[.)]))")
_LINE_WIDTH = 61
_LABEL_WIDTH = 34


def text(value: object) -> str:
    """User text on one line, shown as it is: no markup, no HTML, no block at its start."""
    flat = " ".join(str(value).split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = _SPECIAL.sub(r"\\\1", flat)
    if found := _BLOCK_START.match(flat):
        # A digit can't be escaped, but the full stop after it can.
        end = found.end()
        flat = f"{flat[:end]}\\{flat[end:]}" if flat[0].isdigit() else f"\\{flat}"
    return flat


def code(value: object) -> str:
    """User text as a code span that also survives in a table cell."""
    flat = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{flat}`" if flat else ""


def fence(value: str) -> str:
    """User text as a code block, whatever backticks it holds."""
    longest = max((len(run) for run in re.findall(r"`+", value)), default=0)
    marks = "`" * max(3, longest + 1)
    clean = "\n".join(line.rstrip() for line in value.splitlines())
    return f"{marks}text\n{clean}\n{marks}"


def link(label: str, target: str) -> str:
    """A relative link; ``label`` is Markdown already."""
    return f"[{label}]({quote(target, safe='/#.-_~')})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell or '–' for cell in line)} |" for line in lines)


def bracketed(value: str) -> str:
    """Numbers of ours, whose brackets must not look like a link."""
    return value.replace("[", "\\[").replace("]", "\\]")


def interval(entry: Mapping[str, Any]) -> str:
    """``0.020 [0.000, 0.110]``, or nothing where there is no estimate."""
    return bracketed(facts.interval(entry))


def region(value: Mapping[str, Any]) -> str:
    """``< 0.25`` or ``> 0.5``."""
    return facts.region(value).replace("<", "&lt;").replace(">", "&gt;")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a number line: an estimate within its bounds."""

    label: str
    estimate: float
    low: float
    high: float


def number_line(
    bars: Sequence[Bar], predicted: Mapping[str, Any], refuted: Mapping[str, Any]
) -> str:
    """Bounds drawn under the regions, as a code block."""
    return fence("\n".join(number_rows(bars, predicted, refuted)))


def number_rows(
    bars: Sequence[Bar], predicted: Mapping[str, Any], refuted: Mapping[str, Any]
) -> list[str]:
    """Bounds drawn under the regions: ``+`` predicted, ``-`` refuted, ``.`` neither."""
    edges = [value for side in (predicted, refuted) for value in side.values()]
    values = [*edges, *(end for bar in bars for end in (bar.low, bar.high, bar.estimate))]
    low, high = min([0.0, *values]), max([1.0, *values])
    regions = [
        _mark(low + (high - low) * column / (_LINE_WIDTH - 1), predicted, refuted)
        for column in range(_LINE_WIDTH)
    ]
    return [
        _row("", _ticks(sorted({low, *edges, high}), low, high)),
        _row("regions", "".join(regions)),
        *(_row(bar.label, _bar(bar, low, high)) for bar in bars),
    ]


def _column(value: float, low: float, high: float) -> int:
    return round((value - low) / (high - low) * (_LINE_WIDTH - 1))


def _ticks(values: Sequence[float], low: float, high: float) -> str:
    line = ""
    for value in values:
        column, label = _column(value, low, high), f"{value:g}"
        if column >= len(line) + bool(line):
            line = line.ljust(column) + label
    return line


def _mark(value: float, predicted: Mapping[str, Any], refuted: Mapping[str, Any]) -> str:
    return "+" if _inside(value, predicted) else "-" if _inside(value, refuted) else "."


def _inside(value: float, side: Mapping[str, Any]) -> bool:
    if "below" in side:
        return bool(value < side["below"])
    return bool("above" in side and value > side["above"])


def _bar(bar: Bar, low: float, high: float) -> str:
    start, end = _column(bar.low, low, high), _column(bar.high, low, high)
    cells = [" "] * _LINE_WIDTH
    cells[start : end + 1] = "=" * (end + 1 - start)
    cells[start], cells[end] = "[", "]"
    cells[_column(bar.estimate, low, high)] = "*"
    return "".join(cells)


def _row(label: str, line: str) -> str:
    return f"{clipped(label, _LABEL_WIDTH):{_LABEL_WIDTH}}  {line}"


def clipped(label: str, width: int) -> str:
    """A label on one line of at most so many characters.

    Both ends tell labels apart: the source at the front, the seed at the back.
    """
    flat = " ".join(label.split())
    if len(flat) <= width:
        return flat
    half = (width - 1) // 2
    return f"{flat[: width - 1 - half]}…{flat[-half:]}"
