"""Knapsacks as a task, and how a model that reads text is asked them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pytest_mesa.registry.kind import distinct
from pytest_mesa.registry.models import Closed, Range, Slug, fault


class KnapsackTask(Closed):
    """0/1 knapsacks drawn uniformly from the given ranges (inclusive)."""

    kind: Literal["knapsack"]
    items: int = Field(5, ge=2, le=12)
    weights: Range = (1, 5)
    values: Range = (1, 5)
    capacity: Range = (3, 10)
    correlation: Literal["none", "strong"] = Field(
        "none", description="strong: an item's value is its weight, give or take one."
    )

    @field_validator("weights", "values", "capacity")
    @classmethod
    def _ascending(cls, value: Range) -> Range:
        low, high = value
        if not 1 <= low <= high:
            raise fault("a range is [low, high] with 1 <= low <= high")
        return value


class Words(Closed):
    """How a model that reads text is asked, and how much: each instance costs it a forward pass.

    A template is worded in several ways (with and without solved examples, plain or as a chat).
    On instances apart, each template's best wording is found, and the best templates are kept.
    Every measured instance is posed under all that are kept, and scored by the average.
    """

    task: KnapsackTask | None = Field(
        None, description="What such a model is asked to solve; the experiment's task by default."
    )
    templates: tuple[Slug, ...] = Field(
        ("prose", "table", "list", "story", "code"), min_length=1, description="Templates tried."
    )
    keep: int = Field(2, ge=1, description="Templates kept: those that the model solves best.")
    shots: int = Field(3, ge=0, le=16, description="Solved examples, where any are shown.")
    choose: int = Field(8, ge=1, le=10_000, description="Instances that wordings are chosen on.")
    competence: int = Field(
        400, ge=100, le=100_000, description="Fresh instances scored; fewer of a model that can't."
    )
    budget: int = Field(600, ge=50, le=1_000_000, description="Observations of an able model.")
    glance: int = Field(
        50, ge=20, le=1_000_000, description="Observations of one that is not, to describe it."
    )
    written: int = Field(8, ge=0, le=10_000, description="Answers also written out and counted.")
    probed: int = Field(4000, ge=500, le=100_000, description="Instances of probes.")

    @field_validator("templates")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _kept(self) -> Words:
        if self.keep > len(self.templates):
            raise fault(f"there are only {len(self.templates)} templates to keep", "keep")
        return self
