"""The kind ``strength``: how strong is a policy alone, told in search that would match it?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pytest_mesa.registry.kind import Kind, distinct
from pytest_mesa.registry.models import Closed, fault


class Games(Closed):
    """Where games start, and when one that goes on is called."""

    even: int = Field(50, ge=1, le=1000, description="Centipawns an opening may be off balance.")
    plies: int = Field(40, ge=2, le=400, description="Moves after which material decides.")
    ahead: int = Field(300, ge=100, le=5000, description="A lead in centipawns that wins,")
    held: int = Field(6, ge=1, le=50, description="held for so many plies.")
    won: int = Field(200, ge=100, le=5000, description="A lead that wins at the end, too.")


class Pool(Closed):
    """Who else plays, for ratings on one scale. They decide nothing."""

    nodes: tuple[int, ...] = Field((32, 512), description="Other budgets of the search.")
    visits: int = Field(16, ge=2, le=10_000, description="Of a tree search that the policy guides.")
    pairs: int = Field(20, ge=5, le=10_000, description="Pairs of games in each of these matches.")

    @field_validator("nodes")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for index, nodes in enumerate(value):
            if nodes < 2:
                raise fault("a search makes at least 2 nodes", index)
        return distinct(value)


class Gifts(Closed):
    """A search against its like that plays any move at a growing share of its turns."""

    strengths: tuple[float, ...] = Field((0.1, 0.2, 0.4), min_length=1)
    pairs: int = Field(40, ge=5, le=10_000)

    @field_validator("strengths")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, strength) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < strength <= 1:
                raise fault("strengths ascend, each above 0 and at most 1", index)
        return value


class Strength(Closed):
    """Is a policy's first choice stronger than a plain search at the same cost?"""

    kind: Literal["strength"]
    nodes: int = Field(128, ge=2, le=1_000_000, description="The search's budget for a move.")
    control: int = Field(60, ge=5, le=100_000, description="Pairs of games of a control.")
    games: Games = Games()
    pool: Pool = Pool()
    spike_in: Gifts = Gifts()

    @model_validator(mode="after")
    def _apart(self) -> Strength:
        if self.nodes in self.pool.nodes:
            raise fault(
                "the pool's other budgets differ from the one that decides", "pool", "nodes"
            )
        return self


STRENGTH = Kind("strength", Strength, "pytest_mesa.experiments.strength:STUDY")
