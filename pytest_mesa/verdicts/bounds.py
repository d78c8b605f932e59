"""Intervals, and where they lie against a prediction's regions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from pytest_mesa.registry.models import Region, VerdictRule


class Landing(StrEnum):
    """The region that an interval lies in, if any."""

    PREDICTED = "predicted"
    REFUTED = "refuted"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Bounds:
    """A closed interval of candidate means, in the estimand's unit.

    Raises:
        ValueError: an end that is not finite, or ends in the wrong order.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not (isfinite(self.lower) and isfinite(self.upper) and self.lower <= self.upper):
            raise ValueError(f"no interval: [{self.lower}, {self.upper}]")

    def inside(self, region: Region) -> bool:
        """Whether every candidate mean lies strictly beyond the region's edge."""
        if region.below is not None:
            return self.upper < region.below
        return region.above is not None and self.lower > region.above

    def __str__(self) -> str:
        return f"[{self.lower:.3f}, {self.upper:.3f}]"


def landing(bounds: Bounds, rule: VerdictRule) -> Landing:
    """Where the interval lies. The regions never touch, so at most one of them holds it."""
    if bounds.inside(rule.predicted):
        return Landing.PREDICTED
    if bounds.inside(rule.refuted):
        return Landing.REFUTED
    return Landing.NEITHER


def edge(region: Region) -> float:
    """The number at the region's border."""
    value = region.below if region.below is not None else region.above
    if value is None:
        raise ValueError("a region has exactly one edge")
    return value


def in_indifference_zone(bounds: Bounds, rule: VerdictRule) -> bool:
    """Whether every candidate mean lies between the two regions, borders included."""
    low, high = sorted((edge(rule.predicted), edge(rule.refuted)))
    return low <= bounds.lower and bounds.upper <= high
