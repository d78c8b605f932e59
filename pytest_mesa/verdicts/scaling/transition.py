"""How many decades of size a transition takes, with bounds that assume no curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from pytest_mesa.verdicts.scaling.ladder import Bands, Ladder, bands

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

START, END = 0.25, 0.75  # the shares of the ladder's whole change between which a transition runs


@dataclass(frozen=True, slots=True)
class Transition:
    """The width in decades from `START` to `END` of the change, and where it begins."""

    width: float
    lower: float
    upper: float
    begins: float


def transition(ladder: Ladder, alpha: float) -> Transition:
    """Bound the width of the ladder's transition at level ``alpha``.

    Between rungs the curve may do anything, so a crossing is only known to lie between the
    last rung up to which every rung is conclusively short of the level and the first from
    which on every one is conclusively past it. A jump between two rungs is thus bounded by
    their distance, and never by less than that.
    """
    band = bands(ladder, alpha)
    if ladder.means[-1] < ladder.means[0]:  # a metric that falls with size
        band = Bands(-band.upper, -band.lower)
    first, last = (_crossing(ladder.decades, band, share) for share in (START, END))
    lower, upper = max(0.0, last[0] - first[1]), max(0.0, last[1] - first[0])
    begins, width = _interpolated(ladder)
    return Transition(float(np.clip(width, lower, upper)), lower, upper, begins)


def _crossing(x: Float[np.ndarray, " rung"], band: Bands, share: float) -> tuple[float, float]:
    """Where the curve crosses that share of its change: between which sizes."""
    low = band.lower[0] + share * max(0.0, band.lower[-1] - band.lower[0])
    high = band.upper[0] + share * max(0.0, band.upper[-1] - band.upper[0])
    short = _leading(band.upper < low)
    past = _leading((band.lower > high)[::-1])
    # The first rung is short of any share by definition, and the last one past it.
    return float(x[max(short, 1) - 1]), float(x[len(x) - max(past, 1)])


def _leading(flags: Bool[np.ndarray, " rung"]) -> int:
    """How many flags are set before the first that is not."""
    return len(flags) if flags.all() else int(np.argmin(flags))


def _interpolated(ladder: Ladder) -> tuple[float, float]:
    """Begin and width on the monotone curve nearest the means, straight between rungs."""
    rising = bool(ladder.means[-1] >= ladder.means[0])
    curve = np.asarray(isotonic_regression(ladder.means, increasing=rising).x)
    if not rising:
        curve = -curve
    levels = curve[0] + np.array([START, END]) * (curve[-1] - curve[0])
    # Ties have no inverse; the least rise makes the crossing that of the tie's far end.
    steps = curve + np.arange(len(curve)) * 1e-12
    begin, end = np.interp(levels, steps, ladder.decades)
    return float(begin), float(end - begin)
