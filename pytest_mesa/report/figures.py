"""Intervals against the regions of a claim, as inline SVG that prints and prefers dark too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mesa.ledger.facts import interval, region
from pytest_mesa.ledger.markdown import clipped
from pytest_mesa.report.markup import Html, element, text

# Pixels.
_LABEL, _PLOT, _MARGIN, _ROW, _TOP, _BOTTOM = 280, 440, 16, 20, 22, 24
_LABEL_CHARS = 42
_CHAR = 7


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of a figure: a reading, by name; ``role`` decides how heavy it is drawn."""

    label: str
    reading: Mapping[str, Any]
    role: Literal["whole", "subject", "control"] = "subject"


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return _LABEL + (value - self.low) / (self.high - self.low) * _PLOT


def intervals(title: str, marks: Sequence[Mark], regions: Mapping[str, Any]) -> Html:
    """Each reading's estimate and bounds on one axis; nothing without a reading."""
    marks = [mark for mark in marks if interval(mark.reading)]
    if not marks:
        return Html("")
    sides = {name: regions.get(name) or {} for name in ("predicted", "refuted")}
    edges = sorted({float(edge) for side in sides.values() for edge in side.values()})
    ends = [float(end) for mark in marks for end in mark.reading["bounds"]]
    estimates = [float(mark.reading["estimate"]) for mark in marks]
    values = [0.0, 1.0, *edges, *ends, *estimates]
    scale = _Scale(min(values), max(values))
    bottom = _TOP + _ROW * len(marks)
    width, height = _LABEL + _PLOT + _MARGIN, bottom + _BOTTOM
    said = "; ".join(f"{mark.label} {interval(mark.reading)}" for mark in marks)
    parts = [
        element("title", text(title)),
        element("desc", text(f"{_said(sides)}. {said}")),
        *(_region(name, side, scale, bottom) for name, side in sides.items() if side),
        *(_line(scale.x(edge), _TOP, scale.x(edge), bottom, "edge") for edge in edges),
        *(_row(mark, scale, _TOP + _ROW * (n + 0.5)) for n, mark in enumerate(marks)),
        *_ticks(edges, scale, bottom),
    ]
    drawing = Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{text(title)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        + "\n".join(parts)
        + "</svg>"
    )
    return element("figure", drawing, element("figcaption", text(title)))


def _said(sides: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name} {region(side)}" for name, side in sides.items() if side)


def _region(name: str, side: Mapping[str, Any], scale: _Scale, bottom: int) -> Html:
    low = scale.x(float(side["above"])) if "above" in side else scale.x(scale.low)
    high = scale.x(float(side["below"])) if "below" in side else scale.x(scale.high)
    shape = (
        f'<rect class="{name}" x="{low:.1f}" y="{_TOP}" width="{max(high - low, 0.0):.1f}" '
        f'height="{bottom - _TOP}"/>'
    )
    # The name at the region's outer end, where no other can be.
    at, anchor = (high, "end") if "above" in side else (low, "start")
    return Html(shape + _text(name, at, _TOP - 7, anchor, "soft"))


def _row(mark: Mark, scale: _Scale, y: float) -> Html:
    low, high = (scale.x(float(end)) for end in mark.reading["bounds"])
    middle = scale.x(float(mark.reading["estimate"]))
    name = element("title", text(f"{mark.label}: {interval(mark.reading)}"))
    caps = "".join(_line(x, y - 4, x, y + 4, "bar") for x in (low, high))
    return Html(
        f'<g class="{mark.role}">{name}'
        + _text(clipped(mark.label, _LABEL_CHARS), _LABEL - 10, y + 4, "end")
        + _line(low, y, high, y, "bar")
        + caps
        + f'<circle class="dot" cx="{middle:.1f}" cy="{y:.1f}" r="4"/></g>'
    )


def _ticks(edges: Sequence[float], scale: _Scale, bottom: int) -> list[Html]:
    """The ends and edges of the axis, less those that would stand in one another."""
    found: list[Html] = []
    free = 0.0
    for value in sorted({scale.low, *edges, scale.high}):
        label = f"{value:g}"
        half = len(label) * _CHAR / 2
        if scale.x(value) - half >= free:
            found.append(_text(label, scale.x(value), bottom + 16, "middle", "soft"))
            free = scale.x(value) + half + _CHAR
    return found


def _line(x1: float, y1: float, x2: float, y2: float, name: str) -> Html:
    return Html(f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def _text(value: str, x: float, y: float, anchor: str, name: str = "") -> Html:
    class_ = f' class="{name}"' if name else ""
    return Html(
        f'<text{class_} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(value)}</text>'
    )
