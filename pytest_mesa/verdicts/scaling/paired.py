"""How much sharper one measure of a ladder's nets is than another measure of the same nets."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from pytest_mesa.verdicts.scaling.ladder import Ladder, mean_variances, student
from pytest_mesa.verdicts.scaling.window import Span, spans_within

if TYPE_CHECKING:
    from jaxtyping import Float

CHOOSES = 12  # one seed in so many, and one at least, chooses a stretch for the rest


def sharper_by(
    ladder: Ladder, beside: Ladder, window: float, alpha: float
) -> tuple[float, float, float]:
    """How much greater a ladder's largest share is than another's, with its bounds.

    The largest share of the whole change between rungs that lie within ``window`` decades. It
    is of rungs alone: of two curves that are as sharp, and sharper than rungs stand apart, the
    one that jumps between two rungs shows more than the one that jumps across a third.
    Both measures are of the same nets, seed by seed, so the bounds are of the difference
    itself; each side gets half of ``alpha``.

    From below: a stretch's share is at most the largest, so any will do for the sharper
    measure, and the one that is largest for a few seeds is taken for all the others. The
    other measure's largest share may be on any stretch. The difference to each is bounded,
    and the least bound is too high only where that to the truly largest is. From above the
    two change places. Where either measure does not conclusively grow from the first rung
    to the last, shares of its growth mean nothing, and the bounds are the whole range.
    """
    spans = spans_within(ladder.decades, window)
    estimate = _largest(ladder.means, spans) - _largest(beside.means, spans)
    apart = max(1, ladder.scores.shape[1] // CHOOSES)
    choose, choose_beside = (each.scores[:, :apart].mean(axis=1) for each in (ladder, beside))
    one, other = ladder.scores[:, apart:], beside.scores[:, apart:]
    reach = student(one, alpha / 2)
    if not (spans and _grown(one, reach) and _grown(other, reach)):
        return estimate, -1.0, 1.0
    lower = _least_excess(one, other, _chosen(choose, spans), spans, alpha / 2)
    upper = -_least_excess(other, one, _chosen(choose_beside, spans), spans, alpha / 2)
    return estimate, max(-1.0, min(lower, estimate)), min(1.0, max(upper, estimate))


def _largest(means: Float[np.ndarray, " rung"], spans: tuple[Span, ...]) -> float:
    # A noisy rung may stand above the last one: shares beyond 1 read as all of the change.
    return min(max((_share(means, span)[0] for span in spans), default=0.0), 1.0)


def _chosen(means: Float[np.ndarray, " rung"], spans: tuple[Span, ...]) -> Span:
    return max(spans, key=lambda span: _share(means, span)[0])


def _share(
    means: Float[np.ndarray, " rung"], span: Span
) -> tuple[float, Float[np.ndarray, " rung"]]:
    """A stretch's share of the whole change, and how it moves with each rung's mean."""
    whole = float(means[-1] - means[0])
    slope = np.zeros(len(means))
    if not whole:
        return 0.0, slope
    share = float(means[span[1]] - means[span[0]]) / whole
    for rung, weight in ((span[1], 1.0), (span[0], -1.0), (-1, -share), (0, share)):
        slope[rung] += weight / whole
    return share, slope


def _grown(scores: Float[np.ndarray, "rung seed"], reach: float) -> bool:
    """Whether the last rung is higher than the first by so much that shares are well known."""
    variances, means = mean_variances(scores), scores.mean(axis=1)
    return bool(means[-1] - means[0] > 2 * reach * sqrt(variances[0] + variances[-1]))


def _least_excess(
    one: Float[np.ndarray, "rung seed"],
    other: Float[np.ndarray, "rung seed"],
    span: Span,
    spans: tuple[Span, ...],
    alpha: float,
) -> float:
    """The least lower bound of what ``one`` has more on ``span`` than ``other`` on any stretch.

    By the delta method: the difference of two ratios of means, whose denominators are known
    well, moves with the means linearly. Degrees of freedom are Satterthwaite's, since a few
    rungs may make most of the noise.
    """
    share, slope = _share(one.mean(axis=1), span)
    seeds, noise, noise_other = one.shape[1], mean_variances(one), mean_variances(other)
    apart, apart_other = (each - each.mean(axis=1, keepdims=True) for each in (one, other))
    together = (apart * apart_other).sum(axis=1) / (seeds - 1) / seeds
    shares, tilts = zip(*(_share(other.mean(axis=1), against) for against in spans), strict=True)
    tilt = np.stack(tilts)
    parts = slope**2 * noise + tilt**2 * noise_other - 2 * slope * tilt * together
    variance = parts.sum(axis=1)
    freedom = (seeds - 1) * variance**2 / np.maximum((parts**2).sum(axis=1), 1e-300)
    reach = stats.t.ppf(1 - alpha, np.maximum(freedom, 1.0))
    return float((share - np.array(shares) - reach * np.sqrt(np.maximum(variance, 0.0))).min())
