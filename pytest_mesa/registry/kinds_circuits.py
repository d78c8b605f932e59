"""The kind ``circuit-overlap``: do two settings run on one circuit?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pytest_mesa.registry.kind import Kind, distinct
from pytest_mesa.registry.models import Closed, Range, Slug, fault


class GameSetting(Closed):
    """A game, the plies at which it is asked for a move, and how it is told in words."""

    game: Literal["chess", "go", "tic-tac-toe", "fifteen"]
    plies: Range = Field(description="The first and the last ply that positions come from.")
    templates: tuple[Slug, ...] = Field(
        (), description="For a model that reads text: halves of batches part these between them."
    )

    @field_validator("plies")
    @classmethod
    def _ascending(cls, value: Range) -> Range:
        low, high = value
        if not 1 <= low <= high:
            raise fault("plies are [first, last] with 1 <= first <= last")
        return value

    @field_validator("templates")
    @classmethod
    def _two_or_none(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) == 1:
            raise fault("one half of a batch would have no template: name two or more", 0)
        return distinct(value)


class Words(Closed):
    """How a model that reads text is asked, and how much."""

    settings: tuple[GameSetting, GameSetting] | None = Field(
        None, description="The settings told in words; the experiment's by default."
    )
    games: int = Field(
        8, ge=2, le=100, description="Games a half: only prompts of one length are paired."
    )
    choose: int = Field(8, ge=2, le=1000, description="Prompts that each template is tried on.")
    competence: int = Field(
        100, ge=20, le=10_000, description="Prompts scored a game; fewer of a model that can't."
    )


class PlantedSharing(Closed):
    """The share of the second setting's positions that are the first's, until it is seen."""

    strengths: tuple[float, ...] = Field((0.25, 0.5, 0.75), min_length=1)

    @field_validator("strengths")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, strength) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < strength <= 1:
                raise fault("strengths ascend, each above 0 and at most 1", index)
        return value


class CircuitOverlap(Closed):
    """Do two settings run on one circuit, by what it consists of and by what it does?"""

    kind: Literal["circuit-overlap"]
    settings: tuple[GameSetting, GameSetting]
    twins: bool = Field(False, description="Both are one game under two notations: same games.")
    choose: int = Field(
        6, ge=2, le=1000, description="Batches that the circuits' size and the scales are set on."
    )
    batches: int = Field(24, ge=10, le=10_000, description="Batches that a subject is measured on.")
    control: int = Field(20, ge=10, le=10_000, description="Batches that a control is measured on.")
    control_setting: Literal[0, 1] = Field(1, description="The setting whose twins are controls.")
    games: int = Field(4, ge=2, le=100, description="Games in a half of a batch.")
    slots: int = Field(4, ge=1, le=20, description="Plies at which each of them is asked.")
    steps: int = Field(1, ge=1, le=100, description="Points of the integrated gradients' path.")
    sizes: tuple[float, ...] = Field(
        (0.05, 0.1, 0.2, 0.3, 0.4),
        min_length=3,
        description="Circuit sizes, as shares of all edges.",
    )
    core: float = Field(0.05, gt=0, lt=1, description="The share of all edges that is cut.")
    faithful: float = Field(
        0.8, gt=0, lt=1, description="The share of the metric that a circuit brings back alone."
    )
    spike_in: PlantedSharing = PlantedSharing()
    words: Words = Words()

    @field_validator("sizes")
    @classmethod
    def _growing(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, size) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < size < 1:
                raise fault("sizes grow, each above 0 and below 1", index)
        return value

    @model_validator(mode="after")
    def _different(self) -> CircuitOverlap:
        one, other = self.settings
        if one == other:
            raise fault("a setting is compared with another one; these are the same", "settings", 1)
        return self


CIRCUIT_OVERLAP = Kind(
    "circuit-overlap", CircuitOverlap, "pytest_mesa.experiments.circuit_overlap:STUDY"
)
