"""How much power is kept: a ratio of two means, with bounds that hold together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_mesa.verdicts.bounds import Bounds
from pytest_mesa.verdicts.confidence import confidence_sequence, lower_bound
from pytest_mesa.verdicts.evidence import Interval

CHANCE = 0.5
LEAST, MOST = -1.0, 1.5  # of the ratios considered: turned round, and half as good again
STEPS = 40  # bisections: far finer than any bound


def kept(
    home: Sequence[float], away: Sequence[float], level: float, chance: float = CHANCE
) -> Bounds:
    """Bounds for (mean of away - chance) / (mean of home - chance), scores paired in [0, 1].

    A ratio r is out where the mean of ``(away - c) - r (home - c)`` is surely not 0: an
    e-process for each r, so the ratios left hold the true one with probability 1 - level
    (Fieller's construction, with betting in place of normal theory). The whole range where home
    has no power.
    """
    own, other = np.asarray(home) - chance, np.asarray(away) - chance
    if not len(own):
        return Bounds(LEAST, MOST)

    def of(ratio: float) -> Bounds:
        ends = (ratio * -chance, ratio * (1 - chance))
        low, high = -chance - max(ends), 1 - chance - min(ends)
        rest = (other - ratio * own).clip(low, high)
        return confidence_sequence(rest.tolist(), level, low, high, batch=len(rest)).final

    lower = _last(lambda ratio: of(ratio).lower > 0)
    upper = -_last(lambda turned: of(-turned).upper < 0, start=-MOST, end=-LEAST)
    return Bounds(lower, upper) if lower <= upper else Bounds(LEAST, MOST)


def _last(out: Callable[[float], bool], start: float = LEAST, end: float = MOST) -> float:
    """The greatest ratio, from the start on, that is still out; the start where none is."""
    if not out(start):
        return start
    if out(end):
        return end
    inside = end
    for _ in range(STEPS):
        middle = (start + inside) / 2
        start, inside = (middle, inside) if out(middle) else (start, middle)
    return start


def ratio(
    home: Sequence[float], away: Sequence[float], bounds: Bounds, chance: float = CHANCE
) -> float:
    """The ratio of the means beyond chance, within its bounds."""
    power = float(np.mean(home)) - chance if len(home) else 0.0
    found = (float(np.mean(away)) - chance) / power if power > 0 else LEAST
    return float(np.clip(found, bounds.lower, bounds.upper))


def surely(scores: Sequence[float], level: float) -> float:
    """What scores surely reach beyond 1/2."""
    return lower_bound(list(scores), level, batch=max(1, len(scores))) - CHANCE if scores else 0.0


def interval(
    scores: Mapping[str, Any], source: str, target: str, power: float, level: float
) -> tuple[Interval, dict[str, Any]]:
    """What a source's probe and direction both keep in a target, and what that rests on.

    The lesser of the two counts. A direction that surely does nothing at home has nothing to
    lose and is left out; where the probe has no power at home, the whole range is left.
    """
    told: dict[str, Any] = {}
    spans: list[tuple[float, Bounds]] = []
    for way in ("decode", "steer"):
        home, away = (scores[target][way][name] for name in (target, source))
        strong = surely(home["scores"], level / 2)
        bounds = kept(home["scores"], away["scores"], level / 2)
        told[way] = {
            "home": _mean(home["scores"]),
            "away": _mean(away["scores"]),
            "layers": [home["layer"], away["layer"]],
            "n": len(home["scores"]),
            "power": round(strong, 4),
        }
        if strong >= power:
            spans.append((ratio(home["scores"], away["scores"], bounds), bounds))
            told[way] |= {
                "kept": round(spans[-1][0], 4),
                "bounds": [round(bounds.lower, 4), round(bounds.upper, 4)],
            }
        elif way == "decode":
            spans.append((LEAST, Bounds(LEAST, MOST)))
    lower = min(bounds.lower for _, bounds in spans)
    upper = min(bounds.upper for _, bounds in spans)
    estimate = float(np.clip(min(value for value, _ in spans), lower, upper))
    n = told["decode"]["n"]
    return Interval(f"{source} to {target}", estimate, lower, upper, level, n), told


def _mean(scores: Sequence[float]) -> float:
    return round(float(np.mean(scores)), 4) if len(scores) else CHANCE
