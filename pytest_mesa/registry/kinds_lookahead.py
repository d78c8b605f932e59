"""The kind ``look-ahead``: do squares of later moves drive a chess player's choice?"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from pytest_mesa.registry.kind import Kind, distinct
from pytest_mesa.registry.models import Closed, Slug, fault

KINDS = ("mate-2", "mate-3", "mate-4", "other")  # of frozen puzzles with a third ply


class SameOperation(Closed):
    """How what is written at the third ply's square is looked for at the fifth's."""

    rank: int = Field(4, ge=1, le=32, description="Dimensions of what is carried over.")
    floors: int = Field(
        9, ge=2, le=100, description="Subspaces of the same rank, fitted at matched squares."
    )


class PlantedLookAhead(Closed):
    """Look-ahead written into a growing share of positions, until it is seen."""

    strengths: tuple[float, ...] = Field((0.3, 0.6, 0.9), min_length=1)

    @field_validator("strengths")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, strength) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < strength <= 1:
                raise fault("strengths ascend, each above 0 and at most 1", index)
        return value


class ListedBoards(Closed):
    """How boards are told to models that read text, and how much of such a model is looked at."""

    templates: tuple[Slug, ...] = Field(
        ("diagram", "ranks"),
        min_length=1,
        description="Ways to list a board; a model is asked in the one it plays best under.",
    )
    choose: int = Field(
        20, ge=5, le=1000, description="Positions that templates are compared on, beside others."
    )
    layers: int | None = Field(
        None, ge=2, description="Layers that are patched, evenly spaced; all by default."
    )

    @field_validator("templates")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(value)


class LookAhead(Closed):
    """Do squares of later moves drive the choice, beyond squares that are like them?

    ``aspects`` asks for any effect of the third ply; ``search`` for deeper plies that matter,
    come later, and come by the same operation.
    """

    kind: Literal["look-ahead"]
    question: Literal["aspects", "search"]
    strata: dict[Slug, tuple[Slug, ...]] = Field(
        {"lines": KINDS}, min_length=1, description="Kinds of frozen puzzles in each stratum."
    )
    matched: int = Field(8, ge=1, le=32, description="Matched squares a future square is held to.")
    choose: int = Field(
        80,
        ge=10,
        le=10_000,
        description="Positions a stratum that layers and subspaces of a search are chosen on.",
    )
    control: int = Field(
        400, ge=20, le=100_000, description="Positions a stratum that a control is measured on."
    )
    operation: SameOperation = SameOperation()
    spike_in: PlantedLookAhead = PlantedLookAhead()
    words: ListedBoards | None = Field(
        None, description="Set where subjects are told boards in words; unset, they see boards."
    )

    @model_serializer(mode="wrap")
    def _without_unset_words(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Specs that see boards keep the hash that they were locked with.
        told: dict[str, Any] = handler(self)
        if self.words is None:
            del told["words"]
        return told

    @field_validator("strata")
    @classmethod
    def _known(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        named = [(stratum, i, kind) for stratum, ks in value.items() for i, kind in enumerate(ks)]
        for stratum, index, kind in named:
            if kind not in KINDS:
                raise fault(f"a kind of puzzle is one of {', '.join(KINDS)}", stratum, index)
        kinds: tuple[Any, ...] = tuple(kind for _, _, kind in named)
        distinct(kinds)
        return value


LOOK_AHEAD = Kind("look-ahead", LookAhead, "pytest_mesa.experiments.lookahead:STUDY")
