"""Anytime-valid bounds for the mean of bounded scores, by betting against candidate means.

Scores are first rescaled to [0, 1]. A gambler who doubts that the mean is as low as ``m``
stakes a share γ of her capital on every score; averaged over a fixed set of shares she holds

    K_t(m) = mean over γ of  Π_{i ≤ t} (1 - γ + γ x_i / m).

If no score's mean, given the scores before it, exceeds ``m``, then each factor has mean at
most 1 and K is a nonnegative supermartingale that starts at 1: an e-process for the whole
half-line ``mean <= m``. Ville's inequality bounds the chance that it *ever* reaches 1/α by α,
so looking after every batch, and stopping when one likes, costs nothing.

K falls as ``m`` rises, so the candidates that are out form an interval: its end is the lower
confidence bound. The upper bound is the lower bound of the mirrored scores ``1 - x``.

Sources: Waudby-Smith & Ramdas 2023, "Estimating means of bounded random variables by
betting" (capital process, sections 4 and B.2); Orabona & Jun 2021, "Tight concentrations and
confidence sequences from the regret of universal portfolio" (mixing over constant bets).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isfinite, log
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy import ndarray

from pytest_mesa.verdicts.bounds import Bounds

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Direction = Literal["below", "above"]

BATCH = 100

# Shares follow Jeffreys' prior, Beta(1/2, 1/2), whose regret against the best constant share
# is minimax (Cover & Ordentlich 1996). Capital is a polynomial in γ, and these are the nodes of
# Chebyshev's quadrature for that prior, all of equal weight: the average is exact up to degree
# 47, and beyond it is still an e-process, since any fixed mixture is.
_NODES = 24
BETS: Float[ndarray, " bet"] = np.sin((2 * np.arange(_NODES) + 1) * np.pi / (4 * _NODES)) ** 2

# Below this rescaled mean the lower bound is reported as 0, which is always valid.
TINY = 1e-12
# E-values are capped so that JSON can carry them; a smaller e-value is still an e-value.
LARGEST_E = 1e300
_LARGEST_LOG_E = log(LARGEST_E)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known after the first ``n`` scores."""

    n: int
    mean: float
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """Bounds that hold at all looks at once with probability at least 1 - alpha.

    ``contradicted_at`` is the first n at which no candidate mean was left. From there on
    the bounds are vacuous: the scores cannot be exchangeable, or the rare event of
    probability alpha has happened, and either way nothing may be concluded.
    """

    low: float
    high: float
    alpha: float
    looks: tuple[Look, ...]
    contradicted_at: int | None = None

    @property
    def final(self) -> Bounds:
        """The bounds after the last look; the whole range without any score."""
        return self.looks[-1].bounds if self.looks else Bounds(self.low, self.high)


def log_capital(
    values: Float[ndarray, " value"], counts: Float[ndarray, "*look value"], m: float
) -> Float[ndarray, "*look"]:
    """Log of K(m) after ``counts[..., v]`` scores of ``values[v]``, all in [0, 1].

    K does not depend on the order of the scores, so counts are all it needs.
    """
    growth = np.log1p(BETS * (values[:, None] / m - 1))
    wealth = counts @ growth
    best = wealth.max(axis=-1, keepdims=True)
    average: Float[ndarray, "*look"] = np.exp(wealth - best).mean(axis=-1)
    return np.asarray(best[..., 0] + np.log(average))


