"""The sharpest window: how much of a ladder's whole change falls within so many decades."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.verdicts.scaling.ladder import Ladder

if TYPE_CHECKING:
    from jaxtyping import Float

# Nets come in whole widths, so that gaps meant to be alike differ by a few hundredths.
SLACK = 0.03

Span = tuple[int, int]  # the first and last rung of a stretch of a ladder


@dataclass(frozen=True, slots=True)
class Window:
    """The greatest share of the whole change that falls within one window of sizes.

    Rungs show a curve at a few sizes only. ``shown`` is the greatest share between two rungs
    that lie within the window, so the curve has at least that; ``hidden`` is the greatest
    between two rungs that enclose one, so a curve that is monotone between rungs has at most
    that. ``lower`` and ``upper`` bound these two from below and above over seeds. ``share`` is
    the curve's own where it is straight between rungs. ``place`` is where ``shown`` is, in
    decades. ``grown`` tells whether the last rung is conclusively higher than the first; where
    it is not, shares of growth mean nothing and the bounds are the whole range.
    """

    share: float
    shown: float
    hidden: float
    lower: float
    upper: float
    place: tuple[float, float]
    grown: bool

    @property
    def spaced(self) -> bool:
        """Whether the distance of rungs leaves more open than the scatter of seeds does.

        Where seeds leave more, ``shown`` and ``hidden`` are themselves too rough to say that
        no number of them would do.
        """
        scatter = max(self.shown - self.lower, self.upper - self.hidden)
        return self.grown and abs(self.hidden - self.shown) > scatter


def sharpest_window(ladder: Ladder, decades: float, alpha: float) -> Window:
    """Bound the sharpest window's share at level ``alpha``.

    A share is a ratio of two differences of means, so its bounds are Fieller's. Each side gets
    half of alpha. Of the largest share, the lower bound is the largest of all spans' bounds, any
    of which may be too high, so these share its half. The upper one is too low only where the
    bound of one span is, the one whose share is largest in truth: it alone has its half.
    """
    inside = spans_within(ladder.decades, decades)
    around = spans_around(ladder.decades, decades)
    below, above = ladder.reach_above(alpha / 2, len(inside) + 1), ladder.reach_above(alpha / 2)
    shares = [_share(ladder, span) for span in inside]
    widest = inside[int(np.argmax(shares))] if inside else (0, len(ladder.means) - 1)
    shown = max(shares, default=0.0)
    hidden = max(_share(ladder, span) for span in around)
    share = min(max(_interpolated(ladder, decades), shown), max(hidden, shown))
    place = (float(ladder.decades[widest[0]]), float(ladder.decades[widest[1]]))
    if not _grown(ladder, below):
        share = min(max(share, 0.0), 1.0)
        return Window(share, shown, hidden, 0.0, 1.0, place, grown=False)
    lower = max((_fieller(ladder, span, below)[0] for span in inside), default=0.0)
    upper = max(_fieller(ladder, span, above)[1] for span in around)
    lower, upper = max(0.0, lower), min(upper, 1.0)
    # A noisy rung may stand above the last one: shares beyond 1 read as all of the change.
    share = min(share, 1.0)
    return Window(share, shown, hidden, min(lower, share), max(upper, share), place, grown=True)


def spans_within(decades: Float[np.ndarray, " rung"], window: float) -> tuple[Span, ...]:
    """Pairs of rungs, as far apart as may be, that fit within the window."""
    room = window * (1 + SLACK)
    ends = [int(np.searchsorted(decades, x + room, "right")) - 1 for x in decades]
    return tuple((start, end) for start, end in enumerate(ends) if end > start)


def spans_around(decades: Float[np.ndarray, " rung"], window: float) -> tuple[Span, ...]:
    """Pairs of rungs, as near as may be, such that every window lies between one of them."""
    room = window * (1 - SLACK)
    last = len(decades) - 1
    spans = []
    for start in range(last):
        # The window may begin anywhere before the next rung.
        end = min(int(np.searchsorted(decades, decades[start + 1] + room, "left")), last)
        spans.append((start, end))
        if end == last:
            break
    return tuple(spans)


def _grown(ladder: Ladder, reach: float) -> bool:
    """Whether the last rung is conclusively higher than the first: every measure is of more."""
    error = sqrt(ladder.variances[0] + ladder.variances[-1])
    return bool(ladder.means[-1] - ladder.means[0] > reach * error)


def _share(ladder: Ladder, span: Span) -> float:
    whole = ladder.means[-1] - ladder.means[0]
    return float((ladder.means[span[1]] - ladder.means[span[0]]) / whole) if whole else 0.0


def _interpolated(ladder: Ladder, window: float) -> float:
    """The sharpest window of the curve that is straight between rungs: it begins or ends at one."""
    x, whole = ladder.decades, ladder.means[-1] - ladder.means[0]
    if not whole:
        return 0.0
    starts = np.clip(np.concatenate([x, x - window]), x[0], max(x[0], x[-1] - window))
    gains = np.interp(starts + window, x, ladder.means) - np.interp(starts, x, ladder.means)
    return float((gains / whole).max())


def _fieller(ladder: Ladder, span: Span, reach: float) -> tuple[float, float]:
    """Bounds of a span's share of the whole change, where that change is conclusive.

    Source: Fieller 1954. The share c is not rejected where the contrast "part - c whole" is
    within ``reach`` standard errors of 0, a quadratic inequality in c.
    """
    part, whole = np.zeros(len(ladder.means)), np.zeros(len(ladder.means))
    part[span[1]], part[span[0]] = 1.0, -1.0
    whole[-1], whole[0] = 1.0, -1.0
    b, w = float(part @ ladder.means), float(whole @ ladder.means)
    noise = ladder.variances * reach**2
    bb, bw, ww = (float((u * v) @ noise) for u, v in ((part, part), (part, whole), (whole, whole)))
    # (w² - ww) c² - 2 (b w - bw) c + b² - bb <= 0, whose first coefficient is positive.
    lead, half = w * w - ww, b * w - bw
    root = sqrt(max(0.0, half * half - lead * (b * b - bb)))
    return (half - root) / lead, (half + root) / lead
