"""Studies whose true means lie exactly at an edge, where a false conclusion is hardest to avoid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from pytest_mesa.registry.models import VerdictRule
from pytest_mesa.verdicts.evidence import Combine

ALPHA = 0.05

Draw = Callable[[np.random.Generator, tuple[int, ...]], ndarray]


@dataclass(frozen=True)
class Shape:
    """A line-up of subjects × strata whose scores all come from one law at an edge.

    Whatever is concluded is false. ``naive_is_caught`` is off where the rule asks for so much
    that even peeking rarely errs.
    """

    name: str
    draw: Draw
    subjects: int = 1
    strata: int = 1
    combine: Combine = "hull"
    rule: dict[str, Any] = field(default_factory=dict)
    rival: bool = False
    naive_is_caught: bool = True

    @property
    def verdict_rule(self) -> VerdictRule:
        """Predicted below 0.25, refuted above 0.5, unless the shape says otherwise."""
        settings = {"predicted": {"below": 0.25}, "refuted": {"above": 0.5}, **self.rule}
        return VerdictRule(estimand="score", alpha=ALPHA, **settings)


def bernoulli(p: float) -> Draw:
    """0/1 scores."""
    return lambda rng, size: (rng.random(size) < p).astype(float)


def beta(a: float, b: float) -> Draw:
    """Continuous scores."""
    return lambda rng, size: rng.beta(a, b, size)


def points(values: list[float], chances: list[float]) -> Draw:
    """Scores on a few points."""
    return lambda rng, size: rng.choice(values, size, p=chances)


def mixture(rng: np.random.Generator, size: tuple[int, ...]) -> ndarray:
    """Each study has its own law, all of mean 0.5: exchangeable, far from independent."""
    half_width = rng.choice([0.0, 0.1, 0.25, 0.5], (*size[:-1], 1))
    return 0.5 + half_width * rng.choice([-1.0, 1.0], size)


def wandering_spread(rng: np.random.Generator, size: tuple[int, ...]) -> ndarray:
    """Mean 0.25 throughout, while the spread drifts slowly between none and the most."""
    steps = rng.choice([-1, 0, 1], size, p=[0.05, 0.9, 0.05]).cumsum(axis=-1)
    half_width = 0.05 * (5 - abs(steps % 10 - 5))
    return 0.25 + half_width * rng.choice([-1.0, 1.0], size)


def coupled(rng: np.random.Generator, size: tuple[int, ...]) -> ndarray:
    """Scores and a rival's on the same draws, both right in 0.8 of cases, last axis twice."""
    luck = rng.random(size)
    return np.stack([luck < 0.8, luck > 0.2], axis=-2).astype(float)


SHAPES = (
    Shape("Bernoulli at the predicted edge", bernoulli(0.25)),
    Shape("Bernoulli at the refuted edge", bernoulli(0.5)),
    Shape("skewed beta(1, 3)", beta(1, 3)),
    Shape("U-shaped beta(0.2, 0.2)", beta(0.2, 0.2)),
    Shape("nearly constant, 0.249 or 0.251", points([0.249, 0.251], [0.5, 0.5])),
    Shape(
        "heavy skew, 1 in 50",
        bernoulli(0.02),
        rule={"predicted": {"below": 0.02}, "refuted": {"above": 0.1}},
    ),
    Shape("three levels 0, 0.5, 1", points([0, 0.5, 1], [0.6, 0.3, 0.1])),
    Shape("exchangeable mixture of laws", mixture),
    Shape("spread that wanders", wandering_spread),
    Shape(
        "regions the other way round",
        bernoulli(0.5),
        rule={"predicted": {"above": 0.5}, "refuted": {"below": 0.25}},
    ),
    Shape("three strata, hull", bernoulli(0.5), strata=3, naive_is_caught=False),
    Shape("three strata, greatest", bernoulli(0.5), strata=3, combine="greatest"),
    Shape("three strata, least", bernoulli(0.25), strata=3, combine="least"),
    Shape("five subjects, every", bernoulli(0.5), subjects=5),
    Shape("five subjects, some", bernoulli(0.25), subjects=5, rule={"quantifier": "some"}),
    Shape("a rival that reaches as far", coupled, rival=True, naive_is_caught=False),
)