def confidence_sequence(
    scores: Sequence[float],
    alpha: float,
    low: float = 0.0,
    high: float = 1.0,
    batch: int = BATCH,
) -> ConfidenceSequence:
    """Two-sided bounds for the mean after every ``batch`` scores, intersected over looks.

    Each side gets alpha / 2.

    Raises:
        ValueError: a score that is not finite or not in [low, high], or low >= high, or
            alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    unit = rescale(scores, low, high)
    stops = look_sizes(len(unit), batch)
    lowers = _lower_bounds(unit, stops, log(2 / alpha))
    uppers = (1 - bound for bound in _lower_bounds(1 - unit, stops, log(2 / alpha)))
    totals = np.concatenate([[0.0], np.cumsum(unit)])
    width = high - low
    looks = []
    contradicted_at = None
    for n, lower, upper in zip(stops, lowers, uppers, strict=True):
        if contradicted_at is None and lower > upper:
            contradicted_at = n
        if contradicted_at is None:
            start = low + width * lower
            bounds = Bounds(start, max(start, high - width * (1 - upper)))  # max: rounding
        else:
            bounds = Bounds(low, high)
        looks.append(Look(n, float(low + width * totals[n] / n), bounds))
    return ConfidenceSequence(low, high, alpha, tuple(looks), contradicted_at)


def lower_bound(
    scores: Sequence[float], alpha: float, low: float = 0.0, high: float = 1.0, batch: int = BATCH
) -> float:
    """The one-sided bound after the last look: the mean is at least this, at level alpha.

    Raises:
        ValueError: as `confidence_sequence`.
    """
    unit = rescale(scores, low, high)
    bound = max(_lower_bounds(unit, look_sizes(len(unit), batch), log(1 / alpha)), default=0.0)
    return low + (high - low) * bound


def e_value(
    scores: Sequence[float],
    threshold: float,
    direction: Direction,
    low: float = 0.0,
    high: float = 1.0,
) -> float:
    """Evidence that the mean lies ``direction`` of the threshold.

    This is an e-value for every law of the opposite, closed half-line: for ``below`` the
    null is ``mean >= threshold``, for ``above`` it is ``mean <= threshold``. It is the
    capital after the scores given, *not* the largest capital on the way: the capital at a
    stopping time has mean at most 1 under the null, the running maximum has not. So the
    number of scores must be a stopping time (a fixed budget, or a rule that looks only at
    scores already drawn). Capped at 1e300.

    Raises:
        ValueError: as `confidence_sequence`.
    """
    unit = rescale(scores, low, high)
    m = (threshold - low) / (high - low)
    if direction == "below":
        unit, m = 1 - unit, 1 - m
    if not len(unit):
        return 1.0
    values, counts = np.unique(unit, return_counts=True)
    # A null of smaller means is tested through the larger null `mean <= TINY`.
    log_e = float(log_capital(values, counts.astype(float), min(max(m, TINY), 1.0)))
    return exp(min(log_e, _LARGEST_LOG_E))


def rescale(scores: Sequence[float], low: float, high: float) -> Float[ndarray, " n"]:
    """Scores mapped from [low, high] to [0, 1].

    Rounding in a mean of scores may step over an end by a hair; more than that is a fault.

    Raises:
        ValueError: a score that is not finite or not in [low, high], or low >= high.
    """
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ValueError(f"scores need a range low < high, not [{low}, {high}]")
    raw = np.asarray(scores, dtype=float)
    if raw.ndim != 1:
        raise ValueError(f"scores must be a flat sequence, not of shape {raw.shape}")
    unit: Float[ndarray, " n"] = (raw - low) / (high - low)
    # Written so that NaN, which fails every comparison, counts as outside.
    outside = np.flatnonzero(~((unit >= -1e-9) & (unit <= 1 + 1e-9)))
    if len(outside):
        i = int(outside[0])
        raise ValueError(f"score {i} is {raw[i]}, outside its range [{low}, {high}]")
    return unit.clip(0.0, 1.0)


def look_sizes(n: int, batch: int) -> list[int]:
    """How many scores are known at each look: every full batch, and the rest at the end.

    Raises:
        ValueError: batch < 1.
    """
    if batch < 1:
        raise ValueError(f"a batch holds at least one score, not {batch}")
    return [*range(batch, n, batch), n] if n else []


def _lower_bounds(
    unit: Float[ndarray, " n"], stops: Sequence[int], log_threshold: float
) -> Iterator[float]:
    """The running lower bound in [0, 1] at each look."""
    values, which = np.unique(unit, return_inverse=True)
    counts: Int[ndarray, " value"] = np.zeros(len(values), dtype=np.int64)
    bound = 0.0
    for start, stop in pairwise((0, *stops)):
        counts += np.bincount(which[start:stop], minlength=len(values))
        drawn = counts > 0
        bound = _raise_bound(values[drawn], counts[drawn].astype(float), bound, log_threshold)
        yield bound


def _raise_bound(
    values: Float[ndarray, " value"],
    counts: Float[ndarray, " value"],
    bound: float,
    log_threshold: float,
) -> float:
    """The largest m >= bound that the capital has ruled out, less at most 1e-7 of it.

    As a function of s = log m, log K is the log of a sum of exponentials with falling
    exponents: convex and decreasing. Newton's steps from a candidate that is out
    therefore never pass the root, so each iterate is itself a valid bound.
    """
    mean = float(counts @ values / counts.sum())
    if mean < TINY:
        return bound
    m = bound or mean
    gain, slope = _log_capital_and_slope(values, counts, m)
    # Candidates at or above the mean are never out (arithmetic exceeds geometric mean).
    while gain < log_threshold:
        m /= 2
        if bound or m < TINY:
            return bound
        gain, slope = _log_capital_and_slope(values, counts, m)
    while gain >= log_threshold:  # fails only by rounding, at the root itself
        bound, m = m, m * exp((log_threshold - gain) / slope)
        if m - bound <= 1e-7 * bound:
            break
        gain, slope = _log_capital_and_slope(values, counts, m)
    return bound


def _log_capital_and_slope(
    values: Float[ndarray, " value"], counts: Float[ndarray, " value"], m: float
) -> tuple[float, float]:
    """log K(m), and its derivative by log m, which is negative."""
    kept = 1 - BETS
    factor = kept[:, None] + BETS[:, None] * (values / m)
    # Not by a matrix product: threads of this little work wait longer than they work.
    wealth = np.einsum("gv,v->g", np.log(factor), counts)
    pull = counts.sum() - kept * np.einsum("gv,v->g", 1 / factor, counts)
    best = wealth.max()
    share = np.exp(wealth - best)
    slope = -(share * pull).sum() / share.sum()
    return float(best + np.log(share.mean())), float(slope)
