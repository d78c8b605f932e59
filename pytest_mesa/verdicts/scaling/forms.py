"""Curves of growth, judged by the log density that they give to a rung they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logsumexp

from pytest_mesa.verdicts.scaling.ladder import Ladder

if TYPE_CHECKING:
    from jaxtyping import Float

SPAN = 2 * np.log(3.0)  # a logistic's way from 25 % to 75 %, in units of its scale
GRID = 41  # values on each axis of a form's nonlinear parameters
STEP = "step"

# Sizes in decades (n,) and nonlinear parameters (grid, k) to curves (grid, n), which a fit
# shifts and scales.
Shape = Callable[
    ["Float[np.ndarray, ' n']", "Float[np.ndarray, 'grid k']"], "Float[np.ndarray, 'grid n']"
]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A family ``low + rise * shape(x)``, over a grid of its nonlinear parameters."""

    name: str
    shape: Shape
    grid: Float[np.ndarray, "grid k"]

    def log_density(
        self,
        x: Float[np.ndarray, " n"],
        y: Float[np.ndarray, " n"],
        at: float,
        value: float,
        noise: float,
    ) -> float:
        """Log density of ``value`` at size ``at``, having seen the rungs ``(x, y)``.

        Every curve of the grid is fitted by least squares and speaks with the weight of its
        likelihood, so that a step whose place is open predicts either level. ``noise`` is the
        variance of a rung's mean between seeds: no fit is surer than that.
        """
        curves = self.shape(np.append(x, at), self.grid)
        basis = curves[:, :-1]
        centred = basis - basis.mean(axis=1, keepdims=True)
        power = (centred**2).sum(axis=1)
        rise = np.where(power > 1e-12, centred @ y / np.maximum(power, 1e-12), 0.0)
        low = y.mean() - rise * basis.mean(axis=1)
        misfit = ((y - low[:, None] - rise[:, None] * basis) ** 2).sum(axis=1)
        variance = misfit / (len(x) - 2) + noise
        weights = -0.5 * len(x) * np.log(variance)
        gap = value - low - rise * curves[:, -1]
        density = -0.5 * (gap**2 / variance + np.log(2 * np.pi * variance))
        return float(logsumexp(weights + density) - logsumexp(weights))


def logistic(
    x: Float[np.ndarray, " n"], p: Float[np.ndarray, "grid k"]
) -> Float[np.ndarray, "grid n"]:
    """Curves from 0 to 1 with places and widths (25 % to 75 %) in the columns of ``p``."""
    return np.asarray(expit((x - p[:, :1]) * SPAN / p[:, 1:]))


def _power(
    x: Float[np.ndarray, " n"], p: Float[np.ndarray, "grid k"]
) -> Float[np.ndarray, "grid n"]:
    return np.asarray(-(10.0 ** (-p * (x - x[0]))))


def _smooth_break(
    x: Float[np.ndarray, " n"], p: Float[np.ndarray, "grid k"]
) -> Float[np.ndarray, "grid n"]:
    return np.asarray(np.logaddexp(0.0, (x - p[:, :1]) * SPAN / p[:, 1:]))


def _straight(
    x: Float[np.ndarray, " n"], p: Float[np.ndarray, "grid k"]
) -> Float[np.ndarray, "grid n"]:
    return np.broadcast_to(x, (len(p), len(x)))


def _product(*axes: Float[np.ndarray, " n"]) -> Float[np.ndarray, "grid k"]:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def forms(
    x: Float[np.ndarray, " rung"], step_width: float, smooth_width: float
) -> tuple[Form, ...]:
    """A step of at most ``step_width`` decades, and four forms no sharper than ``smooth_width``.

    Widths are from 25 % to 75 % of the form's own change.
    """
    start, end = float(x[0]), float(x[-1])
    span = end - start
    inside = np.linspace(start, end, 4 * GRID)
    around = np.linspace(start - span / 4, end + span / 4, GRID)
    wide = np.geomspace(smooth_width, 4 * span, GRID)
    narrow = np.geomspace(min(0.01, step_width / 2), step_width, 8)
    # What a power law has still to rise falls from 3/4 to 1/4 over log10(3) / exponent decades.
    exponents = np.geomspace(0.02, float(np.log10(3.0)) / smooth_width, GRID)
    return (
        Form(STEP, logistic, _product(inside, narrow)),
        Form("straight", _straight, np.zeros((1, 1))),
        Form("power", _power, exponents[:, None]),
        Form("logistic", logistic, _product(around, wide)),
        Form("smooth-break", _smooth_break, _product(around, wide)),
    )


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Each form's mean log density, in nats, at rungs left out."""

    scores: dict[str, float]

    @property
    def best(self) -> str:
        """The form that predicts unseen sizes best."""
        return max(self.scores, key=self.scores.__getitem__)

    @property
    def step_wins(self) -> bool:
        """Whether the step predicts unseen sizes better than every smooth form."""
        return self.best == STEP


def held_out(ladder: Ladder, step_width: float, smooth_width: float) -> HeldOut:
    """Leave each inner rung out in turn, fit every form to the rest, and score the rung.

    The outermost rungs stay in: a form that has not seen a plateau can't know its level, so
    leaving one out would judge extrapolation.
    """
    x, y = ladder.decades, ladder.means
    noise = float(ladder.scores.var(axis=1, ddof=1).mean() / ladder.scores.shape[1])
    noise = max(noise, 1e-12)
    scores = {}
    for form in forms(x, step_width, smooth_width):
        densities = []
        for left_out in range(1, len(x) - 1):
            kept = np.arange(len(x)) != left_out
            densities.append(form.log_density(x[kept], y[kept], x[left_out], y[left_out], noise))
        scores[form.name] = float(np.mean(densities))
    return HeldOut(scores)
