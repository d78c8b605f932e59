"""Sequences of releases of known course: one that leaps, one that grows, and their forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pytest_mesa.verdicts.forecast import LEAST, Scale, next_of

if TYPE_CHECKING:
    from jaxtyping import Float

JUMP, SMOOTH = "planted-jump", "planted-smooth"
PLANTS = (JUMP, SMOOTH)
RELEASES = 12
LEAPS_AT = 8  # the index of the ninth release, which is the first after the leap
START, END = 0.1, 0.85  # the shares of the scale before and after a leap
DRIFT = 0.01  # what each release gains beside it
NOISE = 0.02  # what releases differ by that gained nothing


def planted(course: str, rng: np.random.Generator) -> Float[np.ndarray, " release"]:
    """Shares of a scale, release by release.

    ``planted-smooth`` draws one of the ways in which growth may go without a leap: none, even,
    gaining speed, losing speed, or by an S over at least four releases.
    """
    order = np.arange(RELEASES)
    along = order / (RELEASES - 1)
    if course == JUMP:
        shares = np.where(order < LEAPS_AT, START, END) + DRIFT * order
    else:
        place, width = rng.uniform(2, 9), rng.uniform(4, 8)
        ways = (
            np.full(RELEASES, rng.uniform(0.05, 0.95)),
            START + rng.uniform(0.2, 1.0) * (END - START) * along,
            START + (END - START) * along ** rng.uniform(1.5, 3.0),
            START + (END - START) * (1 - np.exp(-along * rng.uniform(2.0, 5.0))),
            START + (END - START) / (1 + np.exp(-(order - place) * 2 * np.log(3.0) / width)),
        )
        shares = ways[int(rng.integers(len(ways)))]
    return np.asarray(np.clip(shares + NOISE * rng.standard_normal(RELEASES), 0.0, 1.0))


def distances(values: Sequence[float], scale: Scale, alpha: float) -> list[float]:
    """Each release's distance from the forecast of it, from the first that can be forecast on."""
    return [
        next_of(values[:earlier], scale, alpha).distance(values[earlier])
        for earlier in range(LEAST, len(values))
    ]


def first_alarm(values: Sequence[float], scale: Scale, alpha: float) -> int | None:
    """The index of the first release outside its forecast; None where there is none."""
    found = distances(values, scale, alpha)
    return next((LEAST + i for i, distance in enumerate(found) if distance > 1), None)
