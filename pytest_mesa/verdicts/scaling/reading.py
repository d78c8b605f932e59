"""Everything that is read off one measure along one ladder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_mesa.verdicts.scaling.breakthroughs import Breakthroughs, breakthroughs
from pytest_mesa.verdicts.scaling.change import Change, whole_change
from pytest_mesa.verdicts.scaling.forms import HeldOut, held_out, logistic
from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.transition import Transition, transition
from pytest_mesa.verdicts.scaling.window import Window, sharpest_window

WIDTHS = np.geomspace(0.02, 2.0, 41)  # decades that a planted transition is tried at


@dataclass(frozen=True, slots=True)
class GrowthReading:
    """One measure's growth: how much, how sharp, how wide, by which curve, do seeds part."""

    change: Change
    window: Window
    transition: Transition
    held_out: HeldOut
    breakthroughs: Breakthroughs

    @property
    def parted(self) -> bool:
        """Whether seeds part as nets do that jump, and over more than a trifle."""
        return self.breakthroughs.seen and not self.change.none

    def to_json(self) -> dict[str, Any]:
        """The reading as a record holds it."""
        change, window, wide = self.change, self.window, self.transition
        return {
            "change": {
                "estimate": round(change.estimate, 4),
                "bounds": [round(change.lower, 4), round(change.upper, 4)],
                "highest_rise": round(change.highest, 4),
            },
            "window": {
                "share": round(window.share, 4),
                "bounds": [round(window.lower, 4), round(window.upper, 4)],
                "shown": round(window.shown, 4),
                "hidden": round(window.hidden, 4),
                "between_decades": [round(place, 3) for place in window.place],
                "grown": window.grown,
            },
            "width_decades": {
                "estimate": round(wide.width, 3),
                "bounds": [round(wide.lower, 3), round(wide.upper, 3)],
                "begins": round(wide.begins, 3),
            },
            "held_out_log_density": {
                name: round(score, 3) for name, score in self.held_out.scores.items()
            },
            "best_form": self.held_out.best,
            "seed_split": round(self.breakthroughs.split, 4),
            "rungs_between": self.breakthroughs.rungs,
        }


def read_growth(ladder: Ladder, window: float, alpha: float) -> GrowthReading:
    """Read one measure along a ladder, with bounds at level ``alpha``."""
    return GrowthReading(
        change=whole_change(ladder, alpha),
        window=sharpest_window(ladder, window, alpha),
        transition=transition(ladder, alpha),
        held_out=held_out(ladder, window, window),
        breakthroughs=breakthroughs(ladder),
    )


def widest_seen(ladder: Ladder, window: float, alpha: float, edge: float) -> float | None:
    """The width in decades up to which a transition would be told from smooth growth here.

    A logistic of that width from 25 % to 75 %, with this ladder's change and its seeds'
    deviations, planted midway between the middle rungs, where a ladder sees it best: its
    sharpest window lies conclusively above ``edge``. None where not even the narrowest does.
    """
    x, middle = ladder.decades, len(ladder.decades) // 2
    place = (x[middle - 1] + x[middle]) / 2
    deviations = ladder.scores - ladder.means[:, None]
    seen = None
    for width in WIDTHS:
        share = logistic(x, np.array([[place, width]]))[0]
        means = ladder.means[0] + share * (ladder.means[-1] - ladder.means[0])
        planted = Ladder(x, means[:, None] + deviations)
        if sharpest_window(planted, window, alpha).lower <= edge:
            break
        seen = float(width)
    return seen
