"""What the releases so far let one expect of the next: a prediction interval within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from jaxtyping import Float

LEAST = 5  # a line through fewer leaves less than three degrees of freedom to judge its noise
# Kept off both ends of a scale, as a share of it, where logits grow without bound: a twentieth
# keeps an error of a few hundredths from counting as a leap.
MARGIN = 0.05


FARTHEST = 10.0  # distances are cut off here: a record holds no infinity


class ForecastError(ValueError):
    """Values from which nothing can be forecast: too few, not finite, or off their scale."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The bounds of an estimand, and the logit line between them on which releases are fitted."""

    low: float = 0.0
    high: float = 1.0

    def line(self, value: float) -> float:
        """The value's place on the line.

        Raises:
            ForecastError: it is not on the scale.
        """
        share = (value - self.low) / (self.high - self.low)
        if not -1e-9 <= share <= 1 + 1e-9:
            raise ForecastError(f"{value:g} does not lie between {self.low:g} and {self.high:g}")
        kept = (share + MARGIN) / (1 + 2 * MARGIN)
        return log(kept / (1 - kept))

    def value(self, place: float) -> float:
        """The value at a place on the line, cut off at the scale's ends."""
        kept = 1 / (1 + exp(-min(max(place, -500.0), 500.0)))
        share = kept * (1 + 2 * MARGIN) - MARGIN
        return self.low + (self.high - self.low) * min(max(share, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A prediction interval for the next release.

    ``level`` is the chance, at most, that a release of the same course lies outside. ``ends``
    and ``middle`` are on the logit line, ``lower``, ``centre`` and ``upper`` on the scale.
    """

    scale: Scale
    ends: tuple[float, float]
    level: float
    earlier: int

    @property
    def lower(self) -> float:
        """The least value that is no surprise."""
        return self.scale.value(self.ends[0])

    @property
    def upper(self) -> float:
        """The greatest value that is no surprise."""
        return self.scale.value(self.ends[1])

    @property
    def centre(self) -> float:
        """The value that is least of a surprise."""
        return self.scale.value(sum(self.ends) / 2)

    @property
    def width(self) -> float:
        """The interval's share of the scale: a leap that long leaves it from wherever it began."""
        return (self.upper - self.lower) / (self.scale.high - self.scale.low)

    def distance(self, value: float) -> float:
        """How far a value is from the centre: 1 at either end of the interval, beyond outside.

        Raises:
            ForecastError: it is not on the scale.
        """
        low, high = self.ends
        distance = abs(self.scale.line(value) - (low + high) / 2) / ((high - low) / 2)
        return min(distance, FARTHEST)


def next_of(earlier: Sequence[float], scale: Scale, alpha: float) -> Forecast:
    """The forecast of the release after these, at its share of ``alpha``.

    Raises:
        ForecastError: fewer than `LEAST` values, or one off its scale.
    """
    return forecast(earlier, scale, spent(alpha, max(1, len(earlier) - LEAST + 1)))


def spent(alpha: float, look: int) -> float:
    """The share of ``alpha`` that the forecast number ``look`` (from 1) may spend.

    Over any number of forecasts the shares add up to ``alpha`` at most, so that a whole
    sequence of releases raises a false alarm no more often than that.
    """
    return alpha * 6 / (pi * look) ** 2


def forecast(values: Sequence[float], scale: Scale, level: float) -> Forecast:
    """The interval for the value after these, which are in the order of release.

    On the logit line, where growth that nears a bound levels off. Three courses are allowed
    for, and the interval reaches over all: a line with noise around it, a bent line (growth may
    gain or lose speed), and steps that vary around a mean. Each is Student's prediction
    interval at ``level``.

    Raises:
        ForecastError: fewer than `LEAST` values, or one off its scale.
    """
    if len(values) < LEAST:
        raise ForecastError(f"a forecast takes {LEAST} releases; there are {len(values)}")
    y = np.array([scale.line(value) for value in values])
    reach = [_along(y, 1, level), _along(y, 2, level), _by_steps(y, level)]
    ends = min(low for low, _ in reach), max(high for _, high in reach)
    return Forecast(scale, ends, level, len(values))


def _along(y: Float[np.ndarray, " release"], degree: int, level: float) -> tuple[float, float]:
    """Least squares on a polynomial of the releases' order."""
    n = len(y)
    order = np.arange(n + 1) / n
    basis = np.vander(order, degree + 1)
    inverse = np.linalg.inv(basis[:n].T @ basis[:n])
    weights = inverse @ basis[:n].T @ y
    residuals = y - basis[:n] @ weights
    freedom = n - degree - 1
    variance = float(residuals @ residuals) / freedom * float(1 + basis[n] @ inverse @ basis[n])
    return _around(float(basis[n] @ weights), sqrt(variance), freedom, level)


def _by_steps(y: Float[np.ndarray, " release"], level: float) -> tuple[float, float]:
    steps = np.diff(y)
    error = float(steps.std(ddof=1)) * sqrt(1 + 1 / len(steps))
    return _around(float(y[-1] + steps.mean()), error, len(steps) - 1, level)


def _around(centre: float, error: float, freedom: int, level: float) -> tuple[float, float]:
    # Releases that agree to the last digit still differ in what was not measured.
    half = max(error, 1e-3) * float(stats.t.ppf(1 - level / 2, freedom))
    return centre - half, centre + half
