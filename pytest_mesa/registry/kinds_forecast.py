"""The kind ``forecast``: does a release land where the releases before it let one expect?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pytest_mesa.registry.kind import Kind
from pytest_mesa.registry.models import Closed, Slug, fault


class Watched(Closed):
    """The ends of a watched claim's estimand."""

    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ascending(self) -> Watched:
        if not self.low < self.high:
            raise fault(f"a scale ascends ({self.low:g} is not < {self.high:g})", "high")
        return self


class Forecasting(Closed):
    """Estimates of watched claims, release by release, against forecasts from the ledger."""

    kind: Literal["forecast"]
    watch: dict[Slug, Watched] = Field(
        min_length=1,
        description="Ids of the predictions followed, in the same folder; each is a stratum.",
    )
    leap: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="The share of its scale that a forecast's interval may take at most; of a "
        "wider one nothing is upheld.",
    )


FORECAST = Kind("forecast", Forecasting, "pytest_mesa.experiments.forecast:STUDY")
