"""A ladder's scores, and how well its rungs' means are known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from pytest_mesa.verdicts.evidence import EvidenceError
from pytest_mesa.verdicts.scaling.names import LEAST_RUNGS, LEAST_SEEDS

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Ladder:
    """One metric on nets of several sizes, several seeds each.

    ``decades`` is log10 of the parameter count, ascending.

    Raises:
        EvidenceError: too few rungs or seeds, sizes that do not ascend, scores not finite.
    """

    decades: Float[np.ndarray, " rung"]
    scores: Float[np.ndarray, "rung seed"]

    def __post_init__(self) -> None:
        rungs, seeds = self.scores.shape
        if rungs < LEAST_RUNGS or seeds < LEAST_SEEDS:
            raise EvidenceError(
                f"a ladder takes {LEAST_RUNGS} sizes of {LEAST_SEEDS} seeds at least; "
                f"this one has {rungs} of {seeds}"
            )
        if self.decades.shape != (rungs,) or (np.diff(self.decades) <= 0).any():
            raise EvidenceError("a ladder's sizes ascend, one a rung")
        if not (np.isfinite(self.scores).all() and np.isfinite(self.decades).all()):
            raise EvidenceError("a ladder's scores and sizes are finite")

    @cached_property
    def means(self) -> Float[np.ndarray, " rung"]:
        """Each rung's mean over seeds."""
        return np.asarray(self.scores.mean(axis=1))

    @cached_property
    def variances(self) -> Float[np.ndarray, " rung"]:
        """The variance of each rung's mean."""
        return mean_variances(self.scores)

    @property
    def spacing(self) -> float:
        """The widest gap between neighbouring rungs, in decades."""
        return float(np.diff(self.decades).max())

    def reach(self, alpha: float, intervals: int) -> float:
        """Student's factor for so many two-sided intervals that all hold with 1 - alpha."""
        return self.reach_above(alpha / 2, intervals)

    def reach_above(self, alpha: float, intervals: int = 1) -> float:
        """Student's factor for so many one-sided bounds that all hold with 1 - alpha."""
        return student(self.scores, alpha / intervals)


def mean_variances(scores: Float[np.ndarray, "rung seed"]) -> Float[np.ndarray, " rung"]:
    """The variance of each rung's mean: from its own seeds' spread or the pooled one.

    The larger of the two: five seeds alone estimate a spread so badly that their own interval
    would say next to nothing, and the pooled one alone would be too sure where seeds part, in
    the midst of a transition.
    """
    own = scores.var(axis=1, ddof=1)
    return np.asarray(np.maximum(own, own.mean()) / scores.shape[1])


def student(scores: Float[np.ndarray, "rung seed"], alpha: float) -> float:
    """Student's factor for a one-sided bound at level ``alpha``, over the seeds of all rungs."""
    rungs, seeds = scores.shape
    return float(stats.t.ppf(1 - alpha, rungs * (seeds - 1)))


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Bounds of every rung's expected score, all at once."""

    lower: Float[np.ndarray, " rung"]
    upper: Float[np.ndarray, " rung"]


def bands(ladder: Ladder, alpha: float) -> Bands:
    """Student's intervals over seeds, each rung at ``alpha`` over the number of rungs."""
    half = np.sqrt(ladder.variances) * ladder.reach(alpha, len(ladder.means))
    return Bands(ladder.means - half, ladder.means + half)
